use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::partition::Acquired;
use super::super::record::{QueueRecord, StoredMember, StoredPartition};

fn run(first_offset: i64, last_offset: i64, delivery_count: i16) -> Acquired {
    Acquired { first_offset, last_offset, delivery_count }
}

/// Records of each kind, with and without a value.
fn samples() -> Vec<QueueRecord> {
    let of_partition = |value| QueueRecord::Partition {
        group: "workers \"of\" ä".to_owned(),
        topic: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        partition: 3,
        value,
    };
    let of_settings = |value| QueueRecord::Settings { group: "workers".to_owned(), value };
    let of_member = |value| QueueRecord::Member {
        group: "workers".to_owned(),
        member: "worker-1".to_owned(),
        value,
    };
    let settings = [("share.auto.offset.reset", "earliest"), ("share.delivery.count.limit", "3")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    vec![
        of_partition(Some(StoredPartition { end_offset: 0, open: Vec::new() })),
        of_partition(Some(StoredPartition {
            end_offset: 12,
            open: vec![run(2, 2, 1), run(3, 9, 0), run(11, 11, 5)],
        })),
        of_partition(None),
        of_settings(Some(BTreeMap::from(settings))),
        of_settings(None),
        of_member(Some(StoredMember {
            epoch: 7,
            topics: vec!["orders".to_owned(), "payments".to_owned()],
            client_id: "consumer-1".to_owned(),
            host: "/127.0.0.1".to_owned(),
            assignment: vec![(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), 3)],
        })),
        of_member(None),
    ]
}

/// The stored format is kept for ever: what is in the file must be read by all later programs.
#[test]
fn records_are_those_of_the_golden_file() {
    let lines = samples().into_iter().map(|record| {
        let (key, value) = record.encode();
        let text = |bytes| String::from_utf8(bytes).expect("JSON");
        format!("{} {}\n", text(key), value.map_or("-".to_owned(), text))
    });
    let golden = include_str!("queue_records_v1.golden");
    assert_eq!(lines.collect::<String>(), golden);
}

#[test]
fn record_that_is_written_is_read() {
    for record in samples() {
        let (key, value) = record.encode();
        assert_eq!(QueueRecord::decode(&key, value.as_deref()), Ok(record));
    }
}

#[test]
fn torn_newer_and_foreign_records_are_refused() {
    for record in samples() {
        let (key, value) = record.encode();
        for end in 0..key.len() {
            assert!(QueueRecord::decode(&key[..end], value.as_deref()).is_err());
        }
        let newer = String::from_utf8(key.clone()).expect("JSON");
        let newer = newer.replace("\"version\":1", "\"version\":2");
        let refusal = QueueRecord::decode(newer.as_bytes(), None).expect_err("newer");
        assert!(refusal.contains("version 2"), "{refusal}");
        let Some(value) = value else { continue };
        for end in 0..value.len() {
            assert!(QueueRecord::decode(&key, Some(&value[..end])).is_err());
        }
    }
    let (key, _) = samples()[0].encode();
    for value in [
        r#"{"end":3,"open":[[2,3,1]]}"#,
        r#"{"end":9,"open":[[2,1,1]]}"#,
        r#"{"end":9,"open":[[2,4,1],[4,5,1]]}"#,
        r#"{"end":9,"open":[[-1,4,1]]}"#,
        r#"{"end":9223372036854775807,"open":[[0,9223372036854775806,1]]}"#,
        r#"{"end":9,"open":[],"more":1}"#,
    ] {
        assert!(QueueRecord::decode(&key, Some(value.as_bytes())).is_err(), "{value}");
    }
    let member = QueueRecord::Member { group: "g".to_owned(), member: "m".to_owned(), value: None };
    let (key, _) = member.encode();
    for assignment in [r#"[["no id",1]]"#, r#"[["00000000-0000-0000-0000-000000000001",-1]]"#] {
        let value = format!(
            r#"{{"epoch":1,"topics":[],"client_id":"","host":"","assignment":{assignment}}}"#
        );
        assert!(QueueRecord::decode(&key, Some(value.as_bytes())).is_err(), "{value}");
    }
}
