use std::sync::Arc;

use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::acls::{Asked, check, filter};
use crate::broker::Broker;
use crate::error::Result;
use crate::security::acl::{Acl, Operation};
use crate::server::Peer;

/// The entries that pass a filter.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeAclsRequest,
    _version: i16,
) -> DescribeAclsResponse {
    let response = DescribeAclsResponse::default();
    match find(broker, peer, request) {
        Ok(acls) => response.with_error_message(None).with_resources(by_resource(acls)),
        Err(error) => response
            .with_error_code(error.code().code())
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}

fn find(broker: &Broker, peer: &Peer, request: DescribeAclsRequest) -> Result<Vec<Acl>> {
    check(broker, peer, Operation::Describe)?;
    let filter = filter(Asked {
        kind: request.resource_type_filter,
        name: request.resource_name_filter,
        pattern: request.pattern_type_filter,
        principal: request.principal_filter,
        host: request.host_filter,
        operation: request.operation,
        permission: request.permission_type,
    })?;
    Ok(broker.security().acls(&filter))
}

/// Entries about the same come together, as they are in order.
fn by_resource(acls: Vec<Acl>) -> Vec<DescribeAclsResource> {
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for acl in acls {
        let (kind, pattern) = (acl.kind.code(), acl.pattern.code());
        let description = AclDescription::default()
            .with_principal(StrBytes::from_string(acl.principal))
            .with_host(StrBytes::from_string(acl.host))
            .with_operation(acl.operation.code())
            .with_permission_type(acl.permission.code());
        match resources.last_mut() {
            Some(last)
                if last.resource_type == kind
                    && last.pattern_type == pattern
                    && last.resource_name.as_str() == acl.name =>
            {
                last.acls.push(description);
            }
            _ => resources.push(
                DescribeAclsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(StrBytes::from_string(acl.name))
                    .with_pattern_type(pattern)
                    .with_acls(vec![description]),
            ),
        }
    }
    resources
}
