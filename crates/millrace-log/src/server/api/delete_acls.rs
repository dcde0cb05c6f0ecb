use std::sync::Arc;

use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsMatchingAcl,
};
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::acls::{Asked, check, filter};
use crate::broker::Broker;
use crate::error::Result;
use crate::security::acl::{Acl, Operation};
use crate::server::Peer;

/// Deletes the entries that pass filters, and says which they were.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DeleteAclsRequest,
    _version: i16,
) -> DeleteAclsResponse {
    let mut results = Vec::with_capacity(request.filters.len());
    for asked in request.filters {
        let result = DeleteAclsFilterResult::default();
        results.push(match delete(broker, peer, asked).await {
            Ok(deleted) => result
                .with_error_message(None)
                .with_matching_acls(deleted.into_iter().map(describe).collect()),
            Err(error) => result
                .with_error_code(error.code().code())
                .with_error_message(Some(StrBytes::from_string(error.to_string()))),
        });
    }
    DeleteAclsResponse::default().with_filter_results(results)
}

async fn delete(broker: &Arc<Broker>, peer: &Peer, asked: DeleteAclsFilter) -> Result<Vec<Acl>> {
    check(broker, peer, Operation::Alter)?;
    let filter = filter(Asked {
        kind: asked.resource_type_filter,
        name: asked.resource_name_filter,
        pattern: asked.pattern_type_filter,
        principal: asked.principal_filter,
        host: asked.host_filter,
        operation: asked.operation,
        permission: asked.permission_type,
    })?;
    let delete = move |broker: &Broker| {
        broker.security().change_acls(|acls| {
            let deleted: Vec<Acl> = acls.iter().filter(|a| filter.passes(a)).cloned().collect();
            acls.retain(|acl| !filter.passes(acl));
            Ok(deleted)
        })
    };
    broker.blocking(delete).await
}

fn describe(acl: Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_error_message(None)
        .with_resource_type(acl.kind.code())
        .with_resource_name(StrBytes::from_string(acl.name))
        .with_pattern_type(acl.pattern.code())
        .with_principal(StrBytes::from_string(acl.principal))
        .with_host(StrBytes::from_string(acl.host))
        .with_operation(acl.operation.code())
        .with_permission_type(acl.permission.code())
}
