//! Where reading begins and where it ends: the options, and the questions to the broker.

use std::collections::BTreeMap;
use std::str::FromStr;

use millrace_core::{Error, Result};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::client_error;
use super::consumer::SourceConsumer;
use super::options::Topics;
use super::position::TopicPartition;
use super::properties::ClientProperties;
use crate::Options;

/// A place in each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first record that is still there.
    Earliest,
    /// Behind the last record that can be read.
    Latest,
    /// Where the group has come to.
    GroupOffsets,
    /// The first record of this time, in milliseconds since 1970, or a later one.
    Timestamp(i64),
    /// The offsets of the topic's partitions.
    Specific(BTreeMap<i32, i64>),
}

/// Where each partition is read from and to.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub start: Place,
    /// `None` is reading without end.
    pub stop: Option<Place>,
}

impl Bounds {
    /// Takes `scan.startup.…` and `scan.bounded.…`.
    ///
    /// # Errors
    /// `FixInput` naming the option that is wrong or missing.
    pub fn from_options(
        options: &Options,
        topics: &Topics,
        client: &ClientProperties,
    ) -> Result<Self> {
        let mode = options.text("scan.startup.mode").unwrap_or("group-offsets");
        let start = match mode {
            "earliest-offset" => Place::Earliest,
            _ => place(
                options,
                "scan.startup",
                mode,
                "earliest-offset, latest-offset, group-offsets, timestamp or specific-offsets",
            )?,
        };
        refuse_idle_values(options, "scan.startup", &start)?;
        let bounds = Bounds { start, stop: stop(options)? };
        bounds.check(topics, client)?;
        Ok(bounds)
    }

    /// Takes `scan.bounded.…` of a table that is read from its first record on.
    ///
    /// # Errors
    /// As for [`Bounds::from_options`].
    pub fn from_the_beginning(
        options: &Options,
        topics: &Topics,
        client: &ClientProperties,
    ) -> Result<Self> {
        let bounds = Bounds { start: Place::Earliest, stop: stop(options)? };
        bounds.check(topics, client)?;
        Ok(bounds)
    }

    /// # Errors
    /// `FixInput` for a place that needs a group or one topic, where there is none.
    pub fn check(&self, topics: &Topics, client: &ClientProperties) -> Result<()> {
        let one_topic = matches!(topics, Topics::List(names) if names.len() == 1);
        for (option, place) in
            [("scan.startup.mode", Some(&self.start)), ("scan.bounded.mode", self.stop.as_ref())]
        {
            match place {
                Some(Place::GroupOffsets) if client.group_id.is_none() => {
                    return Err(Error::fix_input(format!(
                        "option `properties.group.id` is missing: `{option}` is `group-offsets`"
                    ))
                    .hint("name the group, or set `scan.startup.mode` to `earliest-offset`"));
                }
                Some(Place::Specific(_)) if !one_topic => {
                    return Err(Error::fix_input(format!(
                        "option `{option}` can be `specific-offsets` for a single topic only"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The place that `scan.bounded.…` names.
fn stop(options: &Options) -> Result<Option<Place>> {
    let mode = options.text("scan.bounded.mode").unwrap_or("unbounded");
    if mode == "unbounded" {
        return Ok(None);
    }
    let modes = "unbounded, latest-offset, group-offsets, timestamp or specific-offsets";
    let stop = place(options, "scan.bounded", mode, modes)?;
    refuse_idle_values(options, "scan.bounded", &stop)?;
    Ok(Some(stop))
}

fn place(options: &Options, scope: &str, mode: &str, modes: &str) -> Result<Place> {
    match mode {
        "latest-offset" => Ok(Place::Latest),
        "group-offsets" => Ok(Place::GroupOffsets),
        "timestamp" => {
            let millis: i64 = options.required(&format!("{scope}.timestamp-millis"))?;
            if millis < 0 {
                return Err(Error::fix_input(format!(
                    "option `{scope}.timestamp-millis` cannot be `{millis}`: it is before 1970"
                )));
            }
            Ok(Place::Timestamp(millis))
        }
        "specific-offsets" => {
            let SpecificOffsets(offsets) =
                options.required(&format!("{scope}.specific-offsets"))?;
            Ok(Place::Specific(offsets))
        }
        other => Err(Error::fix_input(format!("option `{scope}.mode` cannot be `{other}`"))
            .hint(format!("use {modes}"))),
    }
}

/// A value that the mode does not look at would be passed over in silence.
fn refuse_idle_values(options: &Options, scope: &str, place: &Place) -> Result<()> {
    for (name, needs, used) in [
        ("timestamp-millis", "timestamp", matches!(place, Place::Timestamp(_))),
        ("specific-offsets", "specific-offsets", matches!(place, Place::Specific(_))),
    ] {
        let name = format!("{scope}.{name}");
        if !used && options.text(&name).is_some() {
            return Err(Error::fix_input(format!(
                "option `{name}` needs `{scope}.mode` = `{needs}`"
            )));
        }
    }
    Ok(())
}

/// `partition:0,offset:42;partition:1,offset:300`
struct SpecificOffsets(BTreeMap<i32, i64>);

impl FromStr for SpecificOffsets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut offsets = BTreeMap::new();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let parsed = entry.split_once(',').and_then(|(partition, offset)| {
                let partition = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
                let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
                (partition >= 0 && offset >= 0).then_some((partition, offset))
            });
            let (partition, offset) =
                parsed.ok_or_else(|| format!("`{entry}` is not like `partition:0,offset:42`"))?;
            if offsets.insert(partition, offset).is_some() {
                return Err(format!("partition {partition} is named twice"));
            }
        }
        if offsets.is_empty() {
            return Err("it names no partition".to_owned());
        }
        Ok(SpecificOffsets(offsets))
    }
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, i64>;

/// Asks a broker. Blocks up to the client's time-out.
pub(crate) struct Resolver<'a> {
    pub consumer: &'a SourceConsumer,
    pub client: &'a ClientProperties,
    pub partitions: &'a [TopicPartition],
}

impl Resolver<'_> {
    /// The offset of `place` in each partition, to begin at.
    ///
    /// # Errors
    /// `FixInput` where the group has no offset and no reset is chosen, `Retry` where no broker
    /// answers.
    pub fn start(&self, place: &Place) -> Result<Offsets> {
        match place {
            Place::GroupOffsets => self.committed(|| self.reset()),
            Place::Specific(given) => {
                // Flink's rule for those that are not named.
                let mut offsets = match self.client.group_id {
                    Some(_) if given.len() < self.partitions.len() => {
                        self.committed(|| self.list(Place::Earliest))?
                    }
                    _ => self.list(Place::Earliest)?,
                };
                self.specify(given, &mut offsets)?;
                Ok(offsets)
            }
            other => self.list(other.clone()),
        }
    }

    /// The offset of `place` in each partition, to stop before.
    ///
    /// # Errors
    /// As for [`Resolver::start`].
    pub fn stop(&self, place: &Place) -> Result<Offsets> {
        match place {
            Place::GroupOffsets => self.committed(|| {
                Err(Error::fix_input(format!(
                    "group `{}` has no offset to stop at in some partition",
                    self.client.group_id.as_deref().unwrap_or_default()
                ))
                .hint("set `scan.bounded.mode` to `latest-offset`"))
            }),
            Place::Specific(given) => {
                if let Some(missing) =
                    self.partitions.iter().find(|one| !given.contains_key(&one.partition))
                {
                    return Err(Error::fix_input(format!(
                        "option `scan.bounded.specific-offsets` says nothing of {missing}"
                    )));
                }
                let mut offsets = Offsets::new();
                self.specify(given, &mut offsets)?;
                Ok(offsets)
            }
            other => self.list(other.clone()),
        }
    }

    fn specify(&self, given: &BTreeMap<i32, i64>, offsets: &mut Offsets) -> Result<()> {
        for (&partition, &offset) in given {
            let Some(one) = self.partitions.iter().find(|one| one.partition == partition) else {
                return Err(Error::fix_input(format!(
                    "an offset is given for partition {partition}, which the topic does not have"
                )));
            };
            offsets.insert(one.clone(), offset);
        }
        Ok(())
    }

    /// What `auto.offset.reset` says; without it, that there is nothing to begin at is an error.
    fn reset(&self) -> Result<Offsets> {
        match self.client.offset_reset.as_deref() {
            Some("earliest") => self.list(Place::Earliest),
            Some("latest") => self.list(Place::Latest),
            _ => Err(Error::fix_input(format!(
                "group `{}` has no offset to begin at in some partition",
                self.client.group_id.as_deref().unwrap_or_default()
            ))
            .hint(
                "set `properties.auto.offset.reset` to `earliest` or `latest`, or \
                 `scan.startup.mode` to `earliest-offset`",
            )),
        }
    }

    /// The group's offsets; `otherwise` is asked for those of partitions that have none.
    fn committed(&self, otherwise: impl FnOnce() -> Result<Offsets>) -> Result<Offsets> {
        let group = self.client.group_id.as_deref().unwrap_or_default();
        let mut asked = TopicPartitionList::new();
        for one in self.partitions {
            asked.add_partition(&one.topic, one.partition);
        }
        let doing = || format!("the offsets of group `{group}` cannot be read");
        let answer = self
            .client
            .ask(doing, |limit| self.consumer.committed_offsets(asked.clone(), limit))?;
        let found = read_list(&answer, doing)?;
        if found.len() == self.partitions.len() {
            return Ok(found);
        }
        let mut offsets = otherwise()?;
        offsets.extend(found);
        Ok(offsets)
    }

    /// Asks each partition's leader for the offset of a time or of one of the ends.
    fn list(&self, place: Place) -> Result<Offsets> {
        let mut asked = TopicPartitionList::new();
        // In this request the ends are the times -2 and -1, which is how librdkafka writes them as
        // offsets.
        let time = match place {
            Place::Earliest => Offset::Beginning,
            Place::Timestamp(millis) => Offset::Offset(millis),
            _ => Offset::End,
        };
        for one in self.partitions {
            asked.add_partition_offset(&one.topic, one.partition, time).map_err(|cause| {
                client_error(format!("the offsets of {one} cannot be asked for"), cause)
            })?;
        }
        let doing = || "the offsets of topics cannot be read".to_owned();
        let answer = self
            .client
            .ask(doing, |limit| self.consumer.offsets_for_times(asked.clone(), limit))?;
        let mut found = read_list(&answer, doing)?;
        if found.len() < self.partitions.len() {
            if !matches!(place, Place::Timestamp(_)) {
                return Err(Error::retry("a broker does not know the ends of some partition"));
            }
            // No record is so young: the end.
            for (one, end) in self.list(Place::Latest)? {
                found.entry(one).or_insert(end);
            }
        }
        Ok(found)
    }
}

/// The offsets of a broker's answer; partitions without one are left out.
fn read_list(answer: &TopicPartitionList, doing: impl Fn() -> String) -> Result<Offsets> {
    let mut offsets = Offsets::new();
    for element in answer.elements() {
        let one =
            TopicPartition { topic: element.topic().to_owned(), partition: element.partition() };
        element.error().map_err(|cause| client_error(format!("{}: {one}", doing()), cause))?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(one, offset);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(pairs: &[(&str, &str)]) -> Result<Bounds> {
        let options = Options::new(pairs.iter().copied());
        let client = ClientProperties::from_options(&options)?;
        Bounds::from_options(&options, &Topics::List(vec!["t".into()]), &client)
    }

    #[test]
    fn modes_are_those_of_flink() {
        let found = bounds(&[
            ("scan.startup.mode", "specific-offsets"),
            ("scan.startup.specific-offsets", "partition:0,offset:42;partition:1,offset:300"),
            ("scan.bounded.mode", "timestamp"),
            ("scan.bounded.timestamp-millis", "1700000000000"),
        ])
        .unwrap();
        assert_eq!(found.start, Place::Specific(BTreeMap::from([(0, 42), (1, 300)])));
        assert_eq!(found.stop, Some(Place::Timestamp(1_700_000_000_000)));
        let found = bounds(&[("properties.group.id", "g")]).unwrap();
        assert_eq!((found.start, found.stop), (Place::GroupOffsets, None));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (pairs, wanted) in [
            (&[][..], "`properties.group.id` is missing"),
            (&[("scan.startup.mode", "newest")], "`scan.startup.mode` cannot be `newest`"),
            (&[("scan.startup.mode", "timestamp")], "`scan.startup.timestamp-millis` is missing"),
            (
                &[("scan.startup.mode", "latest-offset"), ("scan.startup.timestamp-millis", "5")],
                "needs `scan.startup.mode` = `timestamp`",
            ),
            (
                &[
                    ("scan.startup.mode", "specific-offsets"),
                    ("scan.startup.specific-offsets", "partition:0;offset:1"),
                ],
                "is not like `partition:0,offset:42`",
            ),
            (
                &[("scan.startup.mode", "latest-offset"), ("scan.bounded.mode", "earliest-offset")],
                "`scan.bounded.mode` cannot be `earliest-offset`",
            ),
        ] {
            let error = bounds(pairs).unwrap_err();
            assert!(error.message().contains(wanted), "{}", error.full_report());
        }
    }
}
