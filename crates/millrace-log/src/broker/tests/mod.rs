//! The broker on disks that fail.

mod catalogue;
mod full_disk;
mod power;
mod power_disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use millrace_core::seam::Seams;

use super::{Broker, NewTopic};
use crate::group::command::MemberRef;
use crate::group::offsets::{Committed, TopicPartition};
use crate::storage::disk::{Disk, SystemDisk};
use crate::storage::records::{BatchBuilder, Batches, Records, decode};
use crate::storage::{AbortedTransaction, Isolation, PartitionLog};
use crate::{BrokerConfig, FsyncPolicy};

fn open(dir: &Path, fsync: FsyncPolicy, disk: Arc<dyn Disk>) -> Arc<Broker> {
    let mut config = BrokerConfig::new(dir);
    config.fsync = fsync;
    Broker::open_on(config, Seams::system(), disk).expect("a broker")
}

fn new_topic(name: &str, partitions: i32) -> NewTopic {
    let configs = BTreeMap::from([("segment.bytes".to_owned(), (1 << 20).to_string())]);
    NewTopic { name: name.to_owned(), partitions, configs, internal: false }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A batch of one record with this value, padded.
fn batch(builder: BatchBuilder, value: u64, padding: usize) -> Bytes {
    let mut bytes = value.to_be_bytes().to_vec();
    bytes.resize(8 + padding, 7);
    let mut builder = builder;
    builder.push(0, Some(b"key"), Some(&bytes));
    builder.build()
}

/// The values of all records by offset, with their producers; and the aborted transactions.
fn read_all(log: &PartitionLog) -> (BTreeMap<i64, (i64, u64)>, Vec<AbortedTransaction>) {
    let (mut values, mut aborted) = (BTreeMap::new(), Vec::new());
    let mut next = log.log_start_offset();
    while next < log.last_stable_offset() {
        let fetched = log.read(next, 1 << 20, true, Isolation::ReadCommitted).expect("records");
        aborted.extend(fetched.aborted);
        for found in Batches::new(fetched.records) {
            let (header, bytes) = found.expect("a batch");
            assert_eq!(header.verify(&bytes), Ok(()));
            next = header.next_offset();
            if header.attributes.is_control() {
                continue;
            }
            let block = decode(&header, &bytes).expect("records");
            for record in Records::new(&header, &block).map(|record| record.expect("a record")) {
                let value = record.value.and_then(|value| value.first_chunk()).expect("a value");
                let value = u64::from_be_bytes(*value);
                values.insert(record.offset, (header.producer_id, value));
            }
        }
    }
    (values, aborted)
}

/// Commits an offset as nobody's member; whether it was acknowledged.
async fn commit(broker: &Broker, group: &str, partition: i32, offset: i64) -> bool {
    let member = MemberRef { generation: -1, ..MemberRef::default() };
    let committed = Committed {
        offset,
        leader_epoch: -1,
        metadata: text(""),
        commit_time_ms: Seams::system().clock.now().as_millis(),
        expire_time_ms: None,
    };
    let place = TopicPartition { topic: text("t"), partition };
    let results = broker.groups().commit(&text(group), &member, vec![(place, committed)]).await;
    results == [Ok(())]
}

fn committed(broker: &Broker, group: &str, partition: i32) -> Option<i64> {
    let place = TopicPartition { topic: text("t"), partition };
    broker.groups().with(|coordinator| {
        let committed = coordinator.group(&text(group))?.committed(&place, false).ok()?;
        committed.map(|committed| committed.offset)
    })
}

/// Runs a test that waits.
fn wait_for<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let result = runtime.block_on(test);
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}
