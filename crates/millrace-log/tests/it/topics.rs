use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use millrace_core::seam::Seams;
use millrace_log::broker::NewTopic;
use millrace_log::{Broker, BrokerConfig, LogError};

use crate::client::{Log, text};

fn ask_for(name: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
}

fn names(response: &MetadataResponse) -> Vec<String> {
    let names = response.topics.iter().map(|topic| topic.name.clone().unwrap().to_string());
    names.filter(|name| !name.starts_with("__")).collect()
}

#[tokio::test]
async fn a_topic_that_is_asked_for_comes_into_being_and_stays() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let response = client.send(12, ask_for("orders")).await;
    assert_eq!(response.topics[0].error_code, 0);
    assert_eq!(response.topics[0].partitions.len(), 1);
    let id = response.topics[0].topic_id;
    assert!(!id.is_nil());

    let log = log.restart().await;
    let mut client = log.client().await;
    let all = client.send(12, MetadataRequest::default().with_topics(None)).await;
    assert_eq!(names(&all), ["orders"]);
    // Java's client sends an empty name beside the id.
    for name in [None, Some(TopicName(text("")))] {
        let by_id = MetadataRequestTopic::default().with_name(name).with_topic_id(id);
        let request = MetadataRequest::default().with_topics(Some(vec![by_id]));
        let response = client.send(12, request).await;
        assert_eq!(names(&response), ["orders"]);
    }
}

#[tokio::test]
async fn metadata_is_answered_in_every_version() {
    let log = Log::start().await;
    let mut client = log.client().await;
    for version in 0..=13 {
        let response = client.send(version, ask_for("orders")).await;
        let broker = &response.brokers[0];
        assert_eq!(&*broker.host, "127.0.0.1");
        assert_eq!(broker.port, i32::from(log.server.address().port()));
        assert_eq!(names(&response), ["orders"]);
    }
}

/// An answer without a name can't be written before version 12: it was sent all the same, cut short.
#[tokio::test]
async fn asking_by_id_is_refused_in_versions_whose_answers_always_have_a_name() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let refused = ResponseError::InvalidRequest.code();
    for (version, code) in
        [(10, refused), (11, refused), (12, ResponseError::UnknownTopicId.code())]
    {
        let unknown = MetadataRequestTopic::default().with_name(None);
        let unknown = unknown.with_topic_id(uuid::Uuid::from_u128(7));
        let request = MetadataRequest::default().with_topics(Some(vec![unknown]));
        assert_eq!(client.send(version, request).await.topics[0].error_code, code);
    }
}

#[tokio::test]
async fn a_topic_that_is_asked_for_twice_is_described_once() {
    let log = Log::start().await;
    let mut client = log.client().await;
    for version in 0..=13 {
        let mut request = ask_for("orders");
        let topics = request.topics.as_mut().unwrap();
        topics.extend(ask_for("orders").topics.unwrap());
        topics.extend(ask_for("payments").topics.unwrap());
        assert_eq!(names(&client.send(version, request).await), ["orders", "payments"]);
    }
}

#[tokio::test]
async fn a_topic_comes_into_being_only_where_client_and_settings_allow_it() {
    let log = Log::start_with(|config| config.auto_create_topics = false).await;
    let mut client = log.client().await;
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(client.send(12, ask_for("orders")).await.topics[0].error_code, unknown);

    let log = Log::start().await;
    let mut client = log.client().await;
    let shy = ask_for("orders").with_allow_auto_topic_creation(false);
    assert_eq!(client.send(12, shy).await.topics[0].error_code, unknown);
    let invalid = ResponseError::InvalidTopicException.code();
    assert_eq!(client.send(12, ask_for("a/b")).await.topics[0].error_code, invalid);
}

#[tokio::test]
async fn a_directory_has_one_broker_at_a_time_and_the_second_learns_of_the_first() {
    let log = Log::start().await;
    let error = Broker::open(BrokerConfig::new(log.path()), Seams::system()).unwrap_err();
    let LogError::InUse { holder, .. } = error else { panic!("{error}") };
    let holder = holder.unwrap();
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    assert!(holder.contains(&log.server.address().to_string()), "{holder}");
}

#[tokio::test]
async fn what_a_crash_left_of_topics_in_the_making_or_deleted_is_gone_at_the_next_start() {
    let log = Log::start().await;
    let topic = log.server.broker().topics().create(NewTopic {
        name: "orders".to_owned(),
        partitions: 1,
        ..NewTopic::default()
    });
    let id = topic.unwrap().id.to_string();
    // As if the process had died between the rename and the removal.
    std::fs::rename(log.path().join("topics/orders"), log.path().join("deleted").join(&id))
        .unwrap();
    std::fs::create_dir_all(log.path().join("creating/half")).unwrap();
    let log = log.restart().await;
    let topics = log.server.broker().topics();
    assert!(topics.get("orders").is_none());
    assert!(!log.path().join("deleted").join(id).exists());
    assert!(!log.path().join("creating/half").exists());
    let again = NewTopic { name: "orders".to_owned(), partitions: 1, ..NewTopic::default() };
    topics.create(again).unwrap();
}
