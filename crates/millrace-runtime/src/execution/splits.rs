//! Which subtask reads which split.

use std::collections::HashSet;
use std::time::Duration;

use millrace_checkpoint::SplitEntry;
use millrace_core::{Boundedness, Result, Split, SplitId, Timestamp};

use super::restore::Restore;
use crate::graph::{NodeIndex, SourceNode};

/// The splits of one source, as the coordinator deals them out.
pub(crate) struct SplitDealer {
    pub(crate) node: NodeIndex,
    source: SourceNode,
    parallelism: usize,
    known: HashSet<SplitId>,
    /// The subtask that gets the next split.
    next: usize,
}

impl SplitDealer {
    /// Finds what there is to read and deals it out: the splits of the checkpoint, and for a first
    /// start or an unbounded source what is found now. The `i`-th result is for subtask `i`.
    pub(crate) async fn open(
        node: NodeIndex,
        source: &SourceNode,
        parallelism: usize,
        restore: &Restore,
    ) -> Result<(Self, Vec<Vec<SplitEntry>>)> {
        let mut dealer = SplitDealer {
            node,
            source: source.clone(),
            parallelism,
            known: HashSet::new(),
            next: 0,
        };
        let restored = restore.splits(node);
        let bounded = source.source.boundedness() == Boundedness::Bounded;
        let found = match &restored {
            None => source.source.discover().await?,
            Some(_) if bounded => Vec::new(),
            Some(entries) => {
                let known = entries.iter().map(|entry| entry.split.id.clone()).collect();
                source.source.discover_new(&known).await?
            }
        };
        let mut hands = vec![Vec::new(); parallelism];
        // Unfinished splits are dealt first, so that each subtask gets its share of the work.
        let mut entries = restored.unwrap_or_default();
        entries.sort_by(|a, b| (a.finished, &a.split.id).cmp(&(b.finished, &b.split.id)));
        for entry in entries {
            dealer.known.insert(entry.split.id.clone());
            let subtask = dealer.turn();
            hands[subtask].push(entry);
        }
        for (subtask, split) in dealer.deal(found) {
            hands[subtask].push(SplitEntry { split, watermark: Timestamp::MIN, finished: false });
        }
        Ok((dealer, hands))
    }

    /// How long to wait before looking for new splits, if ever.
    pub(crate) fn interval(&self) -> Option<Duration> {
        match self.source.source.boundedness() {
            Boundedness::Unbounded { discovery_interval } => discovery_interval,
            Boundedness::Bounded => None,
        }
    }

    /// The source to look for new splits in.
    pub(crate) fn source(&self) -> &SourceNode {
        &self.source
    }

    /// The splits that were dealt out so far.
    pub(crate) fn known(&self) -> &HashSet<SplitId> {
        &self.known
    }

    /// Deals out those splits that are new.
    pub(crate) fn deal(&mut self, found: Vec<Split>) -> Vec<(usize, Split)> {
        let mut dealt = Vec::new();
        for split in found {
            if self.known.insert(split.id.clone()) {
                dealt.push((self.turn(), split));
            }
        }
        dealt
    }

    fn turn(&mut self) -> usize {
        let turn = self.next;
        self.next = (turn + 1) % self.parallelism;
        turn
    }
}
