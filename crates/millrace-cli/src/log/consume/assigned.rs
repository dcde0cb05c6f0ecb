//! Reading without a group: partitions are assigned by hand.

use std::sync::Arc;

use millrace_core::Error;
use millrace_core::seam::Clock;
use rdkafka::message::Message;

use super::{Printer, TURN, isolation, topics};
use crate::failure::Failure;
use crate::log::args::ConsumeArguments;
use crate::log::attend::Stop;
use crate::log::client::failed;
use crate::log::cluster::{Cluster, Topic};
use crate::log::patience::Patience;
use crate::log::position::{Position, Range};
use crate::log::reader::{Event, Reader, Start, Then};
use crate::stderr::say;

/// Reads from the position that was asked for to the end that was asked for.
pub(super) fn read(
    cluster: &Cluster,
    arguments: &ConsumeArguments,
    printer: &mut Printer,
    stop: &Stop,
    clock: &Arc<dyn Clock>,
) -> Result<(), Failure> {
    let consumer = cluster.consumer(&[
        ("isolation.level", isolation(arguments)),
        ("enable.partition.eof", "true"),
        // The client asks for a name, which nobody gets to see: nothing is committed.
        ("group.id", "millrace-consume"),
        ("enable.auto.commit", "false"),
        // A position that is gone is an error, not another position.
        ("auto.offset.reset", "error"),
    ])?;
    let places = places(&topics(cluster, &consumer, arguments)?, &arguments.partitions)?;
    let ranges = cluster.ranges(&consumer, places)?;
    let from = arguments.from.unwrap_or(Position::Earliest);
    let began = from
        .resolve(&consumer, &ranges, clock.now())
        .map_err(|error| failed("cannot look up where to begin", &error))?;
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for ((topic, partition, range), offset) in ranges.into_iter().zip(began) {
        tell_if_moved(from, offset, &topic, partition, arguments.quiet);
        let end = end(arguments, range);
        if offset < end {
            starts.push(Start { topic, partition, offset });
            ends.push(end);
        }
    }
    let until_ms = match arguments.until {
        Some(Position::Time(time_ms)) => Some(time_ms),
        Some(Position::Ago(age)) => Some(clock.now().minus(age).as_millis()),
        _ => None,
    };
    let mut reader = Reader::new(consumer, Patience::new(arguments.follow), Arc::clone(clock));
    reader.add(starts.clone()).map_err(|error| failed("cannot read", &error))?;
    let mut visit = |lane: usize, event: Event<'_>| match event {
        Event::Record(record) => {
            let time_ms = record.timestamp().to_millis();
            let beyond = until_ms.is_some_and(|until| time_ms.is_some_and(|time| time >= until));
            if record.offset() >= ends[lane] || beyond {
                return Ok(Then::Done);
            }
            printer.print(record)?;
            Ok(match record.offset() + 1 >= ends[lane] {
                _ if printer.is_full() => Then::Stop,
                true => Then::Done,
                false => Then::Next,
            })
        }
        Event::End if !arguments.follow => Ok(Then::Done),
        Event::End => {
            printer.flush()?;
            Ok(Then::Next)
        }
        Event::Failed(error) => {
            let start = &starts[lane];
            Err(failed(
                format!("cannot read `{}` partition {}", start.topic, start.partition),
                &error,
            ))
        }
    };
    while !stop.is_set() && !reader.is_done() && reader.turn::<Failure>(TURN, &mut visit)? {}
    Ok(())
}

/// The partitions of the topics, or those of the numbers that were given.
fn places(topics: &[Topic], numbers: &[i32]) -> Result<Vec<(String, i32)>, Failure> {
    if numbers.is_empty() {
        return Ok(topics.iter().flat_map(Topic::places).collect());
    }
    let mut places = Vec::new();
    for topic in topics {
        for number in numbers {
            if !topic.partitions.iter().any(|partition| partition.number == *number) {
                return Err(Failure::operation(&Error::fix_input(format!(
                    "topic `{}` has no partition {number}: it has {}",
                    topic.name,
                    topic.partitions.len()
                ))));
            }
            places.push((topic.name.clone(), *number));
        }
    }
    Ok(places)
}

/// The offset before which to end.
fn end(arguments: &ConsumeArguments, range: Range) -> i64 {
    let present = if arguments.follow { i64::MAX } else { range.high };
    match arguments.until {
        Some(Position::Offset(offset)) => offset.min(present),
        Some(Position::Earliest) => range.low,
        Some(Position::Latest) => range.high,
        // By the times of records, which are looked at one by one.
        Some(Position::Time(_) | Position::Ago(_)) | None => present,
    }
}

/// An offset that is not there gives way to the nearest that is, aloud.
fn tell_if_moved(from: Position, began: i64, topic: &str, partition: i32, quiet: bool) {
    if let Position::Offset(wanted) = from
        && wanted != began
        && !quiet
    {
        say!("`{topic}` partition {partition} has no offset {wanted}; begins at {began}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::cluster::Partition;

    #[test]
    fn partitions_that_are_not_there_are_refused() {
        let partition = |number| Partition { number, leader: 1, replicas: vec![], in_sync: vec![] };
        let topics = [Topic { name: "t".to_owned(), partitions: vec![partition(0), partition(1)] }];
        let all = [("t".to_owned(), 0), ("t".to_owned(), 1)];
        assert_eq!(places(&topics, &[]).unwrap(), all);
        assert_eq!(places(&topics, &[1]).unwrap(), all[1..]);
        assert!(places(&topics, &[2]).is_err());
    }
}
