use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Which users there are, and by which mechanisms they can prove it.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeUserScramCredentialsRequest,
    _version: i16,
) -> DescribeUserScramCredentialsResponse {
    if let Err(code) = peer.check_cluster(broker, Operation::Describe) {
        // For each user too, which is where clients look.
        let refused = request.users.unwrap_or_default().into_iter().map(|user| {
            DescribeUserScramCredentialsResult::default()
                .with_user(user.name)
                .with_error_code(code.code())
        });
        return DescribeUserScramCredentialsResponse::default()
            .with_error_code(code.code())
            .with_results(refused.collect());
    }
    let asked: Vec<StrBytes> = match request.users {
        Some(users) if !users.is_empty() => users.into_iter().map(|user| user.name).collect(),
        _ => broker.security().user_names().into_iter().map(StrBytes::from_string).collect(),
    };
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<StrBytes> =
        asked.iter().filter(|name| !seen.insert((*name).clone())).cloned().collect();
    let results = seen.into_iter().map(|user| {
        let credentials = broker.security().credentials(&user);
        let result = DescribeUserScramCredentialsResult::default();
        let refusal = if twice.contains(&user) {
            let reason = "Cannot describe SCRAM credentials for the same user twice in a single \
                          request";
            Some((ResponseError::DuplicateResource, format!("{reason}: {}", user.as_str())))
        } else if credentials.is_none() {
            let reason = "Attempt to describe a user credential that does not exist";
            Some((ResponseError::ResourceNotFound, format!("{reason}: {}", user.as_str())))
        } else {
            None
        };
        let result = result.with_user(user);
        if let Some((code, reason)) = refusal {
            return result
                .with_error_code(code.code())
                .with_error_message(Some(StrBytes::from_string(reason)));
        }
        let infos = credentials.iter().flatten().map(|(hash, credential)| {
            CredentialInfo::default()
                .with_mechanism(hash.code())
                .with_iterations(i32::try_from(credential.iterations).unwrap_or(i32::MAX))
        });
        result.with_error_message(None).with_credential_infos(infos.collect())
    });
    DescribeUserScramCredentialsResponse::default()
        .with_error_message(None)
        .with_results(results.collect())
}
