use rdkafka::admin::ConfigEntry;
use serde_json::{Map, Value, json};

use super::{configs, is_own};
use crate::failure::Failure;
use crate::log::args::TopicDescribeArguments;
use crate::log::cluster::{Cluster, Topic};
use crate::log::columns::{Align, columns};
use crate::log::position::Range;
use crate::numbers::{counted, grouped};
use crate::stdout;

/// Prints partitions, offsets and settings of topics.
pub(super) async fn describe(
    arguments: &TopicDescribeArguments,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let consumer = cluster.consumer(&[("isolation.level", "read_uncommitted")])?;
    let (mut described, mut text) = (Vec::new(), String::new());
    for topic in cluster.topics_named(&consumer, &arguments.topics)? {
        let ranges = cluster.ranges(&consumer, topic.places())?;
        let ranges: Vec<Range> = ranges.into_iter().map(|(_, _, range)| range).collect();
        let mut settings = configs(cluster, &topic.name).await?;
        settings.retain(|entry| arguments.all || is_own(entry));
        if arguments.json {
            described.push(as_json(&topic, &ranges, &settings));
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&as_text(&topic, &ranges, &settings));
    }
    if arguments.json {
        text = format!("{:#}\n", Value::Array(described));
    }
    stdout::print(&text)
}

fn as_text(topic: &Topic, ranges: &[Range], settings: &[ConfigEntry]) -> String {
    let mut text = format!(
        "topic `{}`: {}\n",
        topic.name,
        counted(topic.partitions.len() as u64, "partition")
    );
    let rows: Vec<_> = topic
        .partitions
        .iter()
        .zip(ranges)
        .map(|(partition, range)| {
            [
                partition.number.to_string(),
                range.low.to_string(),
                range.high.to_string(),
                grouped(range.high.saturating_sub(range.low).unsigned_abs()),
                partition.leader.to_string(),
                nodes(&partition.replicas),
                nodes(&partition.in_sync),
            ]
        })
        .collect();
    text.push_str(&columns(
        [
            ("partition", Align::Right),
            ("first offset", Align::Right),
            ("end offset", Align::Right),
            ("offsets", Align::Right),
            ("leader", Align::Right),
            ("replicas", Align::Left),
            ("in sync", Align::Left),
        ],
        &rows,
    ));
    for entry in settings {
        let note = if is_own(entry) { "" } else { " (default)" };
        text.push_str(&format!("{} = {}{note}\n", entry.name, shown(entry)));
    }
    text
}

fn nodes(nodes: &[i32]) -> String {
    nodes.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn shown(entry: &ConfigEntry) -> &str {
    match &entry.value {
        Some(value) => value,
        None if entry.is_sensitive => "(secret)",
        None => "(none)",
    }
}

fn as_json(topic: &Topic, ranges: &[Range], settings: &[ConfigEntry]) -> Value {
    let partitions: Vec<Value> = topic
        .partitions
        .iter()
        .zip(ranges)
        .map(|(partition, range)| {
            json!({
                "partition": partition.number,
                "first_offset": range.low,
                "end_offset": range.high,
                "leader": partition.leader,
                "replicas": partition.replicas,
                "in_sync": partition.in_sync,
            })
        })
        .collect();
    let configs: Map<String, Value> = settings
        .iter()
        .map(|entry| {
            let value = json!({ "value": entry.value, "default": !is_own(entry) });
            (entry.name.clone(), value)
        })
        .collect();
    json!({
        "topic": topic.name,
        "internal": topic.is_internal(),
        "partitions": partitions,
        "configs": configs,
    })
}
