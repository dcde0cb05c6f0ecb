//! Tables as a job sees them: opened through the registry, read and written through the contracts.

mod csv_source;
mod datagen;
mod dead_letter;
mod file_sink;
mod golden;
mod harness;
mod json;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_secure;
#[cfg(feature = "kafka")]
mod kafka_sink;
mod parquet;
mod round_trip;
mod speed;
