//! Why brokers refuse a change of a topic, in their own words.
//!
//! The answer to a refused request has a text beside its code: which setting it is, and what it may
//! be. librdkafka's binding gives the code alone, and of changed settings not even that. So the same is
//! asked here: once more, for validation only, or instead.

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::client::WireClient;
use super::fault::Fault;

/// `AlterConfigs` of a topic.
const RESOURCE_TOPIC: i8 = 2;

const TIMEOUT_MS: i32 = 10_000;

/// A change of a topic that brokers may refuse.
#[derive(Clone, Copy, Debug)]
pub enum TopicChange<'a> {
    /// It is created.
    Create {
        /// How many partitions it gets; -1 leaves it to the brokers.
        partitions: i32,
        /// How many copies each gets; -1 leaves it to the brokers.
        replication: i32,
        /// What is set for it.
        configs: &'a [(&'a str, &'a str)],
    },
    /// All its settings are replaced.
    Configure(&'a [(&'a str, &'a str)]),
    /// It gets partitions until there are so many.
    Grow(i32),
}

/// What brokers said of a change that they refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The protocol's code.
    pub code: i16,
    /// The reason, if they gave one.
    pub text: Option<String>,
}

impl WireClient {
    /// Asks for a change of `topic`, or only whether it could be. Gives the refusal, if it was refused.
    pub(crate) async fn change(
        &mut self,
        topic: &str,
        change: TopicChange<'_>,
        validate_only: bool,
    ) -> Result<Option<Refusal>, Fault> {
        let (code, message) = match change {
            TopicChange::Create { partitions, replication, configs } => {
                let config = |(name, value): &(&str, &str)| {
                    let config = CreatableTopicConfig::default().with_name(text(name));
                    config.with_value(Some(text(value)))
                };
                let topic = CreatableTopic::default()
                    .with_name(TopicName(text(topic)))
                    .with_num_partitions(partitions)
                    .with_replication_factor(i16::try_from(replication).unwrap_or(i16::MAX))
                    .with_configs(configs.iter().map(config).collect());
                let request = CreateTopicsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(TIMEOUT_MS)
                    .with_validate_only(validate_only);
                let answer = self.call_any(&request, 7).await?;
                let result = answer.topics.into_iter().next();
                result.map(|result| (result.error_code, result.error_message))
            }
            TopicChange::Configure(configs) => {
                let config = |(name, value): &(&str, &str)| {
                    AlterableConfig::default().with_name(text(name)).with_value(Some(text(value)))
                };
                let resource = AlterConfigsResource::default()
                    .with_resource_type(RESOURCE_TOPIC)
                    .with_resource_name(text(topic))
                    .with_configs(configs.iter().map(config).collect());
                let request = AlterConfigsRequest::default()
                    .with_resources(vec![resource])
                    .with_validate_only(validate_only);
                let answer = self.call_any(&request, 2).await?;
                let result = answer.responses.into_iter().next();
                result.map(|result| (result.error_code, result.error_message))
            }
            TopicChange::Grow(count) => {
                let topic = CreatePartitionsTopic::default()
                    .with_name(TopicName(text(topic)))
                    .with_count(count)
                    .with_assignments(None);
                let request = CreatePartitionsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(TIMEOUT_MS)
                    .with_validate_only(validate_only);
                let answer = self.call_any(&request, 3).await?;
                let result = answer.results.into_iter().next();
                result.map(|result| (result.error_code, result.error_message))
            }
        }
        .unwrap_or_default();
        let message = message.map(|message| message.trim().to_owned());
        let text = message.filter(|message| !message.is_empty());
        Ok((code != 0).then_some(Refusal { code, text }))
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
