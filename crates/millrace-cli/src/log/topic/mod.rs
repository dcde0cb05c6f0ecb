//! `millrace log topic`: one command a file.

mod alter;
mod create;
mod delete;
mod describe;
mod list;

use rdkafka::admin::{ConfigEntry, ConfigSource, ResourceSpecifier};

pub(super) use alter::add_partitions;

use super::args::{ClusterArguments, TopicCommand};
use super::client::failed;
use super::cluster::{Cluster, admin_options};
use super::embedded::Making;
use crate::failure::Failure;

/// The log that the command line names, and whether the command may make it.
pub(super) fn log_of(command: &TopicCommand) -> (ClusterArguments, Making) {
    let (log, making) = match command {
        TopicCommand::Create(arguments) => (&arguments.cluster, Making::Allowed),
        TopicCommand::List(arguments) => (&arguments.cluster, Making::Refused),
        TopicCommand::Describe(arguments) => (&arguments.cluster, Making::Refused),
        TopicCommand::Delete(arguments) => (&arguments.cluster, Making::Refused),
        TopicCommand::Alter(arguments) => (&arguments.cluster, Making::Refused),
    };
    (log.clone(), making)
}

/// Runs the command.
pub(super) async fn topic(command: TopicCommand, cluster: &Cluster) -> Result<(), Failure> {
    match command {
        TopicCommand::Create(arguments) => create::create(&arguments, cluster).await,
        TopicCommand::List(arguments) => list::list(&arguments, cluster),
        TopicCommand::Describe(arguments) => describe::describe(&arguments, cluster).await,
        TopicCommand::Delete(arguments) => delete::delete(&arguments, cluster).await,
        TopicCommand::Alter(arguments) => alter::alter(&arguments, cluster).await,
    }
}

/// The settings of a topic, by name.
pub(super) async fn configs(cluster: &Cluster, topic: &str) -> Result<Vec<ConfigEntry>, Failure> {
    let doing = || format!("cannot learn the settings of topic `{topic}`");
    let described = cluster
        .admin()?
        .describe_configs([&ResourceSpecifier::Topic(topic)], &admin_options())
        .await
        .map_err(|error| failed(doing(), &error))?;
    let mut entries = Vec::new();
    for resource in described {
        let resource = resource.map_err(|code| super::client::refused(doing(), code))?;
        entries.extend(resource.entries);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Whether the topic itself has this setting, and not only the log's default.
pub(super) fn is_own(entry: &ConfigEntry) -> bool {
    entry.source == ConfigSource::DynamicTopic
}
