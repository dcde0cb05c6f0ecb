use std::sync::Arc;
use std::time::Duration;

use millrace_core::Error;
use millrace_core::seam::Clock;
use rdkafka::message::Message;

use super::offset_map::{OffsetMap, Stored};
use crate::failure::Failure;
use crate::log::client::failed;
use crate::log::cluster::Cluster;
use crate::log::patience::Patience;
use crate::log::reader::{Event, Reader, Start, Then};

/// Reads the offset map that the target keeps.
pub(super) fn load(
    target: &Cluster,
    topic: &str,
    clock: &Arc<dyn Clock>,
) -> Result<OffsetMap, Failure> {
    let doing = || format!("cannot read the offset map `{topic}` of `{}`", target.address());
    let consumer = target.consumer(&[
        ("group.id", "millrace-mirror"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
    ])?;
    let range = target.ranges(&consumer, [(topic.to_owned(), 0)])?[0].2;
    let mut reader = Reader::new(consumer, Patience::new(false), Arc::clone(clock));
    let start = Start { topic: topic.to_owned(), partition: 0, offset: range.low };
    reader.add(vec![start]).map_err(|error| failed(doing(), &error))?;
    let mut stored: Vec<Stored> = Vec::new();
    let mut visit = |_: usize, event: Event<'_>| match event {
        Event::Record(record) => {
            let entry = serde_json::from_slice(record.payload().unwrap_or_default());
            stored.push(entry.map_err(|cause| {
                Failure::operation(
                    &Error::restore(doing())
                        .caused_by(cause)
                        .hint("somebody else wrote to it; begin anew with another --name"),
                )
            })?);
            Ok(Then::Next)
        }
        Event::End => Ok(Then::Done),
        Event::Failed(error) => Err(failed(doing(), &error)),
    };
    while !reader.is_done() {
        reader.turn::<Failure>(Duration::from_millis(100), &mut visit)?;
    }
    Ok(OffsetMap::of(stored))
}
