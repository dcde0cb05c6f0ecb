//! What a client may do: the questions that handlers ask, with the codes of the answers.

use kafka_protocol::error::ResponseError;

use super::Peer;
use crate::broker::Broker;
pub(crate) use crate::security::acl::Operation;
use crate::security::acl::{CLUSTER_NAME, Kind, Subject};

type Checked = Result<(), ResponseError>;

impl Peer {
    /// Whether the client may do something with a topic.
    pub(crate) fn check_topic(&self, broker: &Broker, operation: Operation, name: &str) -> Checked {
        let code = ResponseError::TopicAuthorizationFailed;
        self.check(broker, operation, Kind::Topic, name, code)
    }

    /// Whether the client may do something with a group.
    pub(crate) fn check_group(&self, broker: &Broker, operation: Operation, id: &str) -> Checked {
        let code = ResponseError::GroupAuthorizationFailed;
        self.check(broker, operation, Kind::Group, id, code)
    }

    /// Whether the client may do something with a transactional id.
    pub(crate) fn check_transactional_id(
        &self,
        broker: &Broker,
        operation: Operation,
        id: &str,
    ) -> Checked {
        let code = ResponseError::TransactionalIdAuthorizationFailed;
        self.check(broker, operation, Kind::TransactionalId, id, code)
    }

    /// Whether the client may do something with the cluster.
    pub(crate) fn check_cluster(&self, broker: &Broker, operation: Operation) -> Checked {
        let code = ResponseError::ClusterAuthorizationFailed;
        self.check(broker, operation, Kind::Cluster, CLUSTER_NAME, code)
    }

    /// Whether the client may write to some topic at least.
    pub(crate) fn may_write_somewhere(&self, broker: &Broker) -> bool {
        let host = self.address.ip().to_canonical().to_string();
        let subject = Subject { principal: self.session.principal(), host: &host };
        broker.security().allows_somewhere(subject, Operation::Write, Kind::Topic)
    }

    /// Those of some operations, as bits, that the client may do.
    pub(crate) fn allowed_of(&self, broker: &Broker, bits: i32, kind: Kind, name: &str) -> i32 {
        let allowed = |operation: &Operation| {
            let code = ResponseError::UnknownServerError;
            self.check(broker, *operation, kind, name, code).is_ok()
        };
        let asked = (0..32).filter(|bit| bits & (1 << bit) != 0).filter_map(Operation::of_code);
        asked.filter(allowed).fold(0, |all, operation| all | 1 << operation.code())
    }

    fn check(
        &self,
        broker: &Broker,
        operation: Operation,
        kind: Kind,
        name: &str,
        code: ResponseError,
    ) -> Checked {
        let security = broker.security();
        if !security.has_acls() {
            return Ok(());
        }
        let host = self.address.ip().to_canonical().to_string();
        let principal = self.session.principal();
        if security.allows(Subject { principal, host: &host }, operation, kind, name) {
            return Ok(());
        }
        tracing::debug!(principal, host, ?operation, ?kind, name, "denied");
        Err(code)
    }
}
