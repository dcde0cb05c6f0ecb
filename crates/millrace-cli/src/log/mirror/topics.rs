//! The topics of both sides.

use std::time::Duration;

use millrace_connect::kafka::TopicChange;
use millrace_core::Error;
use millrace_core::seam::Seams;
use rdkafka::admin::{NewTopic, TopicReplication};

use crate::failure::Failure;
use crate::log::client::failed;
use crate::log::cluster::{Cluster, Topic, admin_options};
use crate::log::topic::{add_partitions, configs, is_own};

/// What the names of the mirrors' own topics begin with.
const OWN_PREFIX: &str = "millrace.mirror.";

/// How long a new topic may take until all its partitions can be written to.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The topic of the target in which a mirror keeps its offset map.
pub(super) fn map_topic(mirror: &str) -> String {
    format!("{OWN_PREFIX}{mirror}")
}

/// The topics of the source to be copied.
pub(super) fn wanted(topics: Vec<Topic>, pattern: &regex::Regex) -> Vec<Topic> {
    topics
        .into_iter()
        .filter(|topic| !topic.is_internal() && !topic.name.starts_with(OWN_PREFIX))
        .filter(|topic| pattern.is_match(&topic.name))
        .collect()
}

/// Sees to it that the target has this topic with as many partitions. A new one gets the settings
/// of the source's; one that is there keeps its own.
pub(super) async fn ensure(
    topic: &Topic,
    source: &Cluster,
    target: &Cluster,
    there: &[Topic],
    seams: &Seams,
) -> Result<(), Failure> {
    let wanted = topic.partitions.len();
    match there.iter().find(|other| other.name == topic.name) {
        None => {
            let settings = configs(source, &topic.name).await?;
            let settings: Vec<(&str, &str)> = settings
                .iter()
                .filter(|entry| is_own(entry))
                .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)))
                .collect();
            create(target, &topic.name, wanted, &settings, seams).await
        }
        Some(other) if other.partitions.len() < wanted => {
            add_partitions(target, &topic.name, wanted).await?;
            wait_for(target, &topic.name, wanted, seams).await
        }
        Some(_) => Ok(()),
    }
}

/// Sees to it that the target has the topic for the offset map.
pub(super) async fn ensure_map(
    name: &str,
    target: &Cluster,
    there: &[Topic],
    seams: &Seams,
) -> Result<(), Failure> {
    if there.iter().any(|topic| topic.name == name) {
        return Ok(());
    }
    create(target, name, 1, &[("cleanup.policy", "compact")], seams).await
}

async fn create(
    target: &Cluster,
    name: &str,
    partitions: usize,
    settings: &[(&str, &str)],
    seams: &Seams,
) -> Result<(), Failure> {
    let doing = || format!("cannot create topic `{name}` in `{}`", target.address());
    let count = i32::try_from(partitions).map_err(|_| {
        Failure::operation(&Error::report(format!("topic `{name}` has {partitions} partitions")))
    })?;
    let mut topic = NewTopic::new(name, count, TopicReplication::Fixed(-1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let results = target
        .admin()?
        .create_topics([&topic], &admin_options())
        .await
        .map_err(|error| failed(doing(), &error))?;
    for result in results {
        if let Err((_, code)) = result {
            let change =
                TopicChange::Create { partitions: count, replication: -1, configs: settings };
            return Err(target.refused(doing(), code, name, change).await);
        }
    }
    wait_for(target, name, partitions, seams).await
}

/// Waits until a topic has so many partitions, each with a leader.
async fn wait_for(
    target: &Cluster,
    name: &str,
    partitions: usize,
    seams: &Seams,
) -> Result<(), Failure> {
    let consumer = target.consumer(&[])?;
    let began = seams.clock.elapsed();
    loop {
        let topics = target.topics(&consumer).unwrap_or_default();
        let ready = topics.iter().find(|topic| topic.name == name).is_some_and(|topic| {
            let led = topic.partitions.iter().filter(|partition| partition.leader >= 0);
            led.count() >= partitions
        });
        if ready {
            return Ok(());
        }
        if seams.clock.elapsed().saturating_sub(began) > CREATION_TIMEOUT {
            return Err(Failure::operation(&Error::retry(format!(
                "topic `{name}` was created in `{}`, but cannot be written to yet",
                target.address()
            ))));
        }
        seams.clock.sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_topics_and_those_of_mirrors_are_not_copied() {
        let topic = |name: &str| Topic { name: name.to_owned(), partitions: vec![] };
        let names = ["__consumer_offsets", "millrace.mirror.default", "orders", "old"];
        let all = || names.map(topic).to_vec();
        let wanted = |pattern: &str| {
            let found = wanted(all(), &regex::Regex::new(pattern).unwrap());
            found.into_iter().map(|topic| topic.name).collect::<Vec<_>>()
        };
        assert_eq!(wanted("^.*$"), ["orders", "old"]);
        assert_eq!(wanted("^ord.*$"), ["orders"]);
    }
}
