//! Planning for tests.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_core::{KeyGroups, Result, Sink, SinkContext, SinkWriter};
use millrace_sql::{PlannedScript, SqlEnvironment, SqlError, plan_script};

/// A sink that only stands in plans.
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Err(millrace_core::Error::report("a plan's sink was opened"))
    }
}

/// An environment with this parallelism.
pub fn environment(parallelism: usize) -> SqlEnvironment {
    SqlEnvironment {
        default_parallelism: parallelism,
        key_groups: KeyGroups::default(),
        settings: Vec::new(),
        output: Arc::new(|_| Arc::new(Nowhere)),
    }
}

/// Plans a script at parallelism 2.
pub fn plan(script: &str) -> std::result::Result<PlannedScript, SqlError> {
    plan_script(script, "job.sql", &environment(2))
}
