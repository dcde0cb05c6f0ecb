//! What the requests about access have in common.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::security::acl::{AclFilter, Kind, Operation, Pattern, PatternFilter, Permission};
use crate::server::Peer;

/// Whether there are entries at all, and the client may see or change them.
pub(super) fn check(broker: &Broker, peer: &Peer, operation: Operation) -> Result<()> {
    if !broker.security().has_acls() {
        return Err(LogError::rejected(
            ResponseError::SecurityDisabled,
            "No Authorizer is configured on the broker",
        ));
    }
    peer.check_cluster(broker, operation)
        .map_err(|code| LogError::rejected(code, "Cluster authorization failed."))
}

/// What a filter says in numbers and texts.
pub(super) struct Asked {
    pub(super) kind: i8,
    pub(super) name: Option<StrBytes>,
    pub(super) pattern: i8,
    pub(super) principal: Option<StrBytes>,
    pub(super) host: Option<StrBytes>,
    pub(super) operation: i8,
    pub(super) permission: i8,
}

/// The number that stands for any.
const ANY: i8 = 1;
/// The number of the pattern that asks for entries about a thing.
const MATCH: i8 = 2;

/// The filter that is meant.
pub(super) fn filter(asked: Asked) -> Result<AclFilter> {
    let pattern = match asked.pattern {
        ANY => Some(PatternFilter::Any),
        MATCH => Some(PatternFilter::Match),
        code => Pattern::of_code(code).map(PatternFilter::Is),
    };
    let unknown = |what: &str| {
        let reason = format!("The filter has an unknown {what}.");
        LogError::rejected(ResponseError::InvalidRequest, reason)
    };
    let text = |text: Option<StrBytes>| text.map(|text| text.to_string());
    Ok(AclFilter {
        kind: any_or(asked.kind, Kind::of_code).ok_or_else(|| unknown("resource type"))?,
        name: text(asked.name),
        pattern: pattern.ok_or_else(|| unknown("pattern type"))?,
        principal: text(asked.principal),
        host: text(asked.host),
        operation: any_or(asked.operation, Operation::of_code)
            .ok_or_else(|| unknown("operation"))?,
        permission: any_or(asked.permission, Permission::of_code)
            .ok_or_else(|| unknown("permission type"))?,
    })
}

/// None within for the number that stands for any; none for an unknown one.
fn any_or<T>(code: i8, of_code: fn(i8) -> Option<T>) -> Option<Option<T>> {
    if code == ANY { Some(None) } else { of_code(code).map(Some) }
}
