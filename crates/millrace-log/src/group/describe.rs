//! What can be seen of a group from outside.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::protocol::StrBytes;

use super::command::MemberRef;
use super::consumer::Consumers;
use super::offsets::{Committed, TopicPartition};
use super::state::{CONSUMER, Group, State};

impl Group {
    /// Its name.
    pub(crate) fn id(&self) -> &StrBytes {
        &self.id
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Its members, if the coordinator divides the partitions.
    pub(crate) fn consumers(&self) -> Option<&Consumers> {
        self.consumers.as_ref()
    }

    /// What its members talk about, empty if it never had any.
    pub(crate) fn protocol_type(&self) -> StrBytes {
        if self.consumers.is_some() {
            return StrBytes::from_static_str(CONSUMER);
        }
        self.protocol_type.clone().unwrap_or_default()
    }

    /// What was committed for a partition; with `stable`, refused while a transaction is open that
    /// may change it.
    pub(crate) fn committed(
        &self,
        partition: &TopicPartition,
        stable: bool,
    ) -> Result<Option<&Committed>, ResponseError> {
        match stable && self.offsets.is_pending(partition) {
            true => Err(ResponseError::UnstableOffsetCommit),
            false => Ok(self.offsets.get(partition)),
        }
    }

    /// Whether a member may ask for offsets, or somebody who claims to be none.
    pub(crate) fn check_fetch(&self, member: &MemberRef) -> Result<(), ResponseError> {
        match &self.consumers {
            Some(consumers) if member.generation >= 0 || !member.member_id.is_empty() => {
                consumers.check(member)
            }
            _ => Ok(()),
        }
    }

    /// The partitions that something is committed for, in order.
    pub(crate) fn committed_partitions(&self) -> Vec<TopicPartition> {
        self.offsets.committed().map(|(partition, _)| partition.clone()).collect()
    }

    /// Its members; their parts and what they said are known while it is stable.
    pub(crate) fn describe(&self) -> DescribedGroup {
        let stable = self.state == State::Stable;
        let members = self.members.values().map(|member| {
            let described = DescribedGroupMember::default()
                .with_member_id(member.id.clone())
                .with_group_instance_id(member.instance_id.clone())
                .with_client_id(member.client_id.clone())
                .with_client_host(member.client_host.clone());
            if !stable {
                return described;
            }
            described
                .with_member_metadata(member.metadata(self.protocol.as_ref()))
                .with_member_assignment(member.assignment.clone())
        });
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        DescribedGroup::default()
            .with_group_state(StrBytes::from_static_str(self.state.name()))
            .with_protocol_type(self.protocol_type())
            .with_protocol_data(protocol)
            .with_members(members.collect())
    }
}
