//! Checks what clients of the log saw, while its process was killed again and again.
//!
//! Each partition of the log is a sequence that only grows, and every operation takes effect at one
//! moment between its call and its answer. From that follows what [`History::check`] looks for; the
//! rules are numbered in its messages:
//!
//! 1. What was acknowledged is in the log, at the offset that was said.
//! 2. What is in the log was sent, and is there once.
//! 3. One producer's records stand in the order in which it sent them.
//! 4. A record that was acknowledged before another was sent stands before it.
//! 5. What a consumer read at an offset is what the log holds there.
//! 6. In one generation of a group a partition has one reader, and from each of its beginnings it
//!    reads each record once and in order, with none left out between two that were read. (A member
//!    that joins again without a change is told the generation that there is, and begins again at
//!    what it committed.)
//! 7. A generation begins to read a partition where the last acknowledged commit stood, or behind it.
//! 8. An end offset that is asked for covers what was acknowledged before the question, and never
//!    what was first sent after the answer.

use std::collections::BTreeMap;
use std::fmt;

/// A record's identity: its producer and the number that the producer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    pub producer: u32,
    pub number: u32,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.number)
    }
}

/// A moment of the one clock that all clients of a run share.
pub type Moment = u64;

/// A record was sent.
#[derive(Clone, Debug)]
pub struct Send {
    pub record: RecordId,
    pub partition: i32,
    pub called: Moment,
    /// When the answer came and the offset it named; `None` when it never came, so that the record
    /// may be there or not.
    pub acknowledged: Option<(Moment, i64)>,
}

/// A consumer read a record.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub partition: i32,
    pub offset: i64,
    pub record: RecordId,
    /// The group's generation: in each, a partition has one reader.
    pub generation: i32,
    /// The member that read, and when it last joined.
    pub reader: (u64, Moment),
}

/// A member of the group committed an offset, and was told that it stands.
#[derive(Clone, Debug)]
pub struct Commit {
    pub partition: i32,
    pub offset: i64,
    pub answered: Moment,
}

/// A generation asked where to begin.
#[derive(Clone, Debug)]
pub struct Start {
    pub partition: i32,
    pub called: Moment,
    /// -1 when there was no commit.
    pub offset: i64,
}

/// A client asked for a partition's end offset.
#[derive(Clone, Debug)]
pub struct EndOffset {
    pub partition: i32,
    pub called: Moment,
    pub answered: Moment,
    pub offset: i64,
}

/// All that was seen, each list in the order in which its clients saw it.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub sends: Vec<Send>,
    pub deliveries: Vec<Delivery>,
    pub commits: Vec<Commit>,
    pub starts: Vec<Start>,
    pub end_offsets: Vec<EndOffset>,
    /// The partitions as they are read at the end, from the first offset on.
    pub log: BTreeMap<i32, Vec<(i64, RecordId)>>,
}

impl History {
    /// Everything that breaks a rule, in words.
    pub fn check(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let sent: BTreeMap<RecordId, &Send> =
            self.sends.iter().map(|send| (send.record, send)).collect();
        let mut places: BTreeMap<RecordId, (i32, i64)> = BTreeMap::new();
        for (&partition, records) in &self.log {
            for &(offset, record) in records {
                if let Some(other) = places.insert(record, (partition, offset)) {
                    broken.push(format!(
                        "rule 2: record {record} stands at {partition}@{offset} and at {}@{}",
                        other.0, other.1
                    ));
                }
                match sent.get(&record) {
                    None => broken.push(format!(
                        "rule 2: record {record} at {partition}@{offset} was never sent"
                    )),
                    Some(send) if send.partition != partition => broken.push(format!(
                        "rule 2: record {record} was sent to {}, and stands at {partition}@{offset}",
                        send.partition
                    )),
                    Some(_) => {}
                }
            }
        }
        self.check_acknowledged(&places, &mut broken);
        self.check_producers(&places, &mut broken);
        self.check_real_time(&places, &mut broken);
        self.check_deliveries(&mut broken);
        self.check_starts(&mut broken);
        self.check_end_offsets(&places, &mut broken);
        broken
    }

    fn check_acknowledged(
        &self,
        places: &BTreeMap<RecordId, (i32, i64)>,
        broken: &mut Vec<String>,
    ) {
        for send in &self.sends {
            let Some((_, offset)) = send.acknowledged else { continue };
            let found = places.get(&send.record);
            if found != Some(&(send.partition, offset)) {
                broken.push(format!(
                    "rule 1: record {} was acknowledged at {}@{offset}, and is {}",
                    send.record,
                    send.partition,
                    found.map_or("lost".to_owned(), |(p, o)| format!("at {p}@{o}"))
                ));
            }
        }
    }

    fn check_producers(&self, places: &BTreeMap<RecordId, (i32, i64)>, broken: &mut Vec<String>) {
        let mut last: BTreeMap<(u32, i32), (u32, i64)> = BTreeMap::new();
        for (record, &(partition, offset)) in places {
            if let Some((number, before)) =
                last.insert((record.producer, partition), (record.number, offset))
                && offset <= before
            {
                broken.push(format!(
                    "rule 3: record {record} at {partition}@{offset} stands before {}/{number} at \
                     {before}",
                    record.producer
                ));
            }
        }
    }

    /// By a sweep over the moments: no record may stand below the largest offset that was
    /// acknowledged before it was sent.
    fn check_real_time(&self, places: &BTreeMap<RecordId, (i32, i64)>, broken: &mut Vec<String>) {
        let mut acknowledged: BTreeMap<i32, Vec<(Moment, i64)>> = BTreeMap::new();
        for send in &self.sends {
            if let Some(answer) = send.acknowledged {
                acknowledged.entry(send.partition).or_default().push(answer);
            }
        }
        acknowledged.values_mut().for_each(|answers| answers.sort_unstable());
        let mut sends: Vec<&Send> = self.sends.iter().collect();
        sends.sort_unstable_by_key(|send| send.called);
        let mut swept: BTreeMap<i32, (usize, i64)> = BTreeMap::new();
        for send in sends {
            let Some(answers) = acknowledged.get(&send.partition) else { continue };
            let (next, largest) = swept.entry(send.partition).or_insert((0, -1));
            while let Some(&(at, offset)) = answers.get(*next)
                && at < send.called
            {
                *largest = (*largest).max(offset);
                *next += 1;
            }
            if let Some(&(partition, offset)) = places.get(&send.record)
                && offset <= *largest
            {
                broken.push(format!(
                    "rule 4: record {} at {partition}@{offset} was sent after the acknowledgement \
                     of {partition}@{largest}",
                    send.record
                ));
            }
        }
    }

    fn check_deliveries(&self, broken: &mut Vec<String>) {
        let mut positions: BTreeMap<((u64, Moment), i32), i64> = BTreeMap::new();
        let mut owners: BTreeMap<(i32, i32), u64> = BTreeMap::new();
        for delivery in &self.deliveries {
            let Delivery { partition, offset, record, generation, reader } = delivery;
            let owner = *owners.entry((*generation, *partition)).or_insert(reader.0);
            if owner != reader.0 {
                broken.push(format!(
                    "rule 6: {partition} was read by {owner} and {} in generation {generation}",
                    reader.0
                ));
            }
            let log = self.log.get(partition).map_or(&[][..], Vec::as_slice);
            match log.binary_search_by_key(offset, |(offset, _)| *offset) {
                Ok(at) if log[at].1 == *record => {}
                Ok(at) => broken.push(format!(
                    "rule 5: {partition}@{offset} was read as {record}, and holds {}",
                    log[at].1
                )),
                Err(_) => broken.push(format!(
                    "rule 5: {partition}@{offset} was read as {record}, and is gone"
                )),
            }
            if let Some(before) = positions.insert((*reader, *partition), *offset) {
                let between = log.iter().filter(|(at, _)| *at > before && at < offset).count();
                if *offset <= before || between > 0 {
                    broken.push(format!(
                        "rule 6: generation {generation} read {partition}@{offset} after {before}, \
                         with {between} records between"
                    ));
                }
            }
        }
    }

    fn check_starts(&self, broken: &mut Vec<String>) {
        for start in &self.starts {
            let before = self.commits.iter().filter(|commit| {
                commit.partition == start.partition && commit.answered < start.called
            });
            let largest = before.map(|commit| commit.offset).max().unwrap_or(-1);
            if start.offset < largest {
                broken.push(format!(
                    "rule 7: reading of {} began at {} after {largest} had been committed",
                    start.partition, start.offset
                ));
            }
        }
    }

    fn check_end_offsets(&self, places: &BTreeMap<RecordId, (i32, i64)>, broken: &mut Vec<String>) {
        for asked in &self.end_offsets {
            for send in self.sends.iter().filter(|send| send.partition == asked.partition) {
                if let Some((at, offset)) = send.acknowledged
                    && at < asked.called
                    && offset >= asked.offset
                {
                    broken.push(format!(
                        "rule 8: the end of {} was {} after {offset} had been acknowledged",
                        asked.partition, asked.offset
                    ));
                }
                if let Some(&(_, offset)) = places.get(&send.record)
                    && send.called > asked.answered
                    && offset < asked.offset
                {
                    broken.push(format!(
                        "rule 8: the end of {} was {} before the record at {offset} was sent",
                        asked.partition, asked.offset
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> RecordId {
        RecordId { producer: 1, number }
    }

    fn send(number: u32, called: Moment, acknowledged: Option<(Moment, i64)>) -> Send {
        Send { record: id(number), partition: 0, called, acknowledged }
    }

    /// Three records, two of them acknowledged, read whole by one consumer.
    fn good() -> History {
        let delivery = |offset, number| Delivery {
            partition: 0,
            offset,
            record: id(number),
            generation: 1,
            reader: (1, 1),
        };
        History {
            sends: vec![send(0, 1, Some((2, 0))), send(1, 3, None), send(2, 5, Some((6, 2)))],
            deliveries: vec![delivery(0, 0), delivery(1, 1), delivery(2, 2)],
            commits: vec![Commit { partition: 0, offset: 2, answered: 7 }],
            starts: vec![Start { partition: 0, called: 8, offset: 2 }],
            end_offsets: vec![EndOffset { partition: 0, called: 3, answered: 4, offset: 2 }],
            log: BTreeMap::from([(0, vec![(0, id(0)), (1, id(1)), (2, id(2))])]),
        }
    }

    fn rules(history: &History) -> Vec<String> {
        let mut rules: Vec<String> =
            history.check().iter().map(|message| message[..6].to_owned()).collect();
        rules.dedup();
        rules
    }

    #[test]
    fn a_sound_history_breaks_no_rule() {
        assert_eq!(good().check(), Vec::<String>::new());

        let mut again = good();
        let mut second = again.deliveries.clone();
        second.iter_mut().for_each(|delivery| delivery.reader.1 = 2);
        again.deliveries.extend(second);
        assert_eq!(again.check(), Vec::<String>::new(), "it joined again");
    }

    #[test]
    fn each_kind_of_damage_breaks_its_rule() {
        let mut lost = good();
        lost.log.get_mut(&0).unwrap().pop();
        lost.deliveries.pop();
        assert_eq!(rules(&lost), ["rule 1"]);

        let mut moved = good();
        moved.sends[2].acknowledged = Some((6, 7));
        assert_eq!(rules(&moved), ["rule 1"]);

        let mut doubled = good();
        doubled.log.get_mut(&0).unwrap().push((3, id(1)));
        assert!(rules(&doubled).contains(&"rule 2".to_owned()));

        let mut invented = good();
        invented.log.get_mut(&0).unwrap().push((3, id(9)));
        assert_eq!(rules(&invented), ["rule 2"]);

        let mut swapped = good();
        swapped.log = BTreeMap::from([(0, vec![(0, id(1)), (1, id(0)), (2, id(2))])]);
        swapped.sends[0].acknowledged = None;
        swapped.deliveries.clear();
        assert_eq!(rules(&swapped), ["rule 3"]);

        let mut overtaken = good();
        overtaken.sends[1].record.producer = 2;
        let other = overtaken.sends[1].record;
        overtaken.log = BTreeMap::from([(0, vec![(0, other), (1, id(0)), (2, id(2))])]);
        overtaken.sends[0].acknowledged = Some((2, 1));
        overtaken.deliveries.clear();
        assert_eq!(rules(&overtaken), ["rule 4"]);

        let mut phantom = good();
        phantom.deliveries[1].record = id(2);
        assert_eq!(rules(&phantom), ["rule 5"]);

        let mut again = good();
        again.deliveries.swap(0, 1);
        assert_eq!(rules(&again), ["rule 6"]);

        let mut shared = good();
        shared.deliveries[2].reader.0 = 2;
        assert_eq!(rules(&shared), ["rule 6"]);

        let mut gap = good();
        gap.deliveries.remove(1);
        assert_eq!(rules(&gap), ["rule 6"]);

        let mut back = good();
        back.starts[0].offset = 1;
        assert_eq!(rules(&back), ["rule 7"]);

        let mut stale = good();
        stale.end_offsets[0].offset = 0;
        assert_eq!(rules(&stale), ["rule 8"]);

        let mut early = good();
        early.end_offsets[0].offset = 3;
        assert_eq!(rules(&early), ["rule 8"]);
    }
}
