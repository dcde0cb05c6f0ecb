//! What stands in `__transaction_state` stays readable.

use super::super::record::{decode, encode};
use super::super::*;

const GOLDEN_1: &str = include_str!("../../../tests/golden/transaction-state-v1.txt");
const GOLDEN_2: &str = include_str!("../../../tests/golden/transaction-state-v2.txt");

fn entries() -> Vec<Entry> {
    let ongoing = Transaction {
        producer: Producer { id: 4_711, epoch: 3 },
        renewed_from: Some(Producer { id: 4_710, epoch: 32_766 }),
        next_producer_id: None,
        timeout_ms: 60_000,
        state: TransactionState::Ongoing,
        partitions: Partitions::from([
            ("__consumer_offsets".to_owned(), [0].into()),
            ("orders".to_owned(), [0, 2].into()),
        ]),
        started_ms: Some(1_795_000_000_000),
        updated_ms: 1_795_000_000_250,
    };
    let transaction = |id: &str, transaction| Entry::Transaction { id: id.to_owned(), transaction };
    let mut entries = vec![
        Entry::ProducerIds { below: 5_000 },
        transaction("billing-0", Some(ongoing.clone())),
        transaction("gone", None),
        transaction("new", Some(Transaction::new(4_712, 1, 1_795_000_000_000))),
    ];
    for state in TransactionState::ALL {
        entries.push(transaction(state.name(), Some(Transaction { state, ..ongoing.clone() })));
    }
    entries
}

fn lines(entries: &[Entry]) -> String {
    let mut text = String::new();
    for (key, value) in entries.iter().map(encode) {
        let value = value.unwrap_or_default();
        text += &format!(
            "{}\t{}\n",
            std::str::from_utf8(&key).unwrap(),
            std::str::from_utf8(&value).unwrap()
        );
    }
    text
}

/// What version 1 could not hold.
fn last_epoch() -> Entry {
    let transaction = Transaction {
        producer: Producer { id: 4_711, epoch: i16::MAX },
        renewed_from: Some(Producer { id: 4_711, epoch: i16::MAX - 1 }),
        next_producer_id: Some(4_999),
        state: TransactionState::PrepareCommit,
        partitions: Partitions::from([("orders".to_owned(), [1].into())]),
        ..Transaction::new(4_711, 60_000, 1_795_000_000_000)
    };
    Entry::Transaction { id: "last-epoch".to_owned(), transaction: Some(transaction) }
}

fn entries_of_version_2() -> Vec<Entry> {
    let mut entries = entries();
    entries.push(last_epoch());
    entries
}

#[test]
fn entries_of_version_1_stay_readable() {
    assert_eq!(read(GOLDEN_1), entries());
}

#[test]
fn entries_of_version_2_stay_readable_and_are_what_is_written() {
    assert_eq!(read(GOLDEN_2), entries_of_version_2());
    assert_eq!(lines(&entries_of_version_2()), GOLDEN_2);
}

fn read(golden: &str) -> Vec<Entry> {
    let mut read = Vec::new();
    for line in golden.lines() {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        let value = Some(value.as_bytes()).filter(|value| !value.is_empty());
        read.push(decode(key.as_bytes(), value).expect("a golden line can be read"));
    }
    read
}

#[test]
#[ignore = "writes the golden file of a new version"]
fn write_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/transaction-state-v2.txt");
    std::fs::write(path, lines(&entries_of_version_2())).unwrap();
}

#[test]
fn what_cannot_be_read_is_refused_with_its_reason() {
    let reason = |key: &[u8], value: Option<&[u8]>| decode(key, value).unwrap_err().to_string();
    assert!(reason(b"other", None).contains("key"));
    assert!(reason(b"\xff", None).contains("key"));
    assert!(reason(b"producer-ids", None).contains("missing"));
    assert!(reason(b"producer-ids", Some(br#"{"version":3}"#)).contains("version 3"));
    assert!(reason(b"transaction:a", Some(b"")).contains("can't be read"));
    assert!(reason(b"transaction:a", Some(br#"{"version":1}"#)).contains("can't be read"));
}

#[test]
fn a_cut_value_is_refused_wherever_it_is_cut() {
    for (key, value) in entries_of_version_2().iter().map(encode) {
        let Some(value) = value else { continue };
        for cut in 0..value.len() {
            assert!(decode(&key, Some(&value[..cut])).is_err(), "{key:?} cut at {cut}");
        }
    }
}
