use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::acls::check;
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::security::acl::{Acl, CLUSTER_NAME, Kind, Operation, Pattern, Permission};
use crate::server::Peer;

/// Adds entries about who may do what.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: CreateAclsRequest,
    _version: i16,
) -> CreateAclsResponse {
    let allowed = check(broker, peer, Operation::Alter);
    let refusal = |error: &LogError| LogError::rejected(error.code(), error.to_string());
    let mut entries: Vec<Result<Acl>> = request
        .creations
        .iter()
        .map(|creation| allowed.as_ref().map_err(refusal).and_then(|()| entry(creation)))
        .collect();
    let good: Vec<Acl> = entries.iter().flatten().cloned().collect();
    if !good.is_empty() {
        let add = move |broker: &Broker| {
            broker.security().change_acls(|acls| {
                acls.extend(good);
                Ok(())
            })
        };
        if let Err(error) = broker.blocking(add).await {
            tracing::error!(%error, "access was not changed");
            for entry in entries.iter_mut().filter(|entry| entry.is_ok()) {
                *entry = Err(refusal(&error));
            }
        }
    }
    let results = entries.into_iter().map(|entry| match entry {
        Ok(_) => AclCreationResult::default().with_error_message(None),
        Err(error) => AclCreationResult::default()
            .with_error_code(error.code().code())
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    });
    CreateAclsResponse::default().with_results(results.collect())
}

fn entry(asked: &AclCreation) -> Result<Acl> {
    let invalid = |reason: &str| LogError::rejected(ResponseError::InvalidRequest, reason);
    let kind = Kind::of_code(asked.resource_type);
    let kind = kind.ok_or_else(|| invalid("Invalid resource type"))?;
    let pattern = Pattern::of_code(asked.resource_pattern_type);
    let pattern = pattern.ok_or_else(|| invalid("Invalid pattern type"))?;
    let operation = Operation::of_code(asked.operation);
    let operation = operation.ok_or_else(|| invalid("Invalid operation"))?;
    let permission = Permission::of_code(asked.permission_type);
    let permission = permission.ok_or_else(|| invalid("Invalid permission"))?;
    if asked.resource_name.is_empty() {
        return Err(invalid("Resource name should not be empty"));
    }
    if kind == Kind::Cluster && asked.resource_name.as_str() != CLUSTER_NAME {
        return Err(invalid("The only valid name for the CLUSTER resource is kafka-cluster"));
    }
    if !asked.principal.contains(':') {
        return Err(invalid("Could not parse principal: no `:` is present in it"));
    }
    Ok(Acl {
        kind,
        name: asked.resource_name.to_string(),
        pattern,
        principal: asked.principal.to_string(),
        host: asked.host.to_string(),
        operation,
        permission,
    })
}
