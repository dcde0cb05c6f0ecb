use serde_json::{Value, json};

use crate::failure::Failure;
use crate::log::args::TopicListArguments;
use crate::log::cluster::{Cluster, Topic};
use crate::log::columns::{Align, columns};
use crate::stdout;

/// Prints a line for each topic.
pub(super) fn list(arguments: &TopicListArguments, cluster: &Cluster) -> Result<(), Failure> {
    let consumer = cluster.consumer(&[])?;
    let mut topics = cluster.topics(&consumer)?;
    topics.retain(|topic| arguments.internal || !topic.is_internal());
    if arguments.json {
        let all: Vec<Value> = topics.iter().map(as_json).collect();
        return stdout::print(&format!("{:#}\n", Value::Array(all)));
    }
    let rows: Vec<_> = topics
        .iter()
        .map(|topic| {
            [topic.name.clone(), topic.partitions.len().to_string(), replicas(topic).to_string()]
        })
        .collect();
    stdout::print(&columns(
        [("topic", Align::Left), ("partitions", Align::Right), ("replicas", Align::Right)],
        &rows,
    ))
}

/// The copies of the partition that has the fewest.
fn replicas(topic: &Topic) -> usize {
    topic.partitions.iter().map(|partition| partition.replicas.len()).min().unwrap_or(0)
}

fn as_json(topic: &Topic) -> Value {
    json!({
        "topic": topic.name,
        "partitions": topic.partitions.len(),
        "replicas": replicas(topic),
        "internal": topic.is_internal(),
    })
}
