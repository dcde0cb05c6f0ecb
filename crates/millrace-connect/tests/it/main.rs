//! Tables as a job sees them: opened through the registry, read and written through the contracts.

mod csv_source;
mod harness;
