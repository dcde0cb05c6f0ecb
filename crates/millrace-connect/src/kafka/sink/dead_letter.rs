//! Records that could not be decoded, to a topic.
//!
//! A dead letter is the record itself: its value is the payload, byte for byte, so that a table over
//! the dead-letter topic with the columns and the format of the first one replays it. What is known
//! about it stands in its headers.

use std::sync::Arc;

use millrace_core::seam::Clock;
use millrace_core::{BadRecord, Batch, Error, Records, Result, Sink, SinkContext};

use super::guarantee::DeliveryGuarantee;
use super::outgoing::{Outgoing, OutgoingRecord, Serialization, Serializer};
use super::topic_sink::TopicSink;
use crate::TableSpec;
use crate::kafka::properties::ClientProperties;

/// Where the record came from.
const TABLE: &str = "millrace.table";
const TOPIC: &str = "millrace.topic";
const PARTITION: &str = "millrace.partition";
const OFFSET: &str = "millrace.offset";
/// What is wrong with it.
const CAUSE: &str = "millrace.cause";
/// When that was found, in milliseconds since 1970.
const TIME: &str = "millrace.time";

/// The sink that `bad-records.topic` asks for: `Records<BadRecord>` of splits `TOPIC-PARTITION`.
/// `client` are the properties of the table that is read.
///
/// It is at least once, or exactly once where `bad-records.transactional-id-prefix` is given.
///
/// # Errors
/// `FixInput` for options that exclude each other.
pub(crate) fn dead_letter_topic(
    table: &TableSpec,
    client: &ClientProperties,
) -> Result<Option<Arc<dyn Sink>>> {
    const PREFIX: &str = "bad-records.transactional-id-prefix";
    let options = &table.options;
    let topic = options.text("bad-records.topic");
    let prefix = options.text(PREFIX);
    let Some(topic) = topic else {
        return match prefix {
            None => Ok(None),
            Some(_) => {
                Err(Error::fix_input(format!("option `{PREFIX}` needs `bad-records.topic`")))
            }
        };
    };
    let guarantee = match prefix {
        Some(_) => DeliveryGuarantee::ExactlyOnce,
        None => DeliveryGuarantee::AtLeastOnce,
    };
    let letters = DeadLetters { table: table.name.clone() };
    let (prefix, letters) = (prefix.map(str::to_owned), Arc::new(letters));
    let sink = TopicSink::new(topic, client.clone(), guarantee, prefix, letters)?;
    Ok(Some(Arc::new(sink)))
}

struct DeadLetters {
    table: String,
}

impl Serialization for DeadLetters {
    fn serializer(&self, context: &SinkContext, _partitions: i32) -> Box<dyn Serializer> {
        let (table, clock) = (self.table.clone(), Arc::clone(&context.seams.clock));
        Box::new(DeadLetterSerializer { table, clock })
    }
}

struct DeadLetterSerializer {
    table: String,
    clock: Arc<dyn Clock>,
}

impl Serializer for DeadLetterSerializer {
    fn serialize(&mut self, batch: Batch, out: &mut Outgoing) -> Result<()> {
        let records: Records<BadRecord> = batch.downcast()?;
        let time_ms = self.clock.now().as_millis();
        for record in &records.values {
            let split = record.split.as_str();
            // A split that is no partition is named whole.
            let (topic, partition) = split.rsplit_once('-').unwrap_or((split, ""));
            let value = out.put(&record.raw);
            let header = |name: &str, text: String| (name.to_owned(), Some(text.into_bytes()));
            out.records.push(OutgoingRecord {
                value: Some(value),
                headers: vec![
                    header(TABLE, self.table.clone()),
                    header(TOPIC, topic.to_owned()),
                    header(PARTITION, partition.to_owned()),
                    header(OFFSET, record.offset.to_string()),
                    header(CAUSE, record.cause.clone()),
                    header(TIME, time_ms.to_string()),
                ],
                ..OutgoingRecord::default()
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millrace_core::seam::Seams;
    use millrace_core::{OperatorId, SplitId, Subtask, Timestamp};

    use super::*;

    #[test]
    fn a_dead_letter_is_the_record_with_its_story_in_headers() {
        let letters = DeadLetters { table: "orders".into() };
        let context = SinkContext {
            id: OperatorId::new("letters"),
            subtask: Subtask { index: 0, parallelism: 1 },
            restored: Vec::new(),
            attempt: 1,
            checkpoint_interval: None,
            seams: Seams::system(),
        };
        let mut serializer = letters.serializer(&context, 3);
        let bad = BadRecord {
            split: SplitId::new("eu-orders-12"),
            line: None,
            column: None,
            offset: 77,
            cause: "`x` is not a BIGINT".into(),
            raw: b"\xff{".to_vec(),
        };
        let mut out = Outgoing::default();
        let batch = Batch::new(Records::new(vec![bad], vec![Timestamp::MIN]));
        serializer.serialize(batch, &mut out).unwrap();
        let record = &out.records[0];
        assert_eq!(out.text(&record.value).unwrap(), b"\xff{");
        let text = |name: &str| {
            let header = record.headers.iter().find(|(found, _)| found == name).unwrap();
            String::from_utf8(header.1.clone().unwrap()).unwrap()
        };
        assert_eq!(
            (text(TOPIC), text(PARTITION), text(OFFSET)),
            ("eu-orders".into(), "12".into(), "77".into())
        );
        assert_eq!((text(TABLE), text(CAUSE)), ("orders".into(), "`x` is not a BIGINT".into()));
        assert!(text(TIME).parse::<i64>().unwrap() > 0);
    }
}
