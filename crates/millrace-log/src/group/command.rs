//! What goes into the state machine of groups, and what comes out of it.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::record::GroupRecord;
use super::state::Group;
use crate::limits::{
    CONSUMER_MAX_SIZE, CONSUMER_SESSION, GROUP_INITIAL_DELAY, GROUP_MAX_SESSION, GROUP_MAX_SIZE,
    GROUP_MIN_SESSION, Limits, METADATA_MAX_BYTES, OFFSETS_CHECK, OFFSETS_RETENTION,
};

/// Names a request that waits for its answer.
pub(crate) type Ticket = u64;

/// When a command arrives or timers are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since a fixed moment, never going back: what deadlines are counted in.
    pub elapsed_ms: i64,
    /// Since 1970: what is stored.
    pub wall_ms: i64,
}

/// The limits of groups: those of [`Limits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupConfig {
    /// The shortest session a member may ask for.
    pub min_session_timeout_ms: i32,
    /// The longest session a member may ask for.
    pub max_session_timeout_ms: i32,
    /// Members of one group of the classic protocol.
    pub max_size: usize,
    /// How long a member of the newer protocol may be silent.
    pub consumer_session_timeout_ms: i64,
    /// Members of one group of the newer protocol.
    pub consumer_max_size: usize,
    /// How long the first members of an empty group wait for others.
    pub initial_rebalance_delay_ms: i64,
    /// Bytes of metadata that a committed offset may carry.
    pub max_offset_metadata_bytes: usize,
    /// How long offsets are kept once nobody uses them.
    pub offsets_retention_ms: i64,
    /// How often unused offsets are looked for.
    pub retention_check_interval_ms: i64,
}

impl From<&Limits> for GroupConfig {
    fn from(limits: &Limits) -> Self {
        let size = |name| usize::try_from(limits.get(name)).unwrap_or(usize::MAX);
        GroupConfig {
            min_session_timeout_ms: limits.get_int(GROUP_MIN_SESSION),
            max_session_timeout_ms: limits.get_int(GROUP_MAX_SESSION),
            max_size: size(GROUP_MAX_SIZE),
            consumer_session_timeout_ms: limits.get(CONSUMER_SESSION),
            consumer_max_size: size(CONSUMER_MAX_SIZE),
            initial_rebalance_delay_ms: limits.get(GROUP_INITIAL_DELAY),
            max_offset_metadata_bytes: size(METADATA_MAX_BYTES),
            offsets_retention_ms: limits.get(OFFSETS_RETENTION) * 60_000,
            retention_check_interval_ms: limits.get(OFFSETS_CHECK),
        }
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// How long a new member's request may wait for the others: its client cannot be told from a dead
/// one meanwhile, as it has nothing to send heartbeats with.
pub(crate) const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;

/// A request to join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty for a client that was given no id yet.
    pub member_id: StrBytes,
    /// What a static member is known by.
    pub instance_id: Option<StrBytes>,
    /// The id that the client gets if it needs one: random, so drawn by the caller.
    pub new_member_id: StrBytes,
    /// What the client calls itself.
    pub client_id: StrBytes,
    /// Where the client is.
    pub client_host: StrBytes,
    /// Without a heartbeat for this long the member is dead.
    pub session_timeout_ms: i32,
    /// How long the others wait for this member to join again.
    pub rebalance_timeout_ms: i32,
    /// What the members of the group talk about among themselves: `consumer`, `connect`.
    pub protocol_type: StrBytes,
    /// The assignors that the member knows, best first, each with what it tells to the leader.
    pub protocols: Vec<(StrBytes, Bytes)>,
    /// A client without an id is sent away with one before it counts as a member.
    pub requires_known_member_id: bool,
    /// A leader that comes back can be told to leave the assignment alone.
    pub can_skip_assignment: bool,
}

/// Who asks, of which generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemberRef {
    /// The member's id.
    pub member_id: StrBytes,
    /// What a static member is known by.
    pub instance_id: Option<StrBytes>,
    /// The generation that the member believes in; negative for none.
    pub generation: i32,
}

/// A request for the member's part of the assignment; the leader's brings all parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    /// Who asks.
    pub member: MemberRef,
    /// What the member believes the group to be about.
    pub protocol_type: Option<StrBytes>,
    /// The assignor that the member believes to be chosen.
    pub protocol: Option<StrBytes>,
    /// By member id.
    pub assignments: Vec<(StrBytes, Bytes)>,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub member_id: StrBytes,
    pub instance_id: Option<StrBytes>,
    pub metadata: Bytes,
}

/// What a member learns that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub member_id: StrBytes,
    pub generation: i32,
    pub protocol_type: Option<StrBytes>,
    pub protocol: Option<StrBytes>,
    pub leader: StrBytes,
    /// Only for the leader.
    pub members: Vec<JoinedMember>,
    pub skip_assignment: bool,
}

/// The answer to a request that may have waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Joined(Joined),
    JoinRefused { member_id: StrBytes, code: ResponseError },
    Synced { protocol_type: Option<StrBytes>, protocol: Option<StrBytes>, assignment: Bytes },
    SyncRefused(ResponseError),
}

/// One step of the machine: what it looks at, and what it wants done.
#[derive(Debug)]
pub(crate) struct Turn {
    pub config: GroupConfig,
    pub now: Moment,
    /// To be written before the answers go out.
    pub records: Vec<GroupRecord>,
    /// To be sent.
    pub answers: Vec<(Ticket, Answer)>,
    /// Groups as they were, should the records not be written.
    pub before: Vec<Group>,
}

impl Turn {
    pub(crate) fn new(config: GroupConfig, now: Moment) -> Self {
        Turn { config, now, records: Vec::new(), answers: Vec::new(), before: Vec::new() }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.answers.push((ticket, answer));
    }
}
