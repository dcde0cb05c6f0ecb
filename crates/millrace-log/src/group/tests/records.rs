use uuid::Uuid;

use super::super::consumer::Assignor;
use super::super::divided_record::{StoredClassic, StoredConsumer, StoredTarget};
use super::super::record::{StoredEpoch, StoredGroup, StoredMember};
use super::*;

/// Records of each kind, with and without what may be missing.
fn samples() -> Vec<GroupRecord> {
    let member = StoredMember {
        id: text("client-1"),
        instance_id: Some(text("instance")),
        client_id: text("client"),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        metadata: bytes("metadata"),
        assignment: bytes("assignment"),
    };
    let group = StoredGroup {
        protocol_type: Some(text("consumer")),
        protocol: Some(text("range")),
        generation: 7,
        leader: Some(text("client-1")),
        state_since_ms: 1_700_000_000_000,
        members: vec![member.clone(), StoredMember { instance_id: None, ..member }],
    };
    let empty = StoredGroup { protocol: None, leader: None, members: Vec::new(), ..group.clone() };
    let expiring = Committed { expire_time_ms: Some(5), leader_epoch: 3, ..committed(9) };
    let of_group = |value| GroupRecord::Group { group: text("g"), value };
    let of_offset = |value| GroupRecord::Offset { group: text("g"), partition: place(4), value };
    let of_epoch = |value| GroupRecord::DividedGroup { group: text("g"), value };
    let of_member = |value: Option<StoredConsumer>| GroupRecord::DividedMember {
        group: text("g"),
        member: text("client-1"),
        value: value.map(Box::new),
    };
    let of_target = |value| GroupRecord::DividedTarget { group: text("g"), value };
    let consumer = consumer();
    let target = StoredTarget {
        epoch: 5,
        assignor: Assignor::Uniform,
        topics: [(text("a"), (Uuid::from_u128(0x0102_0304_0506), 3))].into(),
    };
    vec![
        of_group(Some(group)),
        of_group(Some(empty)),
        of_group(None),
        of_offset(Some(committed(8))),
        of_offset(Some(expiring)),
        of_offset(None),
        of_epoch(Some(StoredEpoch { epoch: 7, state_since_ms: 1_700_000_000_000 })),
        of_epoch(None),
        of_member(Some(consumer.clone())),
        of_member(Some(StoredConsumer {
            classic: None,
            assignor: None,
            pattern: None,
            ..consumer
        })),
        of_member(None),
        of_target(Some(target)),
        of_target(None),
    ]
}

fn consumer() -> StoredConsumer {
    let part = |partition| (Uuid::from_u128(0x0102_0304_0506), partition);
    StoredConsumer {
        instance_id: Some(text("instance")),
        rack_id: Some(text("rack")),
        client_id: text("client"),
        host: text("/127.0.0.1"),
        rebalance_timeout_ms: 300_000,
        topics: [text("a"), text("b")].into(),
        pattern: Some(text("a.*")),
        assignor: Some(Assignor::Range),
        epoch: 5,
        previous_epoch: 4,
        progress: 1,
        assigned: [part(0), part(1)].into(),
        revoking: [part(2)].into(),
        target: [part(0)].into(),
        classic: Some(StoredClassic {
            session_timeout_ms: 45_000,
            protocols: vec![(text("range"), bytes("metadata"))],
        }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The stored format is kept for ever: what is in the file must be read by all later programs.
#[test]
fn records_are_those_of_the_golden_file() {
    let lines = samples().into_iter().map(|record| {
        let (key, value) = record.encode();
        format!("{} {}\n", hex(&key), value.map_or("-".to_owned(), |value| hex(&value)))
    });
    let golden = include_str!("group_records_v1.golden");
    assert_eq!(lines.collect::<String>(), golden);
}

#[test]
fn record_that_is_written_is_read() {
    for record in samples() {
        let (key, value) = record.encode();
        assert_eq!(GroupRecord::decode(key, value), Ok(record));
    }
}

#[test]
fn torn_longer_newer_and_foreign_records_are_refused() {
    for record in samples() {
        let (key, value) = record.encode();
        for end in 0..key.len() {
            assert!(GroupRecord::decode(key.slice(..end), value.clone()).is_err());
        }
        let Some(value) = value else { continue };
        for end in 0..value.len() {
            assert!(GroupRecord::decode(key.clone(), Some(value.slice(..end))).is_err());
        }
        let longer = [&value[..], &[0]].concat();
        assert!(GroupRecord::decode(key.clone(), Some(longer.into())).is_err());
        let newer = [&[2], &value[1..]].concat();
        let refusal = GroupRecord::decode(key, Some(newer.into())).expect_err("newer");
        assert!(refusal.contains("version 2"), "{refusal}");
    }
}

#[test]
fn restored_group_is_stable_again_and_goes_on() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    let mut restarted = Machine::new();
    restarted.now_ms = 500_000;
    for (offset, record) in machine.records.into_iter().enumerate() {
        let (key, value) = record.encode();
        let record = GroupRecord::decode(key, value).expect("a record");
        let now = restarted.now();
        restarted.coordinator.apply(record, offset as i64, None, now);
    }
    assert_eq!((restarted.state(), restarted.generation()), (State::Stable, 2));
    assert_eq!(restarted.heartbeat(&a), Ok(()));
    let synced = restarted.sync(&b, &[]);
    assert_eq!(restarted.assignment(synced), bytes("part b"));
    restarted.pass(i64::from(SESSION_MS) / 2);
    assert_eq!(restarted.heartbeat(&a), Ok(()));
    restarted.pass(i64::from(SESSION_MS) / 2);
    assert_eq!(restarted.heartbeat(&b), Err(ResponseError::UnknownMemberId));
}

#[test]
fn restored_static_member_comes_back_without_a_rebalance() {
    let mut machine = Machine::new();
    let ticket = machine.join(&fixed("i1"));
    let joined = machine.joined(ticket);
    let member = MemberRef { instance_id: Some(text("i1")), ..of(&joined) };
    machine.sync(&member, &[(&joined.member_id, "all")]);
    let mut restarted = Machine::new();
    for record in machine.records {
        restarted.coordinator.apply(record, 0, None, restarted.now());
    }
    let ticket = restarted.join(&fixed("i1"));
    assert_eq!((restarted.joined(ticket).generation, restarted.state()), (1, State::Stable));
}
