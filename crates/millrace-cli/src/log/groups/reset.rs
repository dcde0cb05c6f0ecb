use millrace_core::Error;
use millrace_core::seam::Seams;
use rdkafka::consumer::BaseConsumer;
use serde_json::{Value, json};

use super::{Committed, commit, committed, spokesman};
use crate::failure::Failure;
use crate::log::args::GroupsResetArguments;
use crate::log::client::{LogContext, failed};
use crate::log::cluster::Cluster;
use crate::log::columns::{Align, columns};
use crate::numbers::counted;
use crate::stderr::say;
use crate::stdout;

/// A partition whose committed offset moves.
struct Move {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
}

/// Moves the committed offsets of a group, which may be one that does not exist yet.
pub(super) fn reset(
    arguments: &GroupsResetArguments,
    cluster: &Cluster,
    seams: &Seams,
) -> Result<(), Failure> {
    let group = arguments.group.as_str();
    let consumer = spokesman(cluster, group)?;
    refuse_members(cluster, &consumer, group)?;
    let before = committed(cluster, &consumer, group)?;
    let places = places(cluster, &consumer, &arguments.topics, &before)?;
    if places.is_empty() {
        return Err(Failure::operation(
            &Error::fix_input(format!("group `{group}` has committed no offsets"))
                .hint("name topics with --topic to commit the first ones"),
        ));
    }
    let ranges = cluster.ranges(&consumer, places)?;
    let offsets = arguments
        .to
        .resolve(&consumer, &ranges, seams.clock.now())
        .map_err(|error| failed("cannot look up the new offsets", &error))?;
    let moves: Vec<Move> = ranges
        .into_iter()
        .zip(offsets)
        .map(|((topic, partition, _), to)| {
            let from = before.iter().find(|old| old.topic == topic && old.partition == partition);
            Move { from: from.map(|old| old.offset), topic, partition, to }
        })
        .collect();
    if !arguments.dry_run {
        let offsets = moves.iter().map(|to| (to.topic.clone(), to.partition, to.to));
        commit(&consumer, offsets)
            .map_err(|error| failed(format!("cannot reset group `{group}`"), &error))?;
    }
    stdout::print(&if arguments.json { as_json(&moves) } else { as_text(&moves) })?;
    let offsets = counted(moves.len() as u64, "committed offset");
    if arguments.dry_run {
        say!("would reset {offsets} of group `{group}`; nothing was done");
    } else {
        say!("reset {offsets} of group `{group}`");
    }
    Ok(())
}

fn refuse_members(
    cluster: &Cluster,
    consumer: &BaseConsumer<LogContext>,
    name: &str,
) -> Result<(), Failure> {
    match super::all(cluster, consumer)?.into_iter().find(|group| group.name == name) {
        Some(group) if !group.members.is_empty() => Err(Failure::operation(
            &Error::fix_input(format!(
                "group `{name}` has {}, who would go on where they are",
                counted(group.members.len() as u64, "member")
            ))
            .hint("stop the members first; `millrace log groups describe` shows them"),
        )),
        _ => Ok(()),
    }
}

/// The partitions that `TOPIC` and `TOPIC:N` mean; without any, those with committed offsets.
fn places(
    cluster: &Cluster,
    consumer: &BaseConsumer<LogContext>,
    named: &[String],
    committed: &[Committed],
) -> Result<Vec<(String, i32)>, Failure> {
    if named.is_empty() {
        return Ok(committed.iter().map(|old| (old.topic.clone(), old.partition)).collect());
    }
    let mut places = Vec::new();
    for text in named {
        // A topic's name has no colon.
        let (name, number) = match text.split_once(':') {
            None => (text.as_str(), None),
            Some((name, number)) => match number.parse::<i32>() {
                Ok(number) => (name, Some(number)),
                Err(_) => {
                    return Err(Failure::misuse(format!(
                        "`{text}` is not of the form TOPIC or TOPIC:N"
                    )));
                }
            },
        };
        let topic = cluster.topics_named(consumer, &[name.to_owned()])?.remove(0);
        let found: Vec<_> = topic
            .places()
            .filter(|(_, partition)| number.is_none_or(|number| number == *partition))
            .filter(|place| !places.contains(place))
            .collect();
        if found.is_empty() && !places.iter().any(|(place, _)| place == name) {
            return Err(Failure::operation(&Error::fix_input(format!(
                "topic `{name}` has no partition {}: it has {}",
                number.unwrap_or_default(),
                topic.partitions.len()
            ))));
        }
        places.extend(found);
    }
    Ok(places)
}

fn as_text(moves: &[Move]) -> String {
    let rows: Vec<_> = moves
        .iter()
        .map(|to| {
            [
                to.topic.clone(),
                to.partition.to_string(),
                to.from.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
                to.to.to_string(),
            ]
        })
        .collect();
    columns(
        [
            ("topic", Align::Left),
            ("partition", Align::Right),
            ("from", Align::Right),
            ("to", Align::Right),
        ],
        &rows,
    )
}

fn as_json(moves: &[Move]) -> String {
    let all = moves.iter().map(
        |to| json!({ "topic": to.topic, "partition": to.partition, "from": to.from, "to": to.to }),
    );
    format!("{:#}\n", Value::Array(all.collect()))
}
