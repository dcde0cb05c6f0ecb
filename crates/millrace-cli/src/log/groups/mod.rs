//! `millrace log groups`: one command a file.

mod delete;
mod describe;
mod list;
mod membership;
mod reset;

use millrace_core::Error;
use millrace_core::seam::Seams;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::args::{ClusterArguments, GroupsCommand};
use super::client::{LogContext, REQUEST_TIMEOUT, failed};
use super::cluster::Cluster;
use crate::failure::Failure;

pub(super) use membership::Group;

/// The log that the command line names.
pub(super) fn log_of(command: &GroupsCommand) -> ClusterArguments {
    let log = match command {
        GroupsCommand::List(arguments) => &arguments.cluster,
        GroupsCommand::Describe(arguments) => &arguments.cluster,
        GroupsCommand::Delete(arguments) => &arguments.cluster,
        GroupsCommand::Reset(arguments) => &arguments.cluster,
    };
    log.clone()
}

/// Runs the command.
pub(super) async fn groups(
    command: GroupsCommand,
    cluster: &Cluster,
    seams: &Seams,
) -> Result<(), Failure> {
    match command {
        GroupsCommand::List(arguments) => list::list(&arguments, cluster),
        GroupsCommand::Describe(arguments) => describe::describe(&arguments, cluster),
        GroupsCommand::Delete(arguments) => delete::delete(&arguments, cluster).await,
        GroupsCommand::Reset(arguments) => reset::reset(&arguments, cluster, seams),
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Of the next record that the group is to read.
    pub(super) offset: i64,
    /// What the member that committed it wrote beside it.
    pub(super) metadata: String,
}

/// All groups, by name.
pub(super) fn all(
    cluster: &Cluster,
    consumer: &BaseConsumer<LogContext>,
) -> Result<Vec<Group>, Failure> {
    let listed = consumer.fetch_group_list(None, REQUEST_TIMEOUT).map_err(|error| {
        failed(format!("cannot list the groups of `{}`", cluster.address()), &error)
    })?;
    let mut groups: Vec<Group> = listed.groups().iter().map(Group::of).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}

/// The groups of these names.
///
/// # Errors
/// When one does not exist.
pub(super) fn named(cluster: &Cluster, names: &[String]) -> Result<Vec<Group>, Failure> {
    let groups = all(cluster, &*cluster.consumer(&[])?)?;
    let find = |name: &String| {
        groups.iter().find(|group| group.name == *name).cloned().ok_or_else(|| {
            Failure::operation(
                &Error::fix_input(format!(
                    "group `{name}` does not exist in `{}`",
                    cluster.address()
                ))
                .hint("`millrace log groups list` shows the groups there are"),
            )
        })
    };
    names.iter().map(find).collect()
}

/// A consumer that speaks for a group without being its member.
pub(super) fn spokesman(
    cluster: &Cluster,
    group: &str,
) -> Result<std::sync::Arc<BaseConsumer<LogContext>>, Failure> {
    // Offsets of transactions that are still open do not count yet, and are not waited for.
    cluster.consumer(&[
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_uncommitted"),
    ])
}

/// The offsets that the spokesman's group has committed, of all partitions there are.
pub(super) fn committed(
    cluster: &Cluster,
    spokesman: &BaseConsumer<LogContext>,
    group: &str,
) -> Result<Vec<Committed>, Failure> {
    let mut asked = TopicPartitionList::new();
    for topic in cluster.topics(spokesman)?.iter().filter(|topic| !topic.is_internal()) {
        for (topic, partition) in topic.places() {
            asked.add_partition(&topic, partition);
        }
    }
    if asked.count() == 0 {
        return Ok(Vec::new());
    }
    let doing = || format!("cannot learn the offsets of group `{group}`");
    let answered = spokesman
        .committed_offsets(asked, REQUEST_TIMEOUT)
        .map_err(|error| failed(doing(), &error))?;
    let mut committed = Vec::new();
    for element in answered.elements() {
        element.error().map_err(|error| failed(doing(), &error))?;
        if let Offset::Offset(offset) = element.offset() {
            committed.push(Committed {
                topic: element.topic().to_owned(),
                partition: element.partition(),
                offset,
                metadata: element.metadata().to_owned(),
            });
        }
    }
    committed.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(committed)
}

/// Commits offsets for the spokesman's group.
///
/// # Errors
/// What the client says; the group must not have members.
pub(super) fn commit(
    spokesman: &BaseConsumer<LogContext>,
    offsets: impl IntoIterator<Item = (String, i32, i64)>,
) -> Result<(), rdkafka::error::KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
    }
    spokesman.commit(&list, rdkafka::consumer::CommitMode::Sync)
}
