use serde_json::{Value, json};

use super::{Committed, Group, committed, named, spokesman};
use crate::failure::Failure;
use crate::log::args::GroupsDescribeArguments;
use crate::log::cluster::Cluster;
use crate::log::columns::{Align, columns};
use crate::numbers::{counted, grouped};
use crate::stdout;

/// A partition that a group reads.
struct Line {
    topic: String,
    partition: i32,
    /// What the group has committed, if it has.
    committed: Option<Committed>,
    end: i64,
    member: Option<String>,
}

impl Line {
    /// Offsets between what is committed and the end; markers and what was compacted count too.
    fn lag(&self) -> Option<u64> {
        let committed = self.committed.as_ref()?;
        Some(self.end.saturating_sub(committed.offset).max(0).unsigned_abs())
    }
}

/// Prints members, committed offsets and lag of groups.
pub(super) fn describe(
    arguments: &GroupsDescribeArguments,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let (mut described, mut text) = (Vec::new(), String::new());
    for group in named(cluster, &arguments.groups)? {
        let lines = lines(cluster, &group)?;
        if arguments.json {
            described.push(as_json(&group, &lines));
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&as_text(&group, &lines));
    }
    if arguments.json {
        text = format!("{:#}\n", Value::Array(described));
    }
    stdout::print(&text)
}

/// All partitions that the group has committed offsets of, or reads.
fn lines(cluster: &Cluster, group: &Group) -> Result<Vec<Line>, Failure> {
    let consumer = spokesman(cluster, &group.name)?;
    let mut found: Vec<(String, i32, Option<Committed>)> =
        committed(cluster, &consumer, &group.name)?
            .into_iter()
            .map(|committed| (committed.topic.clone(), committed.partition, Some(committed)))
            .collect();
    for (topic, partition) in group.members.iter().flat_map(|member| &member.assigned) {
        if !found.iter().any(|(name, number, _)| name == topic && number == partition) {
            found.push((topic.clone(), *partition, None));
        }
    }
    found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let places = found.iter().map(|(topic, partition, _)| (topic.clone(), *partition));
    let ranges = cluster.ranges(&consumer, places)?;
    let lines = found.into_iter().zip(ranges).map(|((topic, partition, committed), range)| {
        let member = group.reader_of(&topic, partition);
        let member = member.map(|member| format!("{} at {}", member.client, member.host));
        Line { topic, partition, committed, end: range.2.high, member }
    });
    Ok(lines.collect())
}

fn as_text(group: &Group, lines: &[Line]) -> String {
    let assignor = match group.assignor.as_str() {
        "" => String::new(),
        assignor => format!(", assigned by {assignor}"),
    };
    let mut text = format!(
        "group `{}`: {}, {}{assignor}, lag {}\n",
        group.name,
        group.state,
        counted(group.members.len() as u64, "member"),
        grouped(lines.iter().filter_map(Line::lag).sum())
    );
    let none = || "-".to_owned();
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let committed = line.committed.as_ref();
            [
                line.topic.clone(),
                line.partition.to_string(),
                committed.map_or_else(none, |committed| committed.offset.to_string()),
                line.end.to_string(),
                line.lag().map_or_else(none, grouped),
                line.member.clone().unwrap_or_else(none),
            ]
        })
        .collect();
    text.push_str(&columns(
        [
            ("topic", Align::Left),
            ("partition", Align::Right),
            ("committed", Align::Right),
            ("end", Align::Right),
            ("lag", Align::Right),
            ("member", Align::Left),
        ],
        &rows,
    ));
    text
}

fn as_json(group: &Group, lines: &[Line]) -> Value {
    let members = group.members.iter().map(|member| {
        let assigned = member.assigned.iter();
        let assigned =
            assigned.map(|(topic, partition)| json!({ "topic": topic, "partition": partition }));
        json!({
            "member": member.id,
            "client": member.client,
            "host": member.host,
            "assigned": assigned.collect::<Vec<Value>>(),
        })
    });
    let partitions = lines.iter().map(|line| {
        let committed = line.committed.as_ref();
        json!({
            "topic": line.topic,
            "partition": line.partition,
            "committed_offset": committed.map(|committed| committed.offset),
            "metadata": committed.map(|committed| &committed.metadata),
            "end_offset": line.end,
            "lag": line.lag(),
        })
    });
    json!({
        "group": group.name,
        "state": group.state,
        "type": group.kind,
        "assignor": group.assignor,
        "lag": lines.iter().filter_map(Line::lag).sum::<u64>(),
        "members": members.collect::<Vec<Value>>(),
        "partitions": partitions.collect::<Vec<Value>>(),
    })
}
