//! The offsets that a group has committed.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use crate::storage::TransactionOutcome;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicPartition {
    pub topic: StrBytes,
    pub partition: i32,
}

/// How far a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The next record to read.
    pub offset: i64,
    /// The leader's epoch at the record before, -1 if the client did not say.
    pub leader_epoch: i32,
    /// Whatever the client likes to keep beside it.
    pub metadata: StrBytes,
    /// Since 1970.
    pub commit_time_ms: i64,
    /// An end of its own that an old client asked for.
    pub expire_time_ms: Option<i64>,
}

/// An offset and the place of its record in the log, which decides between two of them: what a
/// transaction commits at its end may be older than what was committed without one meanwhile.
#[derive(Clone, Debug)]
struct Written {
    committed: Committed,
    log_offset: i64,
}

/// The offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<TopicPartition, Written>,
    /// By producer: what becomes valid if its transaction commits.
    pending: BTreeMap<i64, BTreeMap<TopicPartition, Written>>,
}

impl Offsets {
    pub(super) fn get(&self, partition: &TopicPartition) -> Option<&Committed> {
        self.committed.get(partition).map(|written| &written.committed)
    }

    /// Whether a transaction is open that may change this offset.
    pub(super) fn is_pending(&self, partition: &TopicPartition) -> bool {
        self.pending.values().any(|offsets| offsets.contains_key(partition))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn committed(&self) -> impl Iterator<Item = (&TopicPartition, &Committed)> {
        self.committed.iter().map(|(partition, written)| (partition, &written.committed))
    }

    /// All partitions that something is kept for.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let pending = self.pending.values().flat_map(BTreeMap::keys);
        let mut all: Vec<_> = self.committed.keys().chain(pending).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// A record was written (or read again at the start); `None` takes the offset away.
    pub(super) fn apply(
        &mut self,
        partition: TopicPartition,
        committed: Option<Committed>,
        log_offset: i64,
        producer_id: Option<i64>,
    ) {
        let Some(committed) = committed else {
            self.committed.remove(&partition);
            self.pending.values_mut().for_each(|offsets| {
                offsets.remove(&partition);
            });
            self.pending.retain(|_, offsets| !offsets.is_empty());
            return;
        };
        let written = Written { committed, log_offset };
        match producer_id {
            Some(id) => self.pending.entry(id).or_default().insert(partition, written),
            None => self.committed.insert(partition, written),
        };
    }

    /// The producer's transaction has ended.
    pub(super) fn complete(&mut self, producer_id: i64, outcome: TransactionOutcome) {
        let pending = self.pending.remove(&producer_id).unwrap_or_default();
        if outcome == TransactionOutcome::Abort {
            return;
        }
        for (partition, written) in pending {
            let newer = self.committed.get(&partition).map(|newer| newer.log_offset);
            if newer.is_none_or(|log_offset| log_offset < written.log_offset) {
                self.committed.insert(partition, written);
            }
        }
    }

    /// Offsets whose time is over: their own, or `retention_ms` after `base`, which says from when
    /// on nobody has used them (`None`: somebody still may).
    pub(super) fn expired(
        &self,
        now_ms: i64,
        retention_ms: i64,
        base: impl Fn(&TopicPartition, &Committed) -> Option<i64>,
    ) -> Vec<TopicPartition> {
        let is_over = |partition: &TopicPartition, committed: &Committed| {
            base(partition, committed).is_some_and(|base_ms| match committed.expire_time_ms {
                Some(expire_ms) => expire_ms <= now_ms,
                None => now_ms.saturating_sub(base_ms) >= retention_ms,
            })
        };
        let over = self.committed().filter(|(p, c)| is_over(p, c) && !self.is_pending(p));
        over.map(|(partition, _)| partition.clone()).collect()
    }
}
