use crate::failure::Failure;
use crate::log::args::TopicDeleteArguments;
use crate::log::client::{failed, refused};
use crate::log::cluster::{Cluster, admin_options};
use crate::log::confirm::confirm;
use crate::numbers::counted;
use crate::stderr::say;

/// Deletes topics, after it was said what they hold.
pub(super) async fn delete(
    arguments: &TopicDeleteArguments,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let consumer = cluster.consumer(&[("isolation.level", "read_uncommitted")])?;
    let topics = cluster.topics_named(&consumer, &arguments.topics)?;
    let mut lost = Vec::new();
    for topic in &topics {
        let ranges = cluster.ranges(&consumer, topic.places())?;
        let records =
            ranges.iter().map(|(_, _, range)| range.high.saturating_sub(range.low).unsigned_abs());
        lost.push(format!(
            "topic `{}` with up to {}",
            topic.name,
            counted(records.sum(), "record")
        ));
    }
    let lost = lost.join(", ");
    confirm("deletes", &lost, arguments.yes)?;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let results = cluster
        .admin()?
        .delete_topics(&names, &admin_options())
        .await
        .map_err(|error| failed(format!("cannot delete {lost}"), &error))?;
    for result in results {
        match result {
            Ok(name) => say!("deleted topic `{name}`"),
            Err((name, code)) => {
                return Err(refused(format!("cannot delete topic `{name}`"), code));
            }
        }
    }
    Ok(())
}
