use millrace_connect::kafka::TopicChange;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use crate::failure::Failure;
use crate::log::args::TopicCreateArguments;
use crate::log::client::failed;
use crate::log::cluster::{Cluster, admin_options};
use crate::stderr::say;

/// Creates topics. Those before one that is refused stay.
pub(super) async fn create(
    arguments: &TopicCreateArguments,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let admin = cluster.admin()?;
    // -1 leaves the number to the log.
    let partitions = arguments.partitions.unwrap_or(-1);
    let replication = arguments.replication.unwrap_or(-1);
    for name in &arguments.topics {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in &arguments.configs {
            topic = topic.set(key, value);
        }
        let doing = || format!("cannot create topic `{name}`");
        let results = admin
            .create_topics([&topic], &admin_options())
            .await
            .map_err(|error| failed(doing(), &error))?;
        for result in results {
            match result {
                Ok(name) => say!("created topic `{name}`"),
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) if arguments.if_not_exists => {
                    say!("topic `{name}` exists already");
                }
                Err((_, code)) => {
                    let configs = arguments.configs.iter();
                    let configs: Vec<_> = configs.map(|(k, v)| (k.as_str(), v.as_str())).collect();
                    let change = TopicChange::Create { partitions, replication, configs: &configs };
                    return Err(cluster.refused(doing(), code, name, change).await);
                }
            }
        }
    }
    Ok(())
}
