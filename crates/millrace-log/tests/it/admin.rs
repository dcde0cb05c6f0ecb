use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{
    AlterConfigsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, FindCoordinatorRequest, IncrementalAlterConfigsRequest,
    ListPartitionReassignmentsRequest, OffsetForLeaderEpochRequest, TopicName,
    alter_configs_request, incremental_alter_configs_request, offset_for_leader_epoch_request,
};

use crate::client::{Client, Log, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn topic(topic: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
}

fn with_config(topic: CreatableTopic, key: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)));
    topic.with_configs(vec![config])
}

async fn create(client: &mut Client, topics: Vec<CreatableTopic>) -> Vec<i16> {
    let request = CreateTopicsRequest::default().with_topics(topics);
    let response = client.send(7, request).await;
    response.topics.iter().map(|topic| topic.error_code).collect()
}

#[tokio::test]
async fn topics_are_made_described_and_deleted_in_every_version() {
    let log = Log::start().await;
    let mut client = log.client().await;
    for version in 2..=7 {
        let name = format!("orders-{version}");
        let request = CreateTopicsRequest::default().with_topics(vec![topic(&name, 2)]);
        let response = client.send(version, request).await;
        assert_eq!(response.topics[0].error_code, 0, "version {version}");
        if version >= 5 {
            assert_eq!(response.topics[0].num_partitions, 2);
            let configs = response.topics[0].configs.as_ref().unwrap();
            assert!(configs.iter().any(|config| &*config.name == "retention.ms"));
        }
        assert_eq!(log.server.broker().topics().get(&name).unwrap().partition_count(), 2);
    }
    for version in 1..=6 {
        let name = format!("orders-{}", version + 1);
        let request = if version <= 5 {
            DeleteTopicsRequest::default().with_topic_names(vec![self::name(&name)])
        } else {
            let id = log.server.broker().topics().get(&name).unwrap().id;
            let state = DeleteTopicState::default().with_name(None).with_topic_id(id);
            DeleteTopicsRequest::default().with_topics(vec![state])
        };
        let response = client.send(version, request).await;
        assert_eq!(response.responses[0].error_code, 0, "version {version}");
        assert_eq!(response.responses[0].name.as_ref().unwrap().to_string(), name);
        assert!(log.server.broker().topics().get(&name).is_none());
    }
}

#[tokio::test]
async fn each_way_of_asking_for_an_impossible_topic_has_its_error() {
    let log = Log::start().await;
    let mut client = log.client().await;
    assert_eq!(create(&mut client, vec![topic("a.b", 1)]).await, [0]);
    let assigned = |brokers: &[i32]| {
        let brokers = brokers.iter().map(|id| BrokerId(*id)).collect();
        let assignment = CreatableReplicaAssignment::default().with_broker_ids(brokers);
        topic("x", -1).with_replication_factor(-1).with_assignments(vec![assignment])
    };
    use ResponseError as E;
    for (topic, code) in [
        (topic("a.b", 1), E::TopicAlreadyExists),
        (topic("a_b", 1), E::InvalidTopicException),
        (topic("a/b", 1), E::InvalidTopicException),
        (topic("", 1), E::InvalidTopicException),
        (topic("x", 0), E::InvalidPartitions),
        (topic("x", -2), E::InvalidPartitions),
        (topic("x", 1_000_000), E::InvalidPartitions),
        (topic("x", 1).with_replication_factor(3), E::InvalidReplicationFactor),
        (topic("x", 1).with_replication_factor(0), E::InvalidReplicationFactor),
        (with_config(topic("x", 1), "no.such.thing", "1"), E::InvalidConfig),
        (with_config(topic("x", 1), "retention.ms", "soon"), E::InvalidConfig),
        (assigned(&[2]), E::InvalidReplicaAssignment),
        (assigned(&[]), E::InvalidReplicaAssignment),
        (assigned(&[1, 2]), E::InvalidReplicaAssignment),
        (assigned(&[1]).with_num_partitions(1), E::InvalidRequest),
    ] {
        let described = format!("{topic:?}");
        assert_eq!(create(&mut client, vec![topic]).await, [code.code()], "{described}");
    }
    assert!(log.server.broker().topics().get("x").is_none());
    let twice = vec![topic("y", 1), topic("z", 1), topic("y", 1)];
    assert_eq!(create(&mut client, twice).await, [E::InvalidRequest.code(), 0]);
    assert_eq!(create(&mut client, vec![assigned(&[1])]).await, [0]);
    assert!(log.server.broker().topics().get("y").is_none());
}

#[tokio::test]
async fn validation_alone_changes_nothing() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let request =
        |topic| CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(true);
    assert_eq!(client.send(7, request(topic("orders", 1))).await.topics[0].error_code, 0);
    assert_ne!(client.send(7, request(topic("orders", 0))).await.topics[0].error_code, 0);
    assert!(log.server.broker().topics().get("orders").is_none());

    create(&mut client, vec![topic("orders", 1)]).await;
    let more = CreatePartitionsTopic::default().with_name(name("orders")).with_count(3);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![more.with_assignments(None)])
        .with_validate_only(true);
    assert_eq!(client.send(3, request).await.results[0].error_code, 0);
    assert_eq!(log.server.broker().topics().get("orders").unwrap().partition_count(), 1);
}

#[tokio::test]
async fn partitions_are_added_and_stay() {
    let log = Log::start().await;
    let mut client = log.client().await;
    create(&mut client, vec![topic("orders", 1)]).await;
    for (version, asked, count, code) in [
        (0, "orders", 2, None),
        (1, "orders", 3, None),
        (3, "orders", 3, Some(ResponseError::InvalidPartitions)),
        (3, "orders", 2, Some(ResponseError::InvalidPartitions)),
        (2, "nothing", 2, Some(ResponseError::UnknownTopicOrPartition)),
        (3, "__consumer_offsets", 2, Some(ResponseError::InvalidRequest)),
    ] {
        let topic = CreatePartitionsTopic::default().with_name(name(asked)).with_count(count);
        let request =
            CreatePartitionsRequest::default().with_topics(vec![topic.with_assignments(None)]);
        let response = client.send(version, request).await;
        assert_eq!(response.results[0].error_code, code.map_or(0, |code| code.code()));
    }
    let log = log.restart().await;
    assert_eq!(log.server.broker().topics().get("orders").unwrap().partition_count(), 3);
}

async fn configs(
    client: &mut Client,
    version: i16,
    kind: i8,
    name: &str,
) -> BTreeMap<String, DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3);
    let mut response = client.send(version, request).await;
    let result = response.results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.configs.into_iter().map(|config| (config.name.to_string(), config)).collect()
}

fn value(config: &DescribeConfigsResourceResult) -> &str {
    config.value.as_deref().unwrap()
}

#[tokio::test]
async fn configs_of_a_topic_are_described_changed_and_kept() {
    let log = Log::start().await;
    let mut client = log.client().await;
    create(&mut client, vec![with_config(topic("orders", 1), "retention.ms", "1000")]).await;
    for version in 1..=4 {
        let configs = configs(&mut client, version, TOPIC, "orders").await;
        let (set, default) = (&configs["retention.ms"], &configs["segment.bytes"]);
        assert_eq!((value(set), set.config_source), ("1000", 1));
        assert_eq!((value(default), default.config_source), ("1073741824", 5));
        // Kafka's broker setting in milliseconds is not set by itself: those in other units are.
        assert_eq!((set.synonyms.len(), default.synonyms.len()), (1, 1));
    }
    let change = |key: &str, operation, value: Option<&str>| {
        incremental_alter_configs_request::AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(operation)
            .with_value(value.map(text))
    };
    let alter = |changes| {
        let resource = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("orders"))
            .with_configs(changes);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    };
    let changes = vec![
        change("cleanup.policy", 2, Some("compact")),
        change("retention.ms", 1, None),
        change("min.insync.replicas", 0, Some("2")),
    ];
    assert_eq!(client.send(1, alter(changes)).await.responses[0].error_code, 0);
    let bad = alter(vec![change("retention.ms", 0, Some("soon"))]);
    let code = ResponseError::InvalidConfig.code();
    assert_eq!(client.send(0, bad).await.responses[0].error_code, code);

    let log = log.restart().await;
    let mut client = log.client().await;
    let after = configs(&mut client, 4, TOPIC, "orders").await;
    assert_eq!(value(&after["cleanup.policy"]), "delete,compact");
    assert_eq!(value(&after["retention.ms"]), "604800000");
    assert_eq!(value(&after["min.insync.replicas"]), "2");
    assert!(log.server.broker().partition("orders", 0).unwrap().config().compact);

    let only = alter_configs_request::AlterableConfig::default()
        .with_name(text("segment.ms"))
        .with_value(Some(text("5000")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("orders"))
        .with_configs(vec![only]);
    let request = AlterConfigsRequest::default().with_resources(vec![resource]);
    for version in 0..=2 {
        assert_eq!(client.send(version, request.clone()).await.responses[0].error_code, 0);
    }
    let after = configs(&mut client, 4, TOPIC, "orders").await;
    assert_eq!(value(&after["cleanup.policy"]), "delete");
    assert_eq!(value(&after["segment.ms"]), "5000");
}

#[tokio::test]
async fn the_broker_says_its_settings_and_refuses_to_change_them() {
    let log = Log::start_with(|config| config.default_partitions = 4).await;
    let mut client = log.client().await;
    let settings = configs(&mut client, 4, BROKER, "1").await;
    assert_eq!(value(&settings["num.partitions"]), "4");
    assert_eq!(value(&settings["transaction.max.timeout.ms"]), "900000");
    assert_eq!(value(&settings["log.retention.ms"]), "604800000");
    assert!(configs(&mut client, 4, BROKER, "").await.is_empty());

    let change = incremental_alter_configs_request::AlterableConfig::default()
        .with_name(text("num.partitions"))
        .with_value(Some(text("2")));
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name(text("1"))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let code = ResponseError::InvalidRequest.code();
    assert_eq!(client.send(1, request).await.responses[0].error_code, code);
}

#[tokio::test]
async fn topics_are_described_some_partitions_at_a_time() {
    let log = Log::start().await;
    let mut client = log.client().await;
    create(&mut client, vec![topic("a", 3), topic("b", 1), topic("c", 2)]).await;
    let mut cursor: Option<Cursor> = None;
    let mut seen = Vec::new();
    loop {
        let asked = ["c", "a", "nothing", "b"];
        let topics = asked.map(|topic| TopicRequest::default().with_name(name(topic))).to_vec();
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics)
            .with_response_partition_limit(2)
            .with_cursor(cursor);
        let response = client.send(0, request).await;
        for topic in &response.topics {
            let topic_name = topic.name.as_ref().unwrap().to_string();
            assert_eq!(topic.error_code != 0, topic_name == "nothing");
            for partition in &topic.partitions {
                seen.push((topic_name.clone(), partition.partition_index));
            }
        }
        let Some(next) = response.next_cursor else { break };
        let next_name = next.topic_name.clone();
        cursor = Some(
            Cursor::default().with_topic_name(next_name).with_partition_index(next.partition_index),
        );
    }
    let expected = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1)];
    assert_eq!(seen, expected.map(|(topic, partition)| (topic.to_owned(), partition)));
}

#[tokio::test]
async fn the_cluster_is_one_node_that_coordinates_everything() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let port = i32::from(log.server.address().port());
    for version in 0..=2 {
        let response = client.send(version, DescribeClusterRequest::default()).await;
        assert_eq!(&*response.cluster_id, log.server.broker().cluster_id());
        assert_eq!((response.brokers[0].broker_id.0, response.brokers[0].port), (1, port));
    }
    for version in 0..=3 {
        let request = FindCoordinatorRequest::default().with_key(text("group"));
        let response = client.send(version, request).await;
        assert_eq!((response.error_code, response.node_id.0, response.port), (0, 1, port));
    }
    for version in 4..=5 {
        let keys = vec![text("a"), text("b")];
        let request =
            FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(keys);
        let response = client.send(version, request).await;
        assert_eq!(response.coordinators.len(), 2);
        assert!(response.coordinators.iter().all(|c| (c.node_id.0, c.port) == (1, port)));
    }
    let response = client.send(0, ListPartitionReassignmentsRequest::default()).await;
    assert_eq!((response.error_code, response.topics.len()), (0, 0));
}

#[tokio::test]
async fn sizes_and_ends_of_partitions_are_told_in_every_version() {
    let log = Log::start().await;
    let mut client = log.client().await;
    create(&mut client, vec![topic("orders", 2)]).await;
    for version in 1..=4 {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let response = client.send(version, request).await;
        let topics = &response.results[0].topics;
        let orders = topics.iter().find(|topic| topic.name == name("orders")).unwrap();
        assert_eq!(orders.partitions.len(), 2);
    }
    for version in 2..=4 {
        let epochs = [(0, 0), (1, -1)].map(|(epoch, _)| {
            offset_for_leader_epoch_request::OffsetForLeaderPartition::default()
                .with_leader_epoch(epoch)
        });
        let topic = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(name("orders"))
            .with_partitions(epochs.to_vec());
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let response = client.send(version, request).await;
        let ends = response.topics[0].partitions.iter().map(|end| end.end_offset);
        assert_eq!(ends.collect::<Vec<_>>(), [0, -1]);
    }
}

#[tokio::test]
async fn limits_that_were_set_are_described_as_such() {
    let log = Log::start_with(|config| {
        config.limits.set("group.max.size", "7").unwrap();
    });
    let log = log.await;
    let configs = configs(&mut log.client().await, 4, BROKER, "1").await;
    for (name, expected) in [
        ("group.max.size", ("7", 4)),
        ("group.consumer.session.timeout.ms", ("45000", 5)),
        ("transaction.max.timeout.ms", ("900000", 5)),
    ] {
        let config = &configs[name];
        assert_eq!((value(config), config.config_source), expected, "{name}");
    }
}
