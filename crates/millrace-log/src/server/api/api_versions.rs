use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::broker::Broker;
use crate::server::{Peer, dispatch};

/// From this version on a client says which software it is.
const NAMES_SOFTWARE: i16 = 3;

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
    ApiVersionsResponse::default().with_api_keys(served())
}

/// What a client is told that asks in a version that is not served: the error and what is, in
/// version 0, which every client can read.
pub(in crate::server) fn unsupported() -> ApiVersionsResponse {
    let code = ResponseError::UnsupportedVersion.code();
    ApiVersionsResponse::default().with_error_code(code).with_api_keys(served())
}

fn served() -> Vec<ApiVersion> {
    let line = |api: &dispatch::Api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.min_version)
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
    fn software_names_begin_and_end_with_a_letter_or_digit() {
        for good in ["librdkafka", "apache-kafka-java", "4.1.1", "a"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", ".1", "a\n"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
