//! Batches on their way into partitions, which the end of their transaction has to wait for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The right to append one batch that was found to belong to an open transaction. The markers of
/// this transaction wait while this lives, so that no batch comes behind its marker: drop it as
/// soon as the batch is appended.
#[derive(Debug)]
pub struct Admission {
    id: String,
    admissions: Arc<Admissions>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.admissions.lock();
        if let Some(count) = counts.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.id);
                self.admissions.changed.notify_waiters();
            }
        }
    }
}

/// How many admissions live, by transactional id.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    counts: Mutex<BTreeMap<String, usize>>,
    changed: Notify,
}

impl Admissions {
    /// One more. To be called where no decision to end the transaction can come in between.
    pub(super) fn enter(self: &Arc<Self>, id: &str) -> Admission {
        *self.lock().entry(id.to_owned()).or_default() += 1;
        Admission { id: id.to_owned(), admissions: self.clone() }
    }

    /// Completes when there is none. The caller has seen to it that no more come.
    pub(super) async fn none(&self, id: &str) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Listening begins before looking, so that what comes between the two is not missed.
            changed.as_mut().enable();
            if !self.lock().contains_key(id) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
