//! From settings to options: what `SET` and the command line say about how a job runs.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use millrace_core::{Error, Result};
use millrace_runtime::{JobOptions, RestartStrategy};

use crate::args::RunArguments;
use crate::script;

pub(super) const CHECKPOINT_DIR: &str = "execution.checkpointing.dir";

/// The settings that the command line's options stand for. They hold over the script's own.
pub(super) fn settings_of(arguments: &RunArguments) -> Vec<(String, String)> {
    let mut settings = script::settings_of(&arguments.script);
    let mut set = |key: &str, value: String| settings.push((key.to_owned(), value));
    if let Some(directory) = &arguments.checkpoint_dir {
        set(CHECKPOINT_DIR, directory.clone());
    }
    if let Some(interval) = arguments.checkpoint_interval {
        set("execution.checkpointing.interval", format!("{} ns", interval.as_nanos()));
    }
    settings
}

/// The job's options: the engine's defaults, changed by the settings in force.
///
/// # Errors
/// `Report` for a value that the planner should have refused.
pub(super) fn job_options(
    settings: &BTreeMap<String, String>,
    arguments: &RunArguments,
) -> Result<JobOptions> {
    let settings = Settings(settings);
    let mut options = JobOptions { batch_rows: arguments.batch_rows, ..JobOptions::default() };
    let checkpoints = &mut options.checkpoints;
    settings.duration("execution.checkpointing.interval", &mut checkpoints.interval)?;
    settings.duration("execution.checkpointing.min-pause", &mut checkpoints.min_pause)?;
    settings.duration("execution.checkpointing.timeout", &mut checkpoints.timeout)?;
    settings.number("execution.checkpointing.num-retained", &mut checkpoints.retained)?;
    options.restart = settings.restart()?;
    Ok(options)
}

struct Settings<'a>(&'a BTreeMap<String, String>);

impl Settings<'_> {
    fn duration(&self, key: &str, target: &mut Duration) -> Result<()> {
        if let Some(value) = self.0.get(key) {
            *target = millrace_sql::parse_duration(value).ok_or_else(|| wrong(key, value))?;
        }
        Ok(())
    }

    fn number<T: FromStr>(&self, key: &str, target: &mut T) -> Result<()> {
        if let Some(value) = self.0.get(key) {
            *target = value.parse().map_err(|_| wrong(key, value))?;
        }
        Ok(())
    }

    fn restart(&self) -> Result<RestartStrategy> {
        let kind = self.0.get("restart-strategy.type").map_or("exponential-delay", String::as_str);
        match kind {
            "none" | "off" | "disable" => Ok(RestartStrategy::Never),
            "fixed-delay" => {
                let (mut attempts, mut delay) = (1, Duration::from_secs(1));
                self.number("restart-strategy.fixed-delay.attempts", &mut attempts)?;
                self.duration("restart-strategy.fixed-delay.delay", &mut delay)?;
                Ok(RestartStrategy::FixedDelay { attempts, delay })
            }
            "exponential-delay" => {
                let mut strategy = RestartStrategy::default();
                if let RestartStrategy::ExponentialDelay {
                    initial,
                    max,
                    multiplier,
                    attempts,
                    reset_after,
                    ..
                } = &mut strategy
                {
                    let key = |name| format!("restart-strategy.exponential-delay.{name}");
                    self.duration(&key("initial-backoff"), initial)?;
                    self.duration(&key("max-backoff"), max)?;
                    self.number(&key("backoff-multiplier"), multiplier)?;
                    self.number(&key("attempts-before-reset-backoff"), attempts)?;
                    self.duration(&key("reset-backoff-threshold"), reset_after)?;
                }
                Ok(strategy)
            }
            other => Err(wrong("restart-strategy.type", other)),
        }
    }
}

fn wrong(key: &str, value: &str) -> Error {
    Error::report(format!("setting `{key}` is `{value}`, which nobody refused"))
}
