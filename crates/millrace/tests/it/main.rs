//! Whole jobs of the typed API.

mod plan;
mod resume;
mod windows;
