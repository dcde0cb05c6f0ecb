use std::collections::HashMap;

use millrace_connect::kafka::TopicChange;
use millrace_core::Error;
use rdkafka::admin::NewPartitions;

use super::{configs, is_own};
use crate::failure::Failure;
use crate::log::args::TopicAlterArguments;
use crate::log::client::failed;
use crate::log::cluster::{Cluster, admin_options};
use crate::stderr::say;

/// Adds partitions to a topic and changes its settings, the settings first.
pub(super) async fn alter(
    arguments: &TopicAlterArguments,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let consumer = cluster.consumer(&[])?;
    let names = [arguments.topic.clone()];
    let before = cluster.topics_named(&consumer, &names)?.remove(0).partitions.len();
    if !arguments.configs.is_empty() || !arguments.resets.is_empty() {
        alter_configs(cluster, arguments).await?;
        say!("changed the settings of topic `{}`", arguments.topic);
    }
    if let Some(partitions) = arguments.partitions {
        add_partitions(cluster, &arguments.topic, partitions.unsigned_abs() as usize).await?;
        say!("topic `{}` has {partitions} partitions, {before} before", arguments.topic);
    }
    Ok(())
}

/// The request replaces all settings of the topic, so those that stay are sent again.
async fn alter_configs(cluster: &Cluster, arguments: &TopicAlterArguments) -> Result<(), Failure> {
    let topic = arguments.topic.as_str();
    let all = configs(cluster, topic).await?;
    if let Some(key) = arguments.resets.iter().find(|key| !all.iter().any(|c| c.name == **key)) {
        let cause = Error::fix_input(format!("topic `{topic}` has no setting `{key}`"));
        return Err(Failure::operation(&cause)
            .with_hint("`millrace log topic describe --all` shows the settings of a topic"));
    }
    let own: Vec<_> = all.iter().filter(|entry| is_own(entry)).collect();
    let mut entries: HashMap<&str, &str> = HashMap::new();
    for entry in &own {
        let Some(value) = entry.value.as_deref() else {
            return Err(Failure::misuse(format!(
                "topic `{topic}` has the secret setting `{}`, which would be lost\n  \
                 hint: change its settings with a tool that does so one by one",
                entry.name
            )));
        };
        entries.insert(&entry.name, value);
    }
    for key in &arguments.resets {
        if entries.remove(key.as_str()).is_none() {
            say!("`{key}` of topic `{topic}` has its default value already");
        }
    }
    entries.extend(arguments.configs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let wanted: Vec<(&str, &str)> = entries.into_iter().collect();
    let doing = format!("cannot change the settings of topic `{topic}`");
    cluster.configure(doing, topic, &wanted).await
}

/// Adds partitions until there are so many.
pub(in crate::log) async fn add_partitions(
    cluster: &Cluster,
    topic: &str,
    partitions: usize,
) -> Result<(), Failure> {
    let doing = || format!("cannot give topic `{topic}` {partitions} partitions");
    let results = cluster
        .admin()?
        .create_partitions([&NewPartitions::new(topic, partitions)], &admin_options())
        .await
        .map_err(|error| failed(doing(), &error))?;
    for result in results {
        if let Err((_, code)) = result {
            let count = i32::try_from(partitions).unwrap_or(i32::MAX);
            return Err(cluster.refused(doing(), code, topic, TopicChange::Grow(count)).await);
        }
    }
    Ok(())
}
