//! What a job may be told about how to run.

use std::time::Duration;

use millrace_checkpoint::decide::CheckpointOptions;

/// How a job runs. The defaults suit most jobs.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// How many rows a batch has, at most for sources and about for operators. Default 4,096;
    /// below 1,000 every vectorised step gets slower.
    pub batch_rows: usize,
    /// How many elements a channel between two subtasks holds before its sender waits. Default 8.
    pub channel_elements: usize,
    /// Whether operators joined by a forward edge share a task. Default true.
    pub chaining: bool,
    /// When checkpoints are taken, and how many are kept.
    pub checkpoints: CheckpointOptions,
    /// What happens after a failure that may pass.
    pub restart: RestartStrategy,
    /// How often a source that has nothing to read is asked again. Default 10 ms.
    pub poll_interval: Duration,
}

impl Default for JobOptions {
    fn default() -> Self {
        JobOptions {
            batch_rows: 4_096,
            channel_elements: 8,
            chaining: true,
            checkpoints: CheckpointOptions::default(),
            restart: RestartStrategy::default(),
            poll_interval: Duration::from_millis(10),
        }
    }
}

/// What happens after a failure of kind `Retry` or `Report`, a panic among them. Wrong input and
/// unusable state fail the job at once: the next run would meet them again. So does a bug (`Report`)
/// that shows itself a second time in the same words before a checkpoint was completed.
#[derive(Clone, Debug, PartialEq)]
pub enum RestartStrategy {
    /// The job fails.
    Never,
    /// It is started again after the same delay, at most `attempts` times in a row.
    FixedDelay {
        /// How many restarts in a row.
        attempts: u32,
        /// The time before each.
        delay: Duration,
    },
    /// It is started again after a delay that grows by `multiplier` up to `max`.
    ExponentialDelay {
        /// The time before the first restart.
        initial: Duration,
        /// The longest time before a restart.
        max: Duration,
        /// How much longer each delay is than the one before.
        multiplier: f64,
        /// How many restarts in a row.
        attempts: u32,
        /// A run of this length that completed a checkpoint begins a new row.
        reset_after: Duration,
    },
}

impl Default for RestartStrategy {
    /// 1 s, doubling up to 1 min, at most 8 times in a row.
    fn default() -> Self {
        RestartStrategy::ExponentialDelay {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            multiplier: 2.0,
            attempts: 8,
            reset_after: Duration::from_secs(600),
        }
    }
}

impl RestartStrategy {
    /// The delay before restart number `restart` in a row (from 0), or `None` to give up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millrace_runtime::RestartStrategy;
    ///
    /// let strategy = RestartStrategy::default();
    /// assert_eq!(strategy.delay(0), Some(Duration::from_secs(1)));
    /// assert_eq!(strategy.delay(7), Some(Duration::from_secs(60)));
    /// assert_eq!(strategy.delay(8), None);
    /// ```
    pub fn delay(&self, restart: u32) -> Option<Duration> {
        match *self {
            RestartStrategy::Never => None,
            RestartStrategy::FixedDelay { attempts, delay } => {
                (restart < attempts).then_some(delay)
            }
            RestartStrategy::ExponentialDelay { initial, max, multiplier, attempts, .. } => {
                let factor = multiplier.max(1.0).powi(i32::try_from(restart).unwrap_or(i32::MAX));
                let seconds = (initial.as_secs_f64() * factor).min(max.as_secs_f64());
                (restart < attempts).then(|| Duration::from_secs_f64(seconds))
            }
        }
    }

    /// Whether a run that lasted `ran` ends the row of failures.
    pub fn is_reset_by(&self, ran: Duration) -> bool {
        match *self {
            RestartStrategy::ExponentialDelay { reset_after, .. } => ran >= reset_after,
            RestartStrategy::Never | RestartStrategy::FixedDelay { .. } => false,
        }
    }
}
