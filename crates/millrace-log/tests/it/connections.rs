use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest, MetadataRequest, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use millrace_core::seam::Seams;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, Log, frame};

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("test"))
        .with_client_software_version(StrBytes::from_static_str("1"))
}

#[tokio::test]
async fn a_client_learns_what_it_may_send() {
    let log = Log::start().await;
    let mut client = log.client().await;
    for version in 0..=4 {
        let response = client.send(version, api_versions()).await;
        assert_eq!(response.error_code, 0);
        let metadata =
            response.api_keys.iter().find(|api| api.api_key == ApiKey::Metadata as i16).unwrap();
        assert_eq!((metadata.min_version, metadata.max_version), (0, 13));
    }
}

#[tokio::test]
async fn a_newer_client_is_answered_in_version_0_and_may_ask_again() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let mut bytes = frame(4, 7, &api_versions());
    bytes[6..8].copy_from_slice(&99i16.to_be_bytes());
    client.stream.write_all(&bytes).await.unwrap();
    let mut answer = client.read_frame().await.unwrap();
    assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, 7);
    let response = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!(response.error_code, ResponseError::UnsupportedVersion.code());
    assert!(response.api_keys.iter().any(|api| api.api_key == ApiKey::ApiVersions as i16));
    assert_eq!(client.send(3, api_versions()).await.error_code, 0);
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let mut bytes = Vec::new();
    for id in 0..200 {
        bytes.extend_from_slice(&frame(3, id, &api_versions()));
    }
    let (mut reader, mut writer) = client.stream.split();
    let write = async { writer.write_all(&bytes).await.unwrap() };
    let read = async {
        for id in 0..200 {
            let length = reader.read_i32().await.unwrap();
            let mut answer = vec![0; usize::try_from(length).unwrap()];
            reader.read_exact(&mut answer).await.unwrap();
            let mut answer = Bytes::from(answer);
            assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, id);
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn what_a_client_sent_before_it_closed_its_side_is_answered() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let id = client.write(3, &api_versions()).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.read::<ApiVersionsRequest>(3, id).await.is_some());
    assert_eq!(client.read_frame().await, None);
}

async fn is_well(client: &mut Client) -> bool {
    client.send(3, api_versions()).await.error_code == 0
}

#[tokio::test]
async fn a_bad_request_closes_its_own_connection_only() {
    let log = Log::start_with(|config| config.max_request_bytes = 10_000).await;
    let mut other = log.client().await;
    let mut huge_array = frame(1, 0, &MetadataRequest::default());
    let end = huge_array.len();
    huge_array[end - 4..].copy_from_slice(&i32::MAX.to_be_bytes());
    let bad: [&[u8]; 8] = [
        &[0xff, 0xff, 0xff, 0xff],
        &10_001i32.to_be_bytes(),
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, 0, 18, 0],
        &[0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 10, 0, 3, 0x7f, 0xff, 0, 0, 0, 0, 0, 0],
        &huge_array,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    for bytes in bad {
        let mut client = log.client().await;
        client.stream.write_all(bytes).await.unwrap();
        assert_eq!(client.read_frame().await, None, "{bytes:?}");
        assert!(is_well(&mut other).await);
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_may_come_when_others_left() {
    let log = Log::start_with(|config| config.max_connections = 2).await;
    let mut first = log.client().await;
    let mut second = log.client().await;
    assert!(is_well(&mut first).await && is_well(&mut second).await);
    assert_eq!(log.client().await.read_frame().await, None);
    drop(first);
    // The server sees the first one leave in its own time.
    for _ in 0..1_000 {
        let mut third = log.client().await;
        third.write(3, &api_versions()).await;
        if third.read_frame().await.is_some() {
            return;
        }
    }
    panic!("no connection was taken after one had left");
}

/// A request of two megabytes that asks what is served, and carries what nobody reads.
fn large_request(id: i32) -> Vec<u8> {
    let mut bytes = frame(3, id, &api_versions()).to_vec();
    bytes.resize(2_000_000, 0);
    let length = i32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[tokio::test]
async fn large_requests_wait_for_the_memory_budget_and_small_ones_do_not() {
    let log = Log::start_with(|config| config.max_in_flight_bytes = 3_100_000).await;
    let mut announcer = log.client().await;
    announcer.stream.write_all(&100_000_000i32.to_be_bytes()).await.unwrap();
    let mut hog = log.client().await;
    let (last, rest) = {
        let l = large_request(0);
        (l[l.len() - 1], l[..l.len() - 1].to_vec())
    };
    hog.stream.write_all(&rest).await.unwrap();
    let mut patient = log.client().await;
    let large = large_request(0);
    let (mut reader, mut writer) = patient.stream.split();
    let write = async { writer.write_all(&large).await.unwrap() };
    let read = async { reader.read_i32().await.unwrap() };
    let release = async {
        let mut small = log.client().await;
        assert!(is_well(&mut small).await);
        hog.stream.write_u8(last).await.unwrap();
        assert!(hog.read_frame().await.is_some());
    };
    tokio::join!(write, read, release);
}

#[tokio::test]
async fn a_server_that_stops_closes_its_connections() {
    let log = Log::start().await;
    let mut client = log.client().await;
    assert!(is_well(&mut client).await);
    log.server.shutdown().await.unwrap();
    assert_eq!(client.read_frame().await, None);
}

/// Well-formed requests with some bytes changed, and noise.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![0i16..80, any::<i16>()];
    let noise = (key, 0i16..20, proptest::collection::vec(any::<u8>(), 0..80)).prop_map(
        |(key, version, body)| {
            let mut bytes = Vec::new();
            bytes.extend(i32::try_from(body.len() + 8).unwrap().to_be_bytes());
            bytes.extend(key.to_be_bytes());
            bytes.extend(version.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(body);
            bytes
        },
    );
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let changed = (changes, 0i16..14).prop_map(|(changes, version)| {
        let mut bytes = frame(version, 0, &MetadataRequest::default()).to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    prop_oneof![noise, changed]
}

#[test]
fn no_bytes_on_one_connection_harm_another() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = runtime.block_on(Log::start_with(|config| config.auto_create_topics = false));
    let other = tokio::sync::Mutex::new(runtime.block_on(log.client()));
    let config = ProptestConfig { cases: 500, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&hostile_bytes(), |bytes| {
            runtime.block_on(async {
                let mut hostile = log.client().await;
                let _ = hostile.stream.write_all(&bytes).await;
                let _ = hostile.stream.shutdown().await;
                let mut rest = Vec::new();
                let _ = hostile.stream.read_to_end(&mut rest).await;
                prop_assert!(is_well(&mut *other.lock().await).await);
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn what_is_sent_behind_a_waiting_request_is_read_only_in_part() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let request = FetchRequest::default().with_max_wait_ms(3_600_000).with_min_bytes(1);
    client.write(11, &request).await;
    let noise = vec![0; 1 << 20];
    let mut sent_bytes = 0;
    loop {
        tokio::select! {
            written = client.stream.write(&noise) => sent_bytes += written.unwrap(),
            () = Seams::system().clock.sleep(Duration::from_millis(300)) => break,
        }
        assert!(sent_bytes < 1 << 30, "a gigabyte was taken");
    }
}
