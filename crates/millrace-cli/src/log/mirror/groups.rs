//! Moving consumer groups along at the target.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::types::RDKafkaErrorCode;

use super::offset_map::OffsetMap;
use crate::failure::Failure;
use crate::log::client::{code_of, failed};
use crate::log::cluster::Cluster;
use crate::log::groups::{Committed, all, commit, committed, spokesman};
use crate::stderr::say;

/// Commits at the target what groups have committed at the source, in the target's offsets. A group
/// that has members at the target carries on there, and is left alone; none is ever moved back.
pub(super) struct GroupSync {
    source: Cluster,
    target: Cluster,
    pattern: regex::Regex,
    /// What the groups had committed at the source when they were last moved, and what at the
    /// target.
    last: BTreeMap<String, Vec<(String, i32, i64)>>,
    /// Groups that were found at work at the target.
    at_work: BTreeSet<String>,
    moved: u64,
}

impl GroupSync {
    pub(super) fn new(source: &Cluster, target: &Cluster, pattern: &regex::Regex) -> Self {
        GroupSync {
            source: source.clone(),
            target: target.clone(),
            pattern: pattern.clone(),
            last: BTreeMap::new(),
            at_work: BTreeSet::new(),
            moved: 0,
        }
    }

    /// Committed offsets that were moved so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves what is to be moved.
    pub(super) fn sync(&mut self, map: &OffsetMap) -> Result<(), Failure> {
        let groups = all(&self.source, &*self.source.consumer(&[])?)?;
        for group in groups {
            let is_of_consumers = matches!(group.kind.as_str(), "consumer" | "");
            if !is_of_consumers || !self.pattern.is_match(&group.name) {
                continue;
            }
            let offsets = {
                let consumer = spokesman(&self.source, &group.name)?;
                committed(&self.source, &consumer, &group.name)?
            };
            let wanted = translated(map, &offsets);
            if wanted.is_empty() || self.last.get(&group.name) == Some(&wanted) {
                continue;
            }
            self.advance(&group.name, wanted)?;
        }
        Ok(())
    }

    fn advance(&mut self, group: &str, wanted: Vec<(String, i32, i64)>) -> Result<(), Failure> {
        let consumer = spokesman(&self.target, group)?;
        let there = committed(&self.target, &consumer, group)?;
        let ahead = ahead(&wanted, &there);
        if !ahead.is_empty() {
            let offsets = ahead.len() as u64;
            match commit(&consumer, ahead) {
                Ok(()) => self.moved += offsets,
                Err(error) if is_at_work(code_of(&error)) => {
                    if self.at_work.insert(group.to_owned()) {
                        say!("group `{group}` is at work at the target, and is left alone");
                    }
                    return Ok(());
                }
                Err(error) => {
                    return Err(failed(
                        format!("cannot move group `{group}` in `{}`", self.target.address()),
                        &error,
                    ));
                }
            }
        }
        self.last.insert(group.to_owned(), wanted);
        Ok(())
    }
}

/// The committed offsets of copied partitions, in the target's offsets.
fn translated(map: &OffsetMap, offsets: &[Committed]) -> Vec<(String, i32, i64)> {
    offsets
        .iter()
        .filter(|old| map.knows(&old.topic, old.partition))
        // Where no place is known, the group begins at the beginning, as one that has never
        // committed does.
        .filter_map(|old| {
            let offset = map.translate(&old.topic, old.partition, old.offset)?;
            Some((old.topic.clone(), old.partition, offset))
        })
        .collect()
}

/// Those that are further than what is there.
fn ahead(wanted: &[(String, i32, i64)], there: &[Committed]) -> Vec<(String, i32, i64)> {
    let is_ahead = |(topic, partition, offset): &&(String, i32, i64)| {
        let there = there.iter().find(|old| old.topic == *topic && old.partition == *partition);
        there.is_none_or(|old| *offset > old.offset)
    };
    wanted.iter().filter(is_ahead).cloned().collect()
}

fn is_at_work(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::NonEmptyGroup
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::mirror::offset_map::Run;

    fn committed(partition: i32, offset: i64) -> Committed {
        Committed { topic: "t".to_owned(), partition, offset, metadata: String::new() }
    }

    #[test]
    fn groups_are_moved_ahead_and_never_back() {
        let mut map = OffsetMap::default();
        for partition in [0, 1] {
            let run = Run { source: 10, target: 0, records: 5 };
            map.extend(map.numbered("t", partition, &[run]));
        }
        let wanted = translated(&map, &[committed(0, 12), committed(1, 13), committed(2, 9)]);
        assert_eq!(wanted, [("t".to_owned(), 0, 2), ("t".to_owned(), 1, 3)]);
        assert_eq!(ahead(&wanted, &[committed(0, 2), committed(1, 1)]), wanted[1..]);
        assert_eq!(ahead(&wanted, &[committed(0, 4)]), wanted[1..]);
        assert_eq!(ahead(&wanted, &[]), wanted);
    }
}
