//! What a simulation did, to compare two runs of it.

use std::fmt;
use std::time::Duration;

/// One step: a task was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Virtual time.
    pub elapsed: Duration,
    /// Which task, as an index of [`Trace::task_names`].
    pub task: usize,
}

/// All steps of a simulation, in order. Two runs of one seed have equal traces, or something in
/// them does not come from the seed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The tasks in the order in which they were spawned; the first is the simulation's own future.
    pub task_names: Vec<String>,
    /// What ran, and when.
    pub steps: Vec<Step>,
}

impl Trace {
    /// A number that equal traces share, and others practically never do.
    pub fn hash(&self) -> u64 {
        let names = self.task_names.iter().flat_map(|name| name.bytes().chain([0]));
        let steps = self.steps.iter().flat_map(|step| {
            let elapsed = step.elapsed.as_nanos().to_le_bytes();
            elapsed.into_iter().chain(step.task.to_le_bytes())
        });
        names.chain(steps).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Virtual time at the last step.
    pub fn elapsed(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |step| step.elapsed)
    }

    /// The first step at which the traces differ, in words; `None` if they are equal.
    pub fn difference(&self, other: &Trace) -> Option<String> {
        if self == other {
            return None;
        }
        let longest = self.steps.len().max(other.steps.len());
        let at = (0..longest).find(|&step| self.describe(step) != other.describe(step));
        Some(match at {
            None => "they name their tasks differently".to_owned(),
            Some(step) => {
                format!("step {step}: {} and {}", self.describe(step), other.describe(step))
            }
        })
    }

    fn describe(&self, step: usize) -> String {
        match self.steps.get(step) {
            None => "the end".to_owned(),
            Some(Step { elapsed, task }) => {
                format!("`{}` ({task}) at {elapsed:?}", self.task_names[*task])
            }
        }
    }
}

/// Short: a failed assertion on two traces should not print a million steps.
impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Trace({:016x}: {} tasks, {} steps, {:?})",
            self.hash(),
            self.task_names.len(),
            self.steps.len(),
            self.elapsed()
        )
    }
}
