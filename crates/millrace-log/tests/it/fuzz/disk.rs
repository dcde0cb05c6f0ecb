//! A spoilt data directory: it is opened, or refused with a reason, and never brings the process down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use millrace_core::seam::Seams;
use millrace_log::broker::NewTopic;
use millrace_log::storage::records::{BatchHeader, HEADER_BYTES};
use millrace_log::storage::{Isolation, Origin};
use millrace_log::{Broker, BrokerConfig, LogError, Result, Server};
use tempfile::TempDir;

use super::mutate::{Dice, spoil};
use super::records::sign;
use super::seeds::batch;
use super::watch::{panics, peak_bytes, watch};
use super::{dice, replay, rounds};
use crate::client::{Client, Log, text};

/// A directory with a bit of everything, which no server has.
async fn filled() -> Log {
    let log = Log::start().await;
    let topics = log.server.broker().topics();
    for name in ["a", "b"] {
        let mut new = NewTopic { name: name.to_owned(), partitions: 2, ..NewTopic::default() };
        new.configs.insert("segment.ms".to_owned(), "1".to_owned());
        // The records are from long ago.
        new.configs.insert("retention.ms".to_owned(), "-1".to_owned());
        topics.create(new).unwrap();
        for _ in 0..4 {
            let partition = log.server.broker().partition(name, 1).unwrap();
            partition.append(batch(), Origin::Client).unwrap();
        }
    }
    let mut client = log.client().await;
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(3)
        .with_committed_metadata(Some(text("metadata")));
    let topic = OffsetCommitRequestTopic::default().with_name(TopicName(text("a")));
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("group")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic.with_partitions(vec![partition])]);
    client.send(8, commit).await;
    let id = TransactionalId(text("transactional"));
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(id))
        .with_transaction_timeout_ms(60_000);
    assert_eq!(client.send(4, init).await.error_code, 0);
    let config = AlterableConfig::default()
        .with_name(text("share.record.lock.duration.ms"))
        .with_value(Some(text("60000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text("workers"))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(client.send(1, request).await.responses[0].error_code, 0);
    let user = ScramCredentialUpsertion::default()
        .with_name(text("ann"))
        .with_mechanism(1)
        .with_iterations(4_096)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(b"salted password"));
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![user]);
    assert_eq!(client.send(0, request).await.results[0].error_code, 0);
    drop(client);
    log.restart().await
}

/// All files under a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// Spoils a batch of a segment so that its checksum fits again: what its records say is wrong, not the disk.
fn spoil_batch(segment: &mut BytesMut, dice: &mut Dice) {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Ok(header) = BatchHeader::parse(&segment[at..]) {
        starts.push((at, header.size_bytes));
        at += header.size_bytes;
        if at > segment.len() {
            return;
        }
    }
    if starts.is_empty() {
        return;
    }
    let (start, size) = *dice.pick(&starts);
    let mut batch = BytesMut::from(&segment[start..start + size]);
    let whole = batch.clone();
    let kept = if dice.one_in(3) { 21 } else { HEADER_BYTES };
    spoil(&mut batch, kept, &whole, dice);
    if batch.len() >= HEADER_BYTES {
        sign(&mut batch);
    }
    let behind = segment.split_off(start + size);
    segment.truncate(start);
    segment.extend_from_slice(&batch);
    segment.extend_from_slice(&behind);
}

fn spoil_directory(dir: &Path, dice: &mut Dice) -> Vec<PathBuf> {
    let all = files(dir);
    let mut spoilt = Vec::new();
    for _ in 0..=dice.below(3) {
        let path = dice.pick(&all).clone();
        let Ok(bytes) = fs::read(&path) else { continue };
        let mut bytes = BytesMut::from(&bytes[..]);
        let other = fs::read(dice.pick(&all)).unwrap_or_default();
        let is_segment = path.extension().is_some_and(|extension| extension == "log");
        match dice.below(8) {
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::write(&path, &other).unwrap(),
            2..5 if is_segment => {
                spoil_batch(&mut bytes, dice);
                fs::write(&path, &bytes).unwrap();
            }
            _ => {
                let other = if other.is_empty() { vec![0] } else { other };
                spoil(&mut bytes, 0, &other, dice);
                fs::write(&path, &bytes).unwrap();
            }
        }
        spoilt.push(path);
    }
    spoilt
}

/// Opens the directory, reads all that is there, and asks what else it knows.
async fn use_all(dir: &Path) -> Result<()> {
    let server = Server::start(Broker::open(BrokerConfig::new(dir), Seams::system())?).await?;
    for topic in server.broker().topics().list() {
        for partition in topic.partitions() {
            let mut offset = partition.log_start_offset();
            while offset < partition.log_end_offset() {
                let read = partition.read(offset, 1 << 20, true, Isolation::ReadCommitted);
                let Ok(fetched) = read else { break };
                let Some(next) = next_offset(&fetched.records, offset) else { break };
                offset = next;
            }
            let _ = partition.offset_for_time(1_700_000_000_000, Isolation::LogEnd);
            let _ = partition.maintain();
        }
    }
    let mut client = Client::connect(server.address()).await;
    client.send(4, ListGroupsRequest::default()).await;
    let group = GroupId(text("group"));
    let groups = DescribeGroupsRequest::default().with_groups(vec![group.clone()]);
    client.send(5, groups).await;
    let offsets = OffsetFetchRequest::default().with_group_id(group).with_topics(None);
    client.send(7, offsets).await;
    client.send(0, ListTransactionsRequest::default()).await;
    client.send(0, DescribeUserScramCredentialsRequest::default()).await;
    drop(client);
    server.shutdown().await
}

/// Behind the last batch of an answer.
fn next_offset(records: &Bytes, offset: i64) -> Option<i64> {
    let mut next = None;
    let mut at = 0;
    while let Ok(header) = BatchHeader::parse(&records[at..]) {
        at += header.size_bytes;
        if at > records.len() {
            break;
        }
        next = Some(header.next_offset());
    }
    next.filter(|next| *next > offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_directory_is_opened_or_refused() {
    watch();
    let log = filled().await;
    let source = log.path().to_owned();
    let kept = log.stop().await;
    let before = peak_bytes();
    let (mut opened, mut refused) = (0, 0);
    for round in 0..rounds(10) {
        let mut dice = dice(round);
        let dir = TempDir::new().unwrap();
        copy(&source, dir.path());
        let spoilt = spoil_directory(dir.path(), &mut dice);
        let note = format!("{spoilt:?}; {}", replay("a_spoilt_directory", round));
        let path = dir.path().to_owned();
        let used = tokio::spawn(async move { (use_all(&path).await, path) }).await;
        let (used, path) = used.unwrap_or_else(|panic| panic!("{panic}: {note}"));
        assert_eq!(panics(), Vec::<String>::new(), "{note}");
        match used {
            Ok(()) => {
                opened += 1;
                // What was mended stays so. A task of the first server may yet have the directory.
                let mut again = use_all(&path).await;
                for _ in 0..100 {
                    if !matches!(again, Err(LogError::InUse { .. })) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    again = use_all(&path).await;
                }
                again.unwrap_or_else(|error| panic!("not a second time: {error}: {note}"));
            }
            Err(_) => refused += 1,
        }
    }
    println!("{opened} opened, {refused} refused");
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
    if let Some(((had, _), (has, _))) = before.zip(peak_bytes()) {
        assert!(has - had < 1 << 30, "memory grew by {} MiB", (has - had) >> 20);
    }
    drop(kept);
}
