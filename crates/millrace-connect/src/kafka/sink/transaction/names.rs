//! The transactional ids of a sink.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use millrace_core::Subtask;
use tokio::sync::OwnedMutexGuard;

/// A transactional id without its prefix: `SUBTASK-SLOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotName {
    /// The index of the subtask that made it, perhaps at another parallelism.
    pub subtask: usize,
    /// Counts the producers that the subtask has at the same time.
    pub slot: u32,
}

impl SlotName {
    /// The whole transactional id.
    pub fn with_prefix(self, prefix: &str) -> String {
        format!("{prefix}-{self}")
    }

    /// Reads a transactional id; `None` if it is none of this prefix.
    ///
    /// A longer prefix never passes for this one: what follows the prefix has to be two numbers.
    pub fn of(prefix: &str, transactional_id: &str) -> Option<Self> {
        transactional_id.strip_prefix(prefix)?.strip_prefix('-')?.parse().ok()
    }

    /// Whether `subtask` is to look after it.
    pub fn belongs_to(self, subtask: Subtask) -> bool {
        self.subtask % subtask.parallelism == subtask.index
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.subtask, self.slot)
    }
}

impl FromStr for SlotName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (subtask, slot) = text.split_once('-').ok_or(())?;
        let name = SlotName {
            subtask: subtask.parse().map_err(|_| ())?,
            slot: slot.parse().map_err(|_| ())?,
        };
        // `+1` and `01` are numbers too, but none that we write.
        if name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// Sees to it that this process has one producer for a transactional id at a time.
///
/// When a job restarts inside its process, producers of the failed run may still be closing, or
/// even initialising: that would fence the producers of the new run.
#[derive(Clone, Default)]
pub(crate) struct NameLocks(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>);

/// Held as long as a producer lives.
pub(crate) type NameLock = OwnedMutexGuard<()>;

impl NameLocks {
    /// Waits until no other producer of this process has the id.
    pub async fn lock(&self, transactional_id: &str) -> NameLock {
        let lock = {
            let mut locks = self.0.lock().expect("no holder panics");
            Arc::clone(locks.entry(transactional_id.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let name = SlotName { subtask: 12, slot: 3 };
        assert_eq!(name.with_prefix("orders"), "orders-12-3");
        assert_eq!(SlotName::of("orders", "orders-12-3"), Some(name));
    }

    #[test]
    fn ids_of_other_prefixes_are_left_alone() {
        for other in [
            "orders-1-2-3",
            "orders-eu-1-2",
            "orders12-3",
            "orders-1",
            "orders-+1-2",
            "orders-01-2",
        ] {
            assert_eq!(SlotName::of("orders", other), None, "{other}");
        }
        assert!(SlotName::of("orders-1", "orders-1-2-3").is_some());
    }

    #[test]
    fn each_id_belongs_to_one_subtask_at_any_parallelism() {
        for parallelism in 1..5 {
            for subtask in 0..10 {
                let name = SlotName { subtask, slot: 0 };
                let owners = (0..parallelism)
                    .filter(|&index| name.belongs_to(Subtask { index, parallelism }));
                assert_eq!(owners.count(), 1);
            }
        }
    }
}
