use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::resource::{self, Resource};
use super::topic_configs::{self, DEFAULT, SET_AT_START, SET_FOR_TOPIC, Shown};
use crate::broker::Broker;
use crate::broker::settings::BrokerSetting;
use crate::error::Result;
use crate::queue::settings::{GROUP_SETTINGS, GroupSetting};
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on types and explanations are given.
const WITH_TYPES: i16 = 3;

/// Kafka's brokers have these settings in other units too, and none of those in milliseconds by itself.
const IN_OTHER_UNITS: [&str; 4] =
    ["log.flush.interval.ms", "log.retention.ms", "log.roll.jitter.ms", "log.roll.ms"];

/// How the configurations are to be described.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    types: bool,
    documentation: bool,
}

/// The configurations of topics and of the broker: values, where they come from, what they do.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResponse {
    let detail = Detail {
        synonyms: request.include_synonyms,
        types: version >= WITH_TYPES,
        documentation: request.include_documentation && version >= WITH_TYPES,
    };
    let results = request.resources.into_iter().map(|asked| {
        let described = describe(broker, peer, &asked, detail);
        let result = DescribeConfigsResult::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name);
        match described {
            Ok(configs) => result.with_configs(configs),
            Err(error) => result
                .with_error_code(error.code().code())
                .with_error_message(Some(StrBytes::from_string(error.to_string()))),
        }
    });
    let results = results.collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn describe(
    broker: &Broker,
    peer: &Peer,
    asked: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>> {
    let mut configs: Vec<_> = match resource::find(
        broker,
        (peer, Operation::DescribeConfigs),
        asked.resource_type,
        &asked.resource_name,
    )? {
        Resource::Topic(topic) => {
            topic_configs::all(&topic.configs).map(|shown| of_topic(shown, detail)).collect()
        }
        Resource::Broker => {
            broker.settings().into_iter().map(|setting| of_broker(setting, detail)).collect()
        }
        Resource::Group(group) => {
            let set = broker.queues().set(&group);
            GROUP_SETTINGS.iter().map(|known| of_group(known, &set, detail)).collect()
        }
        Resource::AllBrokers => Vec::new(),
    };
    if let Some(keys) = &asked.configuration_keys {
        configs.retain(|config| keys.contains(&config.name));
    }
    Ok(configs)
}

fn of_topic(shown: Shown, detail: Detail) -> DescribeConfigsResourceResult {
    let Shown { known, value, source } = shown;
    let mut synonyms = Vec::new();
    if detail.synonyms {
        if source == SET_FOR_TOPIC {
            synonyms.push(synonym(known.name, &value, SET_FOR_TOPIC));
        }
        if let Some(name) = known.broker_name.filter(|name| !IN_OTHER_UNITS.contains(name)) {
            synonyms.push(synonym(name, known.default, DEFAULT));
        }
    }
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(known.name))
        .with_value(Some(StrBytes::from_string(value)))
        .with_config_source(source)
        .with_synonyms(synonyms)
        .with_config_type(if detail.types { known.kind.id() } else { 0 })
        .with_documentation(detail.documentation.then(|| StrBytes::from_static_str(known.doc)))
}

fn of_group(
    known: &GroupSetting,
    set: &BTreeMap<String, String>,
    detail: Detail,
) -> DescribeConfigsResourceResult {
    const SET_FOR_GROUP: i8 = 8;

    let (value, source) = match set.get(known.name) {
        Some(value) => (value.clone(), SET_FOR_GROUP),
        None => (known.default.to_owned(), DEFAULT),
    };
    let mut synonyms = Vec::new();
    if detail.synonyms && source == SET_FOR_GROUP {
        synonyms.push(synonym(known.name, &value, source));
    }
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(known.name))
        .with_value(Some(StrBytes::from_string(value)))
        .with_config_source(source)
        .with_synonyms(synonyms)
        .with_config_type(if detail.types { known.kind.id() } else { 0 })
        .with_documentation(detail.documentation.then(|| StrBytes::from_static_str(known.doc)))
}

fn of_broker(setting: BrokerSetting, detail: Detail) -> DescribeConfigsResourceResult {
    let source = if setting.given { SET_AT_START } else { DEFAULT };
    let mut synonyms = Vec::new();
    if detail.synonyms {
        synonyms.push(synonym(setting.name, &setting.value, source));
    }
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(setting.name))
        .with_value(Some(StrBytes::from_string(setting.value)))
        .with_read_only(true)
        .with_config_source(source)
        .with_synonyms(synonyms)
        .with_config_type(if detail.types { setting.kind.id() } else { 0 })
        .with_documentation(detail.documentation.then(|| StrBytes::from_static_str(setting.doc)))
}

fn synonym(name: &'static str, value: &str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(StrBytes::from_string(value.to_owned())))
        .with_source(source)
}
