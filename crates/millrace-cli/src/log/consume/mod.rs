//! `millrace log consume`: prints records.

mod assigned;
mod grouped;
mod pipe;
mod print;

use std::time::Duration;

use millrace_core::seam::Seams;

use super::args::{ConsumeArguments, IsolationLevel};
use super::attend::attend;
use super::cluster::{Cluster, Topic};
use super::position::Position;
use crate::failure::Failure;
use crate::numbers::{bytes, counted, lasting};
use crate::stderr::say;

use print::{Printed, Printer};

/// How long a thread waits for records before it looks whether to stop.
const TURN: Duration = Duration::from_millis(100);

/// Prints records until the present end, until the limits that were given, or until a signal.
pub(super) async fn consume(
    arguments: ConsumeArguments,
    cluster: &Cluster,
    seams: &Seams,
) -> Result<(), Failure> {
    let cluster = cluster.clone();
    let (quiet, clock) = (arguments.quiet, seams.clock.clone());
    let began = clock.elapsed();
    let (printed, stopped) = attend(seams, pipe::closed(), move |stop| {
        let mut printer = Printer::new(arguments.output, arguments.max);
        let read = if arguments.group.is_some() {
            grouped::read(&cluster, &arguments, &mut printer, &stop, &clock)
        } else {
            assigned::read(&cluster, &arguments, &mut printer, &stop, &clock)
        };
        // What was read before an error is printed before it is told.
        printer.flush()?;
        read?;
        Ok((printer.printed(), stop.is_set()))
    })
    .await?;
    if !quiet {
        let took = seams.clock.elapsed().saturating_sub(began);
        say!("{}", summary(&printed, stopped, took));
    }
    Ok(())
}

/// What the grammar can't say.
pub(super) fn check(arguments: &ConsumeArguments) -> Result<(), Failure> {
    if arguments.group.is_none() {
        return Ok(());
    }
    match arguments.from {
        None | Some(Position::Earliest | Position::Latest) => {}
        Some(_) => {
            return Err(Failure::misuse(
                "--from can only be `earliest` or `latest` with --group, which begins at its \
                 committed offsets\n  hint: `millrace log groups reset` moves them anywhere",
            ));
        }
    }
    let several = arguments.pattern.is_some() || arguments.topics.len() > 1;
    if several && !arguments.follow && arguments.max.is_none() {
        return Err(Failure::misuse(
            "the end of several topics is not known to a member of a group\n  \
             hint: say --follow or --max, or read one topic at a time",
        ));
    }
    Ok(())
}

fn isolation(arguments: &ConsumeArguments) -> &'static str {
    match arguments.isolation {
        IsolationLevel::ReadCommitted => "read_committed",
        IsolationLevel::ReadUncommitted => "read_uncommitted",
    }
}

/// The topics that the arguments mean, each of which exists.
fn topics(
    cluster: &Cluster,
    consumer: &rdkafka::consumer::BaseConsumer<super::client::LogContext>,
    arguments: &ConsumeArguments,
) -> Result<Vec<Topic>, Failure> {
    let Some(pattern) = &arguments.pattern else {
        return cluster.topics_named(consumer, &arguments.topics);
    };
    let mut topics = cluster.topics(consumer)?;
    topics.retain(|topic| !topic.is_internal() && pattern.is_match(&topic.name));
    if topics.is_empty() {
        return Err(Failure::operation(
            &millrace_core::Error::fix_input(format!(
                "no topic of `{}` matches the pattern",
                cluster.address()
            ))
            .hint("`millrace log topic list` shows the topics there are"),
        ));
    }
    Ok(topics)
}

fn summary(printed: &Printed, stopped: bool, took: Duration) -> String {
    format!(
        "{}read {}, {}, from {} in {}",
        if stopped { "stopped: " } else { "" },
        counted(printed.records, "record"),
        bytes(printed.bytes),
        counted(printed.partitions as u64, "partition"),
        lasting(took)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts() {
        let printed = Printed { records: 1, bytes: 2_048, partitions: 2 };
        assert_eq!(
            summary(&printed, true, Duration::from_millis(12)),
            "stopped: read 1 record, 2.0 KiB, from 2 partitions in 12 ms"
        );
    }
}
