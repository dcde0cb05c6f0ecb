use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use millrace_core::seam::Seams;

use super::super::fetch::Appetite;
use super::super::members::{Beat, Member, Told};
use super::super::partition::{Acknowledged, Acknowledgement};
use super::super::sessions::{Continued, Place, Worker};
use crate::broker::{Broker, NewTopic};
use crate::config::BrokerConfig;
use crate::storage::records::{BatchBuilder, Batches, Records, decode};
use crate::storage::{Isolation, Origin};

fn open(dir: &Path) -> Arc<Broker> {
    Broker::open(BrokerConfig::new(dir), Seams::system()).expect("it opens")
}

fn create(broker: &Broker, name: &str) -> Place {
    let new = NewTopic { name: name.to_owned(), partitions: 1, ..NewTopic::default() };
    (broker.topics().create(new).expect("a topic").id, 0)
}

fn send(broker: &Broker, topic: &str, count: usize) {
    let mut batch = BatchBuilder::new();
    for at in 0..count {
        let value = format!("v{at}");
        batch.push_with_headers(7, Some(b"k"), Some(value.as_bytes()), &[("h", Some(b"x"))]);
    }
    let log = broker.partition(topic, 0).expect("a partition");
    log.append(batch.build(), Origin::Client).expect("room");
}

fn worker(name: &'static str) -> Worker {
    (StrBytes::from_static_str("g"), StrBytes::from_static_str(name))
}

fn set(broker: &Broker, settings: &[(&str, &str)]) {
    let set = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    broker.queues().set_settings(broker, "g", set.collect(), false).expect("they can be");
}

/// What the worker holds stays its own: nothing ends that it has not begun here.
fn begin_session(broker: &Broker, worker: &Worker) -> Continued {
    broker.queues().lock().sessions.continue_with(worker, 0, 1, &[], &[]).expect("it begins")
}

/// Offsets and how often each was handed out.
async fn fetch(broker: &Broker, worker: &Worker, place: Place) -> Vec<(i64, i16)> {
    let appetite =
        Appetite { max_records: 100, max_bytes: 1 << 20, max_wait: Duration::from_millis(20) };
    let lease = begin_session(broker, worker).lease;
    let answers = broker.queues().fetch(broker, (worker, &lease), &[place], appetite).await;
    let mut got = Vec::new();
    for (_, handed_out) in answers {
        for run in handed_out.expect("it can be read").acquired {
            got.extend((run.first_offset..=run.last_offset).map(|o| (o, run.delivery_count)));
        }
    }
    got
}

async fn say(broker: &Broker, worker: &Worker, place: Place, offset: i64, kind: Acknowledgement) {
    let said = Acknowledged { first_offset: offset, last_offset: offset, kinds: vec![kind] };
    let session = broker.queues().session_of(worker, 1).expect("it has fetched");
    let taken = broker.queues().acknowledge(broker, (worker, session), place, &[said]).await;
    taken.expect("it is held");
}

#[tokio::test]
async fn what_was_acknowledged_does_not_come_again_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    set(&broker, &[("share.auto.offset.reset", "earliest")]);
    send(&broker, "t", 4);
    let a = worker("a");
    assert_eq!(fetch(&broker, &a, place).await, [(0, 1), (1, 1), (2, 1), (3, 1)]);
    say(&broker, &a, place, 0, Acknowledgement::Accept).await;
    say(&broker, &a, place, 1, Acknowledgement::Release).await;
    say(&broker, &a, place, 2, Acknowledgement::Reject).await;
    // Nothing is brought to its end: what is in the files is all that is left.
    drop(broker);
    let broker = open(dir.path());
    assert_eq!(fetch(&broker, &worker("b"), place).await, [(1, 2), (3, 2)]);
    assert_eq!(broker.queues().set("g").len(), 1);
}

#[tokio::test]
async fn new_group_gets_what_comes_after_it_also_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    send(&broker, "t", 3);
    assert_eq!(fetch(&broker, &worker("a"), place).await, []);
    send(&broker, "t", 2);
    drop(broker);
    let broker = open(dir.path());
    assert_eq!(fetch(&broker, &worker("a"), place).await, [(3, 1), (4, 1)]);
}

#[tokio::test]
async fn dead_letters_carry_the_record_and_where_it_is_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    create(&broker, "dead");
    let dead_letters = ("errors.deadletterqueue.topic.name", "dead");
    let earliest = ("share.auto.offset.reset", "earliest");
    set(&broker, &[earliest, dead_letters, ("share.delivery.count.limit", "2")]);
    send(&broker, "t", 2);
    let a = worker("a");
    assert_eq!(fetch(&broker, &a, place).await, [(0, 1), (1, 1)]);
    say(&broker, &a, place, 0, Acknowledgement::Reject).await;
    broker.queues().close_session(&broker, &a);
    assert_eq!(fetch(&broker, &a, place).await, [(1, 2)]);
    broker.queues().close_session(&broker, &a);
    assert_eq!(fetch(&broker, &a, place).await, []);

    let log = broker.partition("dead", 0).expect("a partition");
    let read = log.read(0, 1 << 20, true, Isolation::ReadUncommitted).expect("it can be read");
    let mut found = Vec::new();
    for batch in Batches::new(read.records) {
        let (header, batch) = batch.expect("a batch");
        let block = decode(&header, &batch).expect("a block");
        for record in Records::new(&header, &block) {
            let record = record.expect("a record");
            assert_eq!(record.key, Some(&b"k"[..]));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            let headers: Vec<String> =
                record.header_list().map(|(_, value)| text(value.expect("a value"))).collect();
            found.push((text(record.value.expect("a value")), headers.join(" ")));
        }
    }
    let expected = [
        ("v0".to_owned(), "x t 0 0 g 1 it was rejected".to_owned()),
        ("v1".to_owned(), "x t 0 1 g 2 it was handed out as often as is allowed".to_owned()),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn records_stay_while_their_dead_letter_topic_is_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    create(&broker, "dead");
    let dead_letters = ("errors.deadletterqueue.topic.name", "dead");
    let earliest = ("share.auto.offset.reset", "earliest");
    set(&broker, &[earliest, dead_letters, ("share.delivery.count.limit", "1")]);
    send(&broker, "t", 1);
    broker.topics().delete("dead").expect("it is there");
    let a = worker("a");
    assert_eq!(fetch(&broker, &a, place).await, [(0, 1)]);
    let said =
        Acknowledged { first_offset: 0, last_offset: 0, kinds: vec![Acknowledgement::Reject] };
    let session = broker.queues().session_of(&a, 1).expect("it has fetched");
    assert!(broker.queues().acknowledge(&broker, (&a, session), place, &[said]).await.is_err());
    create(&broker, "dead");
    say(&broker, &a, place, 0, Acknowledgement::Reject).await;
    assert_eq!(broker.partition("dead", 0).expect("a partition").high_watermark(), 1);
}

#[tokio::test]
async fn record_that_can_not_be_given_up_does_not_hold_up_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    create(&broker, "dead");
    let dead_letters = ("errors.deadletterqueue.topic.name", "dead");
    let earliest = ("share.auto.offset.reset", "earliest");
    set(&broker, &[earliest, dead_letters, ("share.delivery.count.limit", "2")]);
    send(&broker, "t", 1);
    let a = worker("a");
    assert_eq!(fetch(&broker, &a, place).await, [(0, 1)]);
    say(&broker, &a, place, 0, Acknowledgement::Release).await;
    assert_eq!(fetch(&broker, &a, place).await, [(0, 2)]);
    send(&broker, "t", 1);
    assert_eq!(fetch(&broker, &a, place).await, [(1, 1)]);
    broker.topics().delete("dead").expect("it is there");
    broker.queues().close_session(&broker, &a);
    assert_eq!(fetch(&broker, &worker("b"), place).await, [(1, 2)]);
    create(&broker, "dead");
    broker.queues().sweep(&broker);
    assert_eq!(broker.partition("dead", 0).expect("a partition").high_watermark(), 1);
}

#[tokio::test]
async fn offsets_of_a_group_are_set_and_deleted_while_nobody_works_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    set(&broker, &[("share.auto.offset.reset", "earliest")]);
    send(&broker, "t", 3);
    let (a, group) = (worker("a"), StrBytes::from_static_str("g"));
    let unknown = broker.queues().alter_offsets(&group, &[(place, 1)]).await;
    assert_eq!(unknown.map_err(|e| e.code()), Err(ResponseError::GroupIdNotFound));
    broker.queues().beat(&broker, &group, beat(&a, 0)).expect("it joins");
    assert_eq!(fetch(&broker, &a, place).await, [(0, 1), (1, 1), (2, 1)]);
    say(&broker, &a, place, 0, Acknowledgement::Accept).await;
    assert_eq!(broker.queues().start_offsets(&group), [(place, 1)]);
    let busy = Err(ResponseError::NonEmptyGroup);
    let altered = broker.queues().alter_offsets(&group, &[(place, 2)]).await;
    assert_eq!(altered.map_err(|e| e.code()), busy);
    assert_eq!(broker.queues().delete(&group).await.map_err(|e| e.code()), busy);

    broker.queues().leave(&broker, &a).expect("it was there");
    broker.queues().alter_offsets(&group, &[(place, 2)]).await.expect("nobody works");
    drop(broker);
    let broker = open(dir.path());
    assert_eq!(broker.queues().start_offsets(&group), [(place, 2)]);
    assert_eq!(fetch(&broker, &a, place).await, [(2, 1)]);
    broker.queues().delete_offsets(&group, &[place.0]).await.expect("nobody works");
    assert_eq!(broker.queues().start_offsets(&group), []);
    assert_eq!(fetch(&broker, &a, place).await.len(), 3, "it begins anew");
    broker.queues().delete(&group).await.expect("nobody works");
    assert_eq!((broker.queues().list(), broker.queues().set("g").len()), (Vec::new(), 1));
}

fn beat(member: &Worker, epoch: i32) -> Beat {
    Beat {
        member_id: member.1.clone(),
        epoch,
        topics: (epoch == 0).then(|| vec![StrBytes::from_static_str("t")]),
        client_id: StrBytes::from_static_str("client"),
        host: StrBytes::from_static_str("/127.0.0.1"),
    }
}

#[tokio::test]
async fn members_go_on_after_a_restart_and_those_that_left_do_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    let (a, b, group) = (worker("a"), worker("b"), StrBytes::from_static_str("g"));
    let nobody = broker.queues().beat(&broker, &group, beat(&a, 1));
    assert_eq!(nobody, Err(ResponseError::GroupIdNotFound));
    assert_eq!(broker.queues().leave(&broker, &a), Err(ResponseError::GroupIdNotFound));
    for member in [&a, &b] {
        let told = broker.queues().beat(&broker, &group, beat(member, 0)).expect("it joins");
        assert_eq!(told, Told { epoch: 1, assignment: Some(vec![(place.0, 1)]) });
    }
    broker.queues().leave(&broker, &b).expect("it was there");
    let before = broker.queues().members(&group).expect("a group");
    drop(broker);

    let broker = open(dir.path());
    let after = broker.queues().members(&group).expect("a group");
    let stored = |members: &[(StrBytes, Member)]| -> Vec<_> {
        members.iter().map(|(id, member)| (id.clone(), member.store())).collect()
    };
    assert_eq!(stored(&after), stored(&before));
    let told = broker.queues().beat(&broker, &group, beat(&a, 1));
    assert_eq!(told, Ok(Told { epoch: 1, assignment: None }));
    let gone = broker.queues().beat(&broker, &group, beat(&b, 1));
    assert_eq!(gone, Err(ResponseError::UnknownMemberId));
    broker.queues().leave(&broker, &a).expect("it was there");
    assert_eq!(broker.queues().leave(&broker, &a), Err(ResponseError::UnknownMemberId));
    assert_eq!(broker.queues().list(), [(group, false)]);
}

/// The end of the old connection was seen when the worker had begun anew on another one.
#[tokio::test]
async fn worker_that_comes_back_at_once_keeps_what_it_gets() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = open(dir.path());
    let place = create(&broker, "t");
    set(&broker, &[("share.auto.offset.reset", "earliest")]);
    send(&broker, "t", 2);
    let (a, changes) = (worker("a"), (&[place][..], &[][..]));
    let old = broker.queues().continue_session(&broker, &a, 0, 7, changes).expect("it begins");
    let appetite = Appetite { max_records: 1, max_bytes: 1 << 20, max_wait: Duration::ZERO };
    let fetch_in = async |lease| {
        let answers = broker.queues().fetch(&broker, (&a, lease), &[place], appetite).await;
        answers.len()
    };
    assert_eq!(fetch_in(&old.lease).await, 1);
    let new = broker.queues().continue_session(&broker, &a, 0, 8, changes).expect("it begins");
    assert_eq!(fetch_in(&new.lease).await, 1);
    assert_eq!(fetch_in(&old.lease).await, 0, "a request that waited in the old session");
    broker.queues().disconnected(&broker, 7);
    say(&broker, &a, place, 0, Acknowledgement::Accept).await;
    broker.queues().disconnected(&broker, 8);
    assert_eq!(fetch(&broker, &worker("b"), place).await, [(1, 1)]);
}
