//! What is hard to bring about from outside: a handler that panics, and minutes that pass.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, EnvelopeRequest, ProduceRequest, RequestHeader, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};
use millrace_core::Timestamp;
use millrace_core::seam::{Clock, Seams};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::dispatch::Api;
use super::*;
use crate::broker::NewTopic;
use crate::config::BrokerConfig;
use crate::storage::records::{BatchBuilder, Codec, HEADER_BYTES};

/// A request that is served in tests alone.
pub(super) const PANICKING: Api = Api {
    key: ApiKey::Envelope,
    min_version: 0,
    max_version: 0,
    request_header_version: EnvelopeRequest::header_version,
    serve: |_| Box::pin(async { panic!("a handler that panics") }),
};

const PANIC: [u8; 15] = [0, 0, 0, 11, 0, 58, 0, 0, 0, 0, 0, 7, 0, 0, 0];
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 9, 0, 0];

/// A clock that goes on when the test says so.
struct ManualClock(watch::Sender<Duration>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn elapsed(&self) -> Duration {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut elapsed = self.0.subscribe();
        let until = *elapsed.borrow() + duration;
        Box::pin(async move {
            let _ = elapsed.wait_for(|elapsed| *elapsed >= until).await;
        })
    }
}

struct Running {
    server: Server,
    clock: Arc<ManualClock>,
    _dir: TempDir,
}

async fn start() -> Running {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock(watch::Sender::new(Duration::ZERO)));
    let seams = Seams { clock: clock.clone(), ..Seams::system() };
    let broker = Broker::open(BrokerConfig::new(dir.path()), seams).unwrap();
    Running { server: Server::start(broker).await.unwrap(), clock, _dir: dir }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    /// Lets time pass until the connection is closed, and says how much it took.
    async fn closed_after(&self, stream: &mut TcpStream, drain: bool) -> Duration {
        let start = self.clock.elapsed();
        loop {
            let mut buffer = [0; 4096];
            let pause = Seams::system().clock.sleep(Duration::from_millis(10));
            if drain {
                tokio::select! {
                    read = stream.read(&mut buffer) => {
                        if matches!(read, Ok(0) | Err(_)) {
                            return self.clock.elapsed() - start;
                        }
                    }
                    () = pause => {}
                }
            } else {
                pause.await;
                if stream.try_write(&[0]).is_err_and(|e| e.kind() != ErrorKind::WouldBlock) {
                    return self.clock.elapsed() - start;
                }
            }
            let step = Duration::from_secs(5);
            self.clock.0.send_modify(|elapsed| *elapsed += step);
            assert!(self.clock.elapsed() < Duration::from_secs(3_600), "it is never closed");
        }
    }
}

async fn is_well(stream: &mut TcpStream) -> bool {
    if stream.write_all(&API_VERSIONS).await.is_err() {
        return false;
    }
    let Ok(length) = stream.read_i32().await else { return false };
    let mut answer = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut answer).await.is_ok() && answer[..4] == [0, 0, 0, 9]
}

#[tokio::test]
async fn a_handler_that_panics_closes_its_own_connection_only() {
    let running = start().await;
    let mut other = running.connect().await;
    assert!(is_well(&mut other).await);
    for _ in 0..3 {
        let mut bad = running.connect().await;
        bad.write_all(&PANIC).await.unwrap();
        let mut rest = Vec::new();
        let _ = bad.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        assert!(is_well(&mut other).await);
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_ten_minutes() {
    let running = start().await;
    let mut silent = running.connect().await;
    assert!(is_well(&mut silent).await);
    let after = running.closed_after(&mut silent, true).await;
    assert!((IDLE_TIMEOUT..IDLE_TIMEOUT * 2).contains(&after), "{after:?}");
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_closes_its_connection() {
    let running = start().await;
    let mut slow = running.connect().await;
    slow.write_all(&API_VERSIONS[..9]).await.unwrap();
    let after = running.closed_after(&mut slow, true).await;
    assert!(after >= Duration::from_secs(60) && after < IDLE_TIMEOUT, "{after:?}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_closed() {
    let running = start().await;
    let mut stuck = running.connect().await;
    // As many requests as the system takes before their answers fill all buffers.
    let requests = API_VERSIONS.repeat(1_000);
    loop {
        tokio::select! {
            written = stuck.write_all(&requests) => written.unwrap(),
            () = Seams::system().clock.sleep(Duration::from_millis(300)) => break,
        }
    }
    let after = running.closed_after(&mut stuck, false).await;
    assert!(after >= Duration::from_secs(60) && after < IDLE_TIMEOUT, "{after:?}");
}

/// A batch of one record that is small until it is inflated.
fn bomb() -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(1, None, Some(&vec![0; 9 << 20]));
    let plain = builder.build();
    let block = Codec::Gzip.compress(&plain[HEADER_BYTES..], None).unwrap();
    let mut batch = [&plain[..HEADER_BYTES], &block].concat();
    let length = u32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[22] = 1;
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    batch.into()
}

fn produce(records: Bytes) -> BytesMut {
    const VERSION: i16 = 7;
    let partition = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(ApiKey::Produce as i16)
        .with_request_api_version(VERSION)
        .encode(&mut frame, ProduceRequest::header_version(VERSION))
        .unwrap();
    request.encode(&mut frame, VERSION).unwrap();
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// It waited for its turn to inflate much on the thread of all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_batch_that_inflates_to_much_holds_up_no_other_connection() {
    let running = start().await;
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        configs: Default::default(),
        internal: false,
    };
    running.server.broker().topics().create(topic).unwrap();
    let (bomb, mut other) = (bomb(), running.connect().await);
    let mut sending = Vec::new();
    // Nobody else inflates much as long as this lives.
    let alone = Codec::Gzip.decompress(&bomb[HEADER_BYTES..]).unwrap();
    for _ in 0..8 {
        let mut client = running.connect().await;
        client.write_all(&produce(bomb.clone())).await.unwrap();
        sending.push(client);
    }
    for _ in 0..3 {
        tokio::select! {
            well = is_well(&mut other) => assert!(well),
            () = Seams::system().clock.sleep(Duration::from_secs(20)) => panic!("no answer"),
        }
    }
    drop(alone);
    for mut client in sending {
        assert!(client.read_i32().await.unwrap() > 0, "it is answered in the end");
    }
    let log = running.server.broker().partition("t", 0).unwrap();
    assert_eq!(log.log_end_offset(), 8);
}
