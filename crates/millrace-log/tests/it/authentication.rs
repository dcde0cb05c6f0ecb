//! Clients prove who they are.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, ApiVersionsRequest, DescribeUserScramCredentialsRequest,
    MetadataRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use millrace_log::{BrokerConfig, SaslMechanism, Users};
use tokio::io::AsyncWriteExt;

use crate::client::{Client, Log, text};

/// A log with the user `alice`, whose password is `secret`.
async fn guarded() -> Log {
    Log::start_with(|config: &mut BrokerConfig| {
        config.sasl_mechanisms = SaslMechanism::ALL.to_vec();
        let mut users = Users::open(&config.data_dir).unwrap();
        users.set_password("alice", "secret").unwrap();
    })
    .await
}

fn handshake(mechanism: &str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text(mechanism))
}

async fn say(client: &mut Client, token: &'static str) -> SaslAuthenticateResponse {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
    client.send(2, request).await
}

#[tokio::test]
async fn a_client_with_the_password_is_served() {
    let log = guarded().await;
    let mut client = log.client().await;
    let versions = ApiVersionsRequest::default()
        .with_client_software_name(text("test"))
        .with_client_software_version(text("1"));
    assert_eq!(client.send(3, versions).await.error_code, 0);
    let chosen = client.send(1, handshake("PLAIN")).await;
    assert_eq!(chosen.error_code, 0);
    assert_eq!(chosen.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(text));
    let answer = say(&mut client, "\0alice\0secret").await;
    assert_eq!((answer.error_code, answer.auth_bytes.len()), (0, 0));
    let metadata = client.send(12, MetadataRequest::default()).await;
    assert_eq!(metadata.brokers.len(), 1);
    // Once is enough.
    let illegal = ResponseError::IllegalSaslState.code();
    assert_eq!(client.send(1, handshake("PLAIN")).await.error_code, illegal);
    assert_eq!(say(&mut client, "\0alice\0secret").await.error_code, illegal);
}

#[tokio::test]
async fn a_client_with_another_password_is_told_so_and_closed() {
    let log = guarded().await;
    for (mechanism, token) in [
        ("PLAIN", "\0alice\0guess"),
        ("PLAIN", "\0bob\0secret"),
        ("PLAIN", "noise"),
        ("SCRAM-SHA-256", "noise"),
    ] {
        let mut client = log.client().await;
        client.send(1, handshake(mechanism)).await;
        let answer = say(&mut client, token).await;
        assert_eq!(answer.error_code, ResponseError::SaslAuthenticationFailed.code());
        assert_eq!(client.read_frame().await, None);
    }
    let mut client = log.client().await;
    let refused = client.send(1, handshake("GSSAPI")).await;
    assert_eq!(refused.error_code, ResponseError::UnsupportedSaslMechanism.code());
    assert_eq!(refused.mechanisms.len(), 3);
    assert_eq!(client.read_frame().await, None);
}

#[tokio::test]
async fn who_has_proved_nothing_may_ask_for_nothing() {
    let log = guarded().await;
    let mut client = log.client().await;
    client.write(12, &MetadataRequest::default()).await;
    assert_eq!(client.read_frame().await, None);
    // In the middle of the exchange neither.
    let mut client = log.client().await;
    client.send(1, handshake("SCRAM-SHA-512")).await;
    assert_eq!(say(&mut client, "n,,n=alice,r=abc").await.error_code, 0);
    client.write(12, &MetadataRequest::default()).await;
    assert_eq!(client.read_frame().await, None);
    // Nor take memory.
    let mut client = log.client().await;
    client.stream.write_all(&100_000i32.to_be_bytes()).await.unwrap();
    assert_eq!(client.read_frame().await, None);
}

#[tokio::test]
async fn old_clients_prove_it_without_the_headers_of_requests() {
    let log = guarded().await;
    let mut client = log.client().await;
    client.send(0, handshake("PLAIN")).await;
    client.stream.write_all(b"\0\0\0\x0d\0alice\0secret").await.unwrap();
    assert_eq!(client.read_frame().await.unwrap().len(), 0);
    assert_eq!(client.send(12, MetadataRequest::default()).await.brokers.len(), 1);
    let mut client = log.client().await;
    client.send(0, handshake("PLAIN")).await;
    client.stream.write_all(b"\0\0\0\x0d\0alice\0secreT").await.unwrap();
    assert_eq!(client.read_frame().await, None);
}

#[tokio::test]
async fn without_sasl_there_is_nothing_to_prove() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let illegal = ResponseError::IllegalSaslState.code();
    assert_eq!(client.send(1, handshake("PLAIN")).await.error_code, illegal);
    assert_eq!(say(&mut client, "\0alice\0secret").await.error_code, illegal);
    assert_eq!(client.send(12, MetadataRequest::default()).await.brokers.len(), 1);
}

fn upsertion(name: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion::default()
        .with_name(text(name))
        .with_mechanism(mechanism)
        .with_iterations(iterations)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(b"salted password"))
}

#[tokio::test]
async fn credentials_are_changed_by_user_and_outlive_a_restart() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let deletion =
        |name: &str| ScramCredentialDeletion::default().with_name(text(name)).with_mechanism(1);
    let request = AlterUserScramCredentialsRequest::default()
        .with_deletions(vec![deletion("unknown")])
        .with_upsertions(vec![
            upsertion("", 1, 4_096),
            upsertion("both", 1, 4_096),
            upsertion("both", 2, 8_192),
            upsertion("few", 1, 4_095),
            upsertion("many", 1, 16_385),
            upsertion("strange", 3, 4_096),
            upsertion("twice", 1, 4_096),
            upsertion("twice", 1, 4_096),
        ]);
    let response = client.send(0, request).await;
    let codes: Vec<_> = response
        .results
        .iter()
        .map(|r| (r.user.to_string(), ResponseError::try_from_code(r.error_code)))
        .collect();
    let expected = [
        ("", Some(ResponseError::UnacceptableCredential)),
        ("both", None),
        ("few", Some(ResponseError::UnacceptableCredential)),
        ("many", Some(ResponseError::UnacceptableCredential)),
        ("strange", Some(ResponseError::UnsupportedSaslMechanism)),
        ("twice", Some(ResponseError::DuplicateResource)),
        ("unknown", Some(ResponseError::ResourceNotFound)),
    ];
    assert_eq!(codes, expected.map(|(user, code)| (user.to_owned(), code)));
    let log = log.restart().await;
    let mut client = log.client().await;
    let described = client.send(0, DescribeUserScramCredentialsRequest::default()).await;
    assert_eq!(described.results.len(), 1);
    let infos: Vec<_> = described.results[0]
        .credential_infos
        .iter()
        .map(|info| (info.mechanism, info.iterations))
        .collect();
    assert_eq!(infos, [(1, 4_096), (2, 8_192)]);
}
