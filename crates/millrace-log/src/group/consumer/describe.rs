//! What can be seen of a group from outside.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Consumers;
use super::beat::by_topic;
use super::member::Progress;

/// A group.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) state: &'static str,
    pub(crate) epoch: i32,
    pub(crate) target_epoch: i32,
    pub(crate) assignor: &'static str,
    pub(crate) members: Vec<DescribedMember>,
}

/// One of its members, with what it has and what it is to have.
#[derive(Debug)]
pub(crate) struct DescribedMember {
    pub(crate) id: StrBytes,
    pub(crate) instance_id: Option<StrBytes>,
    pub(crate) rack_id: Option<StrBytes>,
    pub(crate) epoch: i32,
    pub(crate) client_id: StrBytes,
    pub(crate) host: StrBytes,
    pub(crate) topics: Vec<StrBytes>,
    pub(crate) pattern: Option<StrBytes>,
    pub(crate) assigned: BTreeMap<Uuid, Vec<i32>>,
    pub(crate) target: BTreeMap<Uuid, Vec<i32>>,
    /// It speaks the classic protocol.
    pub(crate) is_classic: bool,
}

impl Consumers {
    /// The name of its state in the protocol.
    pub(crate) fn state_name(&self) -> &'static str {
        let is_there = |member: &super::Member| {
            member.progress == Progress::Stable && member.epoch == self.target_epoch
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(is_there) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn describe(&self) -> Described {
        let members = self.members.values().map(|member| DescribedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            epoch: member.epoch,
            client_id: member.client_id.clone(),
            host: member.host.clone(),
            topics: member.topics.iter().cloned().collect(),
            pattern: member.pattern.as_ref().map(|pattern| pattern.text.clone()),
            assigned: by_topic(&member.assigned),
            target: self.target.get(&member.id).map(by_topic).unwrap_or_default(),
            is_classic: member.classic.is_some(),
        });
        Described {
            state: self.state_name(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor.name(),
            members: members.collect(),
        }
    }
}
