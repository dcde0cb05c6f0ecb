//! Compaction: of each key only the newest record stays.
//!
//! The log is divided by the offset up to which it was compacted before. What follows (but for the
//! segment that is written to, open transactions, and records that are too young) is read for the
//! newest offset of each key; then all segments up to there are written anew without the records
//! that have a newer one, and put in place of the old ones. Offsets never change; batches that keep
//! all their records stay as they are, byte for byte.
//!
//! A tombstone (a record without a value) outlives the first pass that sees it, and goes with the
//! first one that runs `delete.retention.ms` later, so that a reader that is not slower than that
//! learns of each deletion. Records of aborted transactions go at once. A marker goes like a
//! tombstone, but never before the last record of its transaction: without it the transaction would
//! look open.
//!
//! | crash | what the next opening finds |
//! |---|---|
//! | while writing anew | a `.cleaned` file that nothing names: removed |
//! | after the list of files to replace is on the disk | the replacement is finished |
//! | between segments | some are compacted, which the next pass finds again |

mod keys;
mod rewrite;
mod swap;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::keys::NewestOffsets;
use self::rewrite::{Filter, Rewritten, Transactions, rewrite};
use super::lookup::walk;
use super::stored::{read_json, write_json};
use super::{Shared, View};
use crate::storage::index_file::SegmentFacts;
use crate::storage::producers::{AbortedIndex, OpenTransactions};
use crate::storage::records::{Records, decode};
use crate::storage::segment::{Content, Segment};
use crate::storage::{TopicConfig, lock};
use crate::{LogError, Result};

pub(super) use self::swap::finish as finish_swap;

/// What is remembered from pass to pass.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    version: u32,
    /// Below this offset each key stood once.
    compacted_to: i64,
    /// When the log was compacted up to where, oldest first.
    passes: Vec<Pass>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pass {
    through: i64,
    at_ms: i64,
}

/// Whether compaction ever began in this directory.
pub(super) fn was_compacted(dir: &Path) -> bool {
    dir.join(Progress::FILE).exists()
}

impl Progress {
    const FILE: &str = "compaction.json";

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(Self::FILE);
        match read_json::<Self>(&path)? {
            None => Ok(Progress { version: 1, ..Progress::default() }),
            Some(progress) if progress.version == 1 => Ok(progress),
            Some(progress) => {
                let reason = format!("version {} is not known", progress.version);
                Err(LogError::Damaged { path, position: 0, reason })
            }
        }
    }

    /// The offset below which tombstones have been there long enough.
    fn tombstone_limit(&self, delete_retention_ms: i64, now_ms: i64) -> i64 {
        let old = |pass: &&Pass| pass.at_ms.saturating_add(delete_retention_ms) <= now_ms;
        self.passes.iter().filter(old).map(|pass| pass.through).max().unwrap_or(0)
    }

    fn passed(&mut self, through: i64, now_ms: i64, delete_retention_ms: i64) {
        self.compacted_to = through;
        self.passes.push(Pass { through, at_ms: now_ms });
        let limit = self.tombstone_limit(delete_retention_ms, now_ms);
        self.passes.retain(|pass| pass.through >= limit);
    }
}

impl Shared {
    /// Compacts if it is worth it. Only with the lock for maintenance.
    pub(super) fn compact(&self, config: &TopicConfig, now_ms: i64) -> Result<()> {
        self.roll_for_compaction(config, now_ms)?;
        let view = lock::read(&self.view).clone();
        let mut progress = Progress::read(&self.dir)?;
        let dirty_from = progress.compacted_to.max(view.log_start);
        let Some(end) = cleanable_end(&view, dirty_from, config, now_ms) else {
            return Ok(());
        };
        if !was_compacted(&self.dir) {
            // Written before the first gap comes into being, so that recovery expects gaps.
            write_json(&self.dir, &self.dir.join(Progress::FILE), &progress, self.files.disk())?;
        }
        // The recovery point must not stand in a segment that changes, and what the dropped batches
        // say of their producers is to stay.
        self.sync_all()?;
        self.synced_snapshot()?;
        let transactions = Transactions::new(&lock::read(&self.aborted));
        let seed = self.seams.random.next_u64();
        let newest = newest_offsets(&view, dirty_from, end, &transactions, seed)?;
        let mut filter = Filter {
            log_start: view.log_start,
            last_kept: view.log_end,
            tombstone_limit: progress.tombstone_limit(config.delete_retention_ms, now_ms),
            newest: &newest,
            transactions,
            open: OpenTransactions::default(),
            dropped_markers: Vec::new(),
            without_key: 0,
        };
        let through = newest.through();
        let done = view.segments.partition_point(|segment| segment.base_offset < through);
        for group in groups(&view.segments[..done], config.segment_bytes) {
            self.refuse_if_closed()?;
            let rewritten = self.rewrite(group, &mut filter, config)?;
            if let Some(rewritten) = rewritten {
                let segment = swap::swap(&self.dir, group, rewritten, &self.files)?;
                segment.write_facts(&self.facts_of_rewritten(&segment, &filter)?);
                segment.release();
                self.replace(group, segment);
            }
        }
        if filter.without_key > 0 {
            tracing::warn!(
                dir = %self.dir.display(),
                records = filter.without_key,
                "compaction dropped records without a key"
            );
        }
        // Who reads past a marker that is gone must not be told of its transaction.
        lock::write(&self.aborted).forget_markers(&filter.dropped_markers);
        progress.passed(through, now_ms, config.delete_retention_ms);
        write_json(&self.dir, &self.dir.join(Progress::FILE), &progress, self.files.disk())
    }

    /// Where a record must not wait longer for compaction, the segment that is written to ends.
    fn roll_for_compaction(&self, config: &TopicConfig, now_ms: i64) -> Result<()> {
        let mut writer = lock::mutex(&self.writer);
        let (active, log_end) = {
            let view = lock::read(&self.view);
            (view.active(), view.log_end)
        };
        let first_timestamp_ms = active.with(|content| content.first_timestamp_ms);
        let waited_ms = first_timestamp_ms.map_or(0, |first| now_ms.saturating_sub(first));
        if active.size_bytes() > 0 && waited_ms > config.max_compaction_lag_ms {
            self.roll(&mut writer, log_end, now_ms)?;
        }
        Ok(())
    }

    fn rewrite(
        &self,
        group: &[Arc<Segment>],
        filter: &mut Filter<'_>,
        config: &TopicConfig,
    ) -> Result<Option<Rewritten>> {
        let rewritten = rewrite(&self.dir, group, filter, config.index_interval_bytes)?;
        if let Some(rewritten) = &rewritten {
            let synced = self.files.disk().sync(&rewritten.file);
            synced.map_err(LogError::io("sync", &self.dir))?;
        }
        Ok(rewritten)
    }

    fn facts_of_rewritten(&self, segment: &Segment, filter: &Filter<'_>) -> Result<SegmentFacts> {
        let content = segment.with(Content::clone);
        let mut aborted = AbortedIndex::default();
        aborted.extend(
            &lock::read(&self.aborted).ended_within(segment.base_offset, content.next_offset),
        );
        aborted.forget_markers(&filter.dropped_markers);
        let aborted = aborted.ended_within(segment.base_offset, content.next_offset);
        let index = lock::read(&segment.opened()?.index).clone();
        Ok(SegmentFacts { content, index, aborted, open: filter.open.by_first_offset() })
    }

    /// Puts a segment in place of those that it was made of.
    fn replace(&self, group: &[Arc<Segment>], segment: Segment) {
        // With the lock for appends, which add to the same list.
        let _writer = lock::mutex(&self.writer);
        let mut view = lock::write(&self.view);
        let mut segments: Vec<Arc<Segment>> = view.segments.to_vec();
        let first = segments.partition_point(|other| other.base_offset < segment.base_offset);
        segments.splice(first..first + group.len(), [Arc::new(segment)]);
        view.segments = Arc::new(segments);
    }
}

/// Up to where the log is to be compacted; `None` when it is not worth it now.
fn cleanable_end(view: &View, dirty_from: i64, config: &TopicConfig, now_ms: i64) -> Option<i64> {
    let last_stable = view.last_stable();
    let (mut clean_bytes, mut dirty_bytes) = (0, 0);
    let mut end = None;
    let mut waited_ms = 0;
    for (at, segment) in view.segments.iter().enumerate() {
        let next_offset = view.next_offset(at);
        let is_active = at + 1 == view.segments.len();
        if next_offset <= dirty_from {
            clean_bytes += segment.size_bytes();
            continue;
        }
        let (max_timestamp_ms, first_timestamp_ms) =
            segment.with(|content| (content.max_timestamp_ms, content.first_timestamp_ms));
        let youngest = now_ms.saturating_sub(config.min_compaction_lag_ms);
        let too_young = config.min_compaction_lag_ms > 0 && max_timestamp_ms > youngest;
        if is_active || next_offset > last_stable || too_young {
            break;
        }
        dirty_bytes += segment.size_bytes();
        waited_ms =
            first_timestamp_ms.map_or(0, |first| now_ms.saturating_sub(first)).max(waited_ms);
        end = Some(next_offset);
    }
    let ratio = dirty_bytes as f64 / (clean_bytes + dirty_bytes).max(1) as f64;
    let due = ratio > config.min_cleanable_dirty_ratio || waited_ms > config.max_compaction_lag_ms;
    end.filter(|_| due && dirty_bytes > 0)
}

/// The newest offset of each key from one offset to another.
fn newest_offsets(
    view: &View,
    from: i64,
    end: i64,
    transactions: &Transactions,
    seed: u64,
) -> Result<NewestOffsets> {
    let mut newest = NewestOffsets::new(seed, end);
    for segment in &view.segments[view.segment_at(from)..] {
        if segment.base_offset >= end || newest.is_full() {
            break;
        }
        walk(segment, 0, segment.size_bytes(), |header, batch| {
            let holds_data = !header.attributes.is_control() && !transactions.aborted(header);
            if header.last_offset() >= from && holds_data {
                let broken =
                    |reason| segment.damaged(0, format!("{}: {reason}", header.base_offset));
                let block = decode(header, batch).map_err(broken)?;
                for record in Records::new(header, &block) {
                    let record = record.map_err(broken)?;
                    if let Some(key) = record.key {
                        newest.note(key, record.offset);
                    }
                }
            }
            if newest.is_full() {
                newest.end_at(header.next_offset());
            }
            Ok(!newest.is_full())
        })?;
    }
    Ok(newest)
}

/// Neighbours that fit into one segment together.
fn groups(segments: &[Arc<Segment>], segment_bytes: u32) -> Vec<&[Arc<Segment>]> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|segment| {
            bytes += segment.size_bytes();
            let offsets = segment.next_offset() - first.base_offset;
            bytes <= u64::from(segment_bytes) && offsets <= i64::from(i32::MAX)
        });
        let (group, behind) = rest.split_at(fits.count().max(1));
        groups.push(group);
        rest = behind;
    }
    groups
}
