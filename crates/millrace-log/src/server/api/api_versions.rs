use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::{Peer, dispatch};

/// From this version on a client says which software it is.
const NAMES_SOFTWARE: i16 = 3;

/// From this version on the lowest level of a feature may be 0: older clients take the whole answer
/// for broken.
const FEATURES_FROM_0: i16 = 4;

/// Features with a level that all brokers of a cluster have agreed on. Clients look at them for what
/// versions of requests alone don't say: names and highest levels, which are those that hold.
const FEATURES: [(&str, i16); 2] = [("group.version", 1), ("transaction.version", 2)];

/// When the features were agreed on. It never changes here.
const FEATURES_EPOCH: i64 = 0;

/// Which requests are served, in which versions.
pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _peer: &Peer,
    request: ApiVersionsRequest,
    version: i16,
) -> ApiVersionsResponse {
    let names = [&request.client_software_name, &request.client_software_version];
    if version >= NAMES_SOFTWARE && !names.iter().all(|name| is_software_name(name)) {
        let code = ResponseError::InvalidRequest.code();
        return ApiVersionsResponse::default().with_error_code(code);
    }
    let response = ApiVersionsResponse::default().with_api_keys(served());
    if version < NAMES_SOFTWARE { response } else { with_features(response, version) }
}

fn with_features(response: ApiVersionsResponse, version: i16) -> ApiVersionsResponse {
    let name = StrBytes::from_static_str;
    let supported = FEATURES.map(|(feature, level)| {
        SupportedFeatureKey::default().with_name(name(feature)).with_max_version(level)
    });
    let finalized = FEATURES.map(|(feature, level)| {
        FinalizedFeatureKey::default()
            .with_name(name(feature))
            .with_min_version_level(level)
            .with_max_version_level(level)
    });
    let response = response
        .with_finalized_features_epoch(FEATURES_EPOCH)
        .with_finalized_features(finalized.into());
    if version < FEATURES_FROM_0 {
        return response;
    }
    response.with_supported_features(supported.into())
}

/// What a client is told that asks in a version that is not served: the error and what is, in
/// version 0, which every client can read.
pub(in crate::server) fn unsupported() -> ApiVersionsResponse {
    let code = ResponseError::UnsupportedVersion.code();
    ApiVersionsResponse::default().with_error_code(code).with_api_keys(served())
}

fn served() -> Vec<ApiVersion> {
    let line = |api: &dispatch::Api| {
        // librdkafka before 2.8 leaves gzip, snappy and lz4 out, with no more than a line in its
        // log, where Produce is not said to begin with version 0. Kafka 4 says so for its sake,
        // and serves the versions below 3 as little as this log does: nobody sends them.
        let min_version = if api.key == ApiKey::Produce { 0 } else { api.min_version };
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(min_version)
            .with_max_version(api.max_version)
    };
    dispatch::apis().iter().map(line).collect()
}

/// Letters and digits, with `-` and `.` between them.
fn is_software_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.iter().all(|b| is_inner(*b)) && is_outer(bytes.first()) && is_outer(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_level_of_0_is_kept_from_clients_that_cannot_read_it() {
        for version in [3, 4] {
            let answer = with_features(ApiVersionsResponse::default(), version);
            assert_eq!(answer.finalized_features.len(), 2);
            assert_eq!(answer.supported_features.len(), if version == 3 { 0 } else { 2 });
        }
    }

    #[test]
    fn produce_is_said_to_begin_with_version_0_and_others_where_they_are_served() {
        for (said, api) in served().iter().zip(dispatch::apis()) {
            let min_version = if api.key == ApiKey::Produce { 0 } else { api.min_version };
            assert_eq!((said.api_key, said.min_version), (api.key as i16, min_version));
            assert_eq!(said.max_version, api.max_version);
        }
    }

    #[test]
    fn software_names_begin_and_end_with_a_letter_or_digit() {
        for good in ["librdkafka", "apache-kafka-java", "4.1.1", "a"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", ".1", "a\n"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
