//! What groups keep in `__consumer_offsets`: the stored format.
//!
//! A record's key says what it is about, and its value what became of it; no value means that it is
//! gone, so that compaction keeps the last state of each group and of each offset. Integers are
//! big-endian; a string or a blob is its length in bytes as `u32` and then itself; what may be
//! missing has a byte 0 or 1 before it.
//!
//! ```text
//! key    = version u8 (1), kind u8, group string, [topic string, partition i32], [member id string]
//! kind   = 1 group | 2 offset, which has topic and partition | of a group whose partitions the
//!          coordinator divides: 3 its epoch | 4 a member, which has its id | 5 what its target
//!          assignment was made for
//! group  = version u8 (1), protocol type string?, protocol string?, generation i32,
//!          leader string?, state since i64, count u32, members
//! member = id string, instance id string?, client id string, client host string,
//!          session timeout i32, rebalance timeout i32, metadata blob, assignment blob
//! offset = version u8 (1), offset i64, leader epoch i32, metadata string, commit time i64,
//!          expire time i64?
//! divided group = version u8 (1), epoch i32, state since i64; for its members and target see
//!          `divided_record`
//! ```
//!
//! Bytes behind the last field, or a newer version, are refused: an older program would else throw
//! away what it does not know.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

use super::divided_record::{
    StoredConsumer, StoredTarget, decode_member, decode_target, encode_member, encode_target,
};
use super::offsets::{Committed, TopicPartition};

pub(super) const VERSION: u8 = 1;
const GROUP: u8 = 1;
const OFFSET: u8 = 2;
const DIVIDED_GROUP: u8 = 3;
const DIVIDED_MEMBER: u8 = 4;
const DIVIDED_TARGET: u8 = 5;

/// A group as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    pub protocol_type: Option<StrBytes>,
    pub protocol: Option<StrBytes>,
    pub generation: i32,
    pub leader: Option<StrBytes>,
    pub state_since_ms: i64,
    pub members: Vec<StoredMember>,
}

/// A member as it is stored: with what it said through the chosen assignor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMember {
    pub id: StrBytes,
    pub instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub client_host: StrBytes,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// A group whose partitions the coordinator divides, as it is stored, without its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredEpoch {
    pub epoch: i32,
    pub state_since_ms: i64,
}

/// Something to be remembered; without a value, to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupRecord {
    Group { group: StrBytes, value: Option<StoredGroup> },
    Offset { group: StrBytes, partition: TopicPartition, value: Option<Committed> },
    DividedGroup { group: StrBytes, value: Option<StoredEpoch> },
    DividedMember { group: StrBytes, member: StrBytes, value: Option<Box<StoredConsumer>> },
    DividedTarget { group: StrBytes, value: Option<StoredTarget> },
}

impl GroupRecord {
    /// Key and value.
    pub(super) fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut key = BytesMut::new();
        key.put_u8(VERSION);
        let value = match self {
            GroupRecord::Group { group, value } => {
                key.put_u8(GROUP);
                put_string(&mut key, group);
                value.as_ref().map(encode_group)
            }
            GroupRecord::Offset { group, partition, value } => {
                key.put_u8(OFFSET);
                put_string(&mut key, group);
                put_string(&mut key, &partition.topic);
                key.put_i32(partition.partition);
                value.as_ref().map(encode_offset)
            }
            GroupRecord::DividedGroup { group, value } => {
                key.put_u8(DIVIDED_GROUP);
                put_string(&mut key, group);
                value.map(encode_epoch)
            }
            GroupRecord::DividedMember { group, member, value } => {
                key.put_u8(DIVIDED_MEMBER);
                put_string(&mut key, group);
                put_string(&mut key, member);
                value.as_deref().map(encode_member)
            }
            GroupRecord::DividedTarget { group, value } => {
                key.put_u8(DIVIDED_TARGET);
                put_string(&mut key, group);
                value.as_ref().map(encode_target)
            }
        };
        (key.freeze(), value)
    }

    /// What a record says, or why it can't be read.
    pub(super) fn decode(mut key: Bytes, value: Option<Bytes>) -> Result<Self, String> {
        check_version(&mut key, "key")?;
        let kind = key.try_get_u8().map_err(|_| truncated())?;
        let group = get_string(&mut key)?;
        let record = match kind {
            GROUP => GroupRecord::Group { group, value: value.map(decode_group).transpose()? },
            OFFSET => {
                let topic = get_string(&mut key)?;
                let partition = get_i32(&mut key)?;
                let partition = TopicPartition { topic, partition };
                let value = value.map(decode_offset).transpose()?;
                GroupRecord::Offset { group, partition, value }
            }
            DIVIDED_GROUP => {
                let value = value.map(decode_epoch).transpose()?;
                GroupRecord::DividedGroup { group, value }
            }
            DIVIDED_MEMBER => {
                let member = get_string(&mut key)?;
                let value = value.map(decode_member).transpose()?.map(Box::new);
                GroupRecord::DividedMember { group, member, value }
            }
            DIVIDED_TARGET => {
                let value = value.map(decode_target).transpose()?;
                GroupRecord::DividedTarget { group, value }
            }
            kind => return Err(format!("a record of the unknown kind {kind}")),
        };
        check_end(&key)?;
        Ok(record)
    }
}

fn encode_group(group: &StoredGroup) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u8(VERSION);
    put_optional(&mut value, group.protocol_type.as_ref());
    put_optional(&mut value, group.protocol.as_ref());
    value.put_i32(group.generation);
    put_optional(&mut value, group.leader.as_ref());
    value.put_i64(group.state_since_ms);
    put_length(&mut value, group.members.len());
    for member in &group.members {
        put_string(&mut value, &member.id);
        put_optional(&mut value, member.instance_id.as_ref());
        put_string(&mut value, &member.client_id);
        put_string(&mut value, &member.client_host);
        value.put_i32(member.session_timeout_ms);
        value.put_i32(member.rebalance_timeout_ms);
        put_blob(&mut value, &member.metadata);
        put_blob(&mut value, &member.assignment);
    }
    value.freeze()
}

fn decode_group(mut value: Bytes) -> Result<StoredGroup, String> {
    check_version(&mut value, "group")?;
    let mut group = StoredGroup {
        protocol_type: get_optional(&mut value)?,
        protocol: get_optional(&mut value)?,
        generation: get_i32(&mut value)?,
        leader: get_optional(&mut value)?,
        state_since_ms: get_i64(&mut value)?,
        members: Vec::new(),
    };
    for _ in 0..value.try_get_u32().map_err(|_| truncated())? {
        group.members.push(StoredMember {
            id: get_string(&mut value)?,
            instance_id: get_optional(&mut value)?,
            client_id: get_string(&mut value)?,
            client_host: get_string(&mut value)?,
            session_timeout_ms: get_i32(&mut value)?,
            rebalance_timeout_ms: get_i32(&mut value)?,
            metadata: get_blob(&mut value)?,
            assignment: get_blob(&mut value)?,
        });
    }
    check_end(&value)?;
    Ok(group)
}

fn encode_offset(committed: &Committed) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u8(VERSION);
    value.put_i64(committed.offset);
    value.put_i32(committed.leader_epoch);
    put_string(&mut value, &committed.metadata);
    value.put_i64(committed.commit_time_ms);
    value.put_u8(u8::from(committed.expire_time_ms.is_some()));
    if let Some(expire_time_ms) = committed.expire_time_ms {
        value.put_i64(expire_time_ms);
    }
    value.freeze()
}

fn decode_offset(mut value: Bytes) -> Result<Committed, String> {
    check_version(&mut value, "offset")?;
    let committed = Committed {
        offset: get_i64(&mut value)?,
        leader_epoch: get_i32(&mut value)?,
        metadata: get_string(&mut value)?,
        commit_time_ms: get_i64(&mut value)?,
        expire_time_ms: match get_flag(&mut value)? {
            true => Some(get_i64(&mut value)?),
            false => None,
        },
    };
    check_end(&value)?;
    Ok(committed)
}

fn encode_epoch(stored: StoredEpoch) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u8(VERSION);
    value.put_i32(stored.epoch);
    value.put_i64(stored.state_since_ms);
    value.freeze()
}

fn decode_epoch(mut value: Bytes) -> Result<StoredEpoch, String> {
    check_version(&mut value, "group")?;
    let stored = StoredEpoch { epoch: get_i32(&mut value)?, state_since_ms: get_i64(&mut value)? };
    check_end(&value)?;
    Ok(stored)
}

pub(super) fn truncated() -> String {
    "a record is shorter than it says".to_owned()
}

pub(super) fn check_version(buffer: &mut Bytes, what: &str) -> Result<(), String> {
    match buffer.try_get_u8().map_err(|_| truncated())? {
        VERSION => Ok(()),
        version => Err(format!("a record's {what} has the unknown version {version}")),
    }
}

pub(super) fn check_end(buffer: &Bytes) -> Result<(), String> {
    match buffer.is_empty() {
        true => Ok(()),
        false => Err(format!("a record has {} bytes behind its end", buffer.len())),
    }
}

#[expect(clippy::expect_used, reason = "requests are limited to far less than 4 GiB")]
pub(super) fn put_length(buffer: &mut BytesMut, length: usize) {
    buffer.put_u32(u32::try_from(length).expect("a part of a request has less than 4 GiB"));
}

pub(super) fn put_blob(buffer: &mut BytesMut, blob: &[u8]) {
    put_length(buffer, blob.len());
    buffer.put_slice(blob);
}

pub(super) fn put_string(buffer: &mut BytesMut, string: &str) {
    put_blob(buffer, string.as_bytes());
}

pub(super) fn put_optional(buffer: &mut BytesMut, string: Option<&StrBytes>) {
    buffer.put_u8(u8::from(string.is_some()));
    if let Some(string) = string {
        put_string(buffer, string);
    }
}

pub(super) fn get_i32(buffer: &mut Bytes) -> Result<i32, String> {
    buffer.try_get_i32().map_err(|_| truncated())
}

pub(super) fn get_i64(buffer: &mut Bytes) -> Result<i64, String> {
    buffer.try_get_i64().map_err(|_| truncated())
}

pub(super) fn get_flag(buffer: &mut Bytes) -> Result<bool, String> {
    match buffer.try_get_u8().map_err(|_| truncated())? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(format!("{other} where only 0 or 1 can be")),
    }
}

/// A copy, so that one field does not hold the whole segment's bytes in memory.
pub(super) fn get_blob(buffer: &mut Bytes) -> Result<Bytes, String> {
    let length = buffer.try_get_u32().map_err(|_| truncated())? as usize;
    if buffer.remaining() < length {
        return Err(truncated());
    }
    Ok(Bytes::copy_from_slice(&buffer.split_to(length)))
}

pub(super) fn get_string(buffer: &mut Bytes) -> Result<StrBytes, String> {
    StrBytes::from_utf8(get_blob(buffer)?).map_err(|_| "a string is not UTF-8".to_owned())
}

pub(super) fn get_optional(buffer: &mut Bytes) -> Result<Option<StrBytes>, String> {
    match get_flag(buffer)? {
        true => get_string(buffer).map(Some),
        false => Ok(None),
    }
}
