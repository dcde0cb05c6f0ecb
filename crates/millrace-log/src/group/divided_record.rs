//! What is stored of groups whose partitions the coordinator divides, beside their epoch; the
//! format's common parts are those of [`record`](super::record).
//!
//! ```text
//! member = version u8 (1), instance id string?, rack id string?, client id string, host string,
//!          rebalance timeout i64, topics [string], pattern string?, assignor u8 (0 none, 1 uniform,
//!          2 range), epoch i32, previous epoch i32, progress u8 (0 stable, 1 unrevoked,
//!          2 unreleased), assigned [part], revoking [part], target [part], classic?
//! part   = topic id (16 bytes), partition i32
//! classic = session timeout i32, protocols [name string, metadata blob]
//! target = version u8 (1), epoch i32, assignor u8, topics [name string, id (16 bytes), partitions i32]
//! ```
//! An array has its count as u32 before it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::consumer::Assignor;
use super::record::{
    VERSION, check_end, check_version, get_blob, get_flag, get_i32, get_i64, get_optional,
    get_string, put_blob, put_length, put_optional, put_string, truncated,
};

/// Partitions, by the ids of their topics.
pub(crate) type StoredParts = BTreeSet<(Uuid, i32)>;

/// A member as it is stored, with its part of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredConsumer {
    pub instance_id: Option<StrBytes>,
    pub rack_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub host: StrBytes,
    pub rebalance_timeout_ms: i64,
    pub topics: BTreeSet<StrBytes>,
    pub pattern: Option<StrBytes>,
    pub assignor: Option<Assignor>,
    pub epoch: i32,
    pub previous_epoch: i32,
    pub progress: u8,
    pub assigned: StoredParts,
    pub revoking: StoredParts,
    pub target: StoredParts,
    pub classic: Option<StoredClassic>,
}

/// What a member of the classic protocol has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredClassic {
    pub session_timeout_ms: i32,
    pub protocols: Vec<(StrBytes, Bytes)>,
}

/// What the target assignment was made for, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredTarget {
    pub epoch: i32,
    pub assignor: Assignor,
    pub topics: BTreeMap<StrBytes, (Uuid, i32)>,
}

/// The largest number that stands for a member's progress.
const MAX_PROGRESS: u8 = 2;

pub(super) fn encode_member(member: &StoredConsumer) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u8(VERSION);
    put_optional(&mut value, member.instance_id.as_ref());
    put_optional(&mut value, member.rack_id.as_ref());
    put_string(&mut value, &member.client_id);
    put_string(&mut value, &member.host);
    value.put_i64(member.rebalance_timeout_ms);
    put_length(&mut value, member.topics.len());
    member.topics.iter().for_each(|topic| put_string(&mut value, topic));
    put_optional(&mut value, member.pattern.as_ref());
    value.put_u8(member.assignor.map_or(0, number_of));
    value.put_i32(member.epoch);
    value.put_i32(member.previous_epoch);
    value.put_u8(member.progress);
    for parts in [&member.assigned, &member.revoking, &member.target] {
        put_length(&mut value, parts.len());
        for (topic, partition) in parts {
            value.put_slice(topic.as_bytes());
            value.put_i32(*partition);
        }
    }
    value.put_u8(u8::from(member.classic.is_some()));
    if let Some(classic) = &member.classic {
        value.put_i32(classic.session_timeout_ms);
        put_length(&mut value, classic.protocols.len());
        for (name, metadata) in &classic.protocols {
            put_string(&mut value, name);
            put_blob(&mut value, metadata);
        }
    }
    value.freeze()
}

pub(super) fn decode_member(mut value: Bytes) -> Result<StoredConsumer, String> {
    check_version(&mut value, "member")?;
    let member = StoredConsumer {
        instance_id: get_optional(&mut value)?,
        rack_id: get_optional(&mut value)?,
        client_id: get_string(&mut value)?,
        host: get_string(&mut value)?,
        rebalance_timeout_ms: get_i64(&mut value)?,
        topics: get_array(&mut value, get_string)?,
        pattern: get_optional(&mut value)?,
        assignor: get_assignor(&mut value)?,
        epoch: get_i32(&mut value)?,
        previous_epoch: get_i32(&mut value)?,
        progress: get_progress(&mut value)?,
        assigned: get_array(&mut value, get_part)?,
        revoking: get_array(&mut value, get_part)?,
        target: get_array(&mut value, get_part)?,
        classic: match get_flag(&mut value)? {
            true => Some(StoredClassic {
                session_timeout_ms: get_i32(&mut value)?,
                protocols: get_array(&mut value, |value| {
                    Ok((get_string(value)?, get_blob(value)?))
                })?,
            }),
            false => None,
        },
    };
    check_end(&value)?;
    Ok(member)
}

pub(super) fn encode_target(target: &StoredTarget) -> Bytes {
    let mut value = BytesMut::new();
    value.put_u8(VERSION);
    value.put_i32(target.epoch);
    value.put_u8(number_of(target.assignor));
    put_length(&mut value, target.topics.len());
    for (name, (id, partitions)) in &target.topics {
        put_string(&mut value, name);
        value.put_slice(id.as_bytes());
        value.put_i32(*partitions);
    }
    value.freeze()
}

pub(super) fn decode_target(mut value: Bytes) -> Result<StoredTarget, String> {
    check_version(&mut value, "target")?;
    let target = StoredTarget {
        epoch: get_i32(&mut value)?,
        assignor: get_assignor(&mut value)?.ok_or("a target without its assignor")?,
        topics: get_array(&mut value, |value| {
            Ok((get_string(value)?, (get_uuid(value)?, get_i32(value)?)))
        })?,
    };
    check_end(&value)?;
    Ok(target)
}

fn number_of(assignor: Assignor) -> u8 {
    match assignor {
        Assignor::Uniform => 1,
        Assignor::Range => 2,
    }
}

fn get_assignor(value: &mut Bytes) -> Result<Option<Assignor>, String> {
    match value.try_get_u8().map_err(|_| truncated())? {
        0 => Ok(None),
        1 => Ok(Some(Assignor::Uniform)),
        2 => Ok(Some(Assignor::Range)),
        other => Err(format!("the unknown assignor {other}")),
    }
}

fn get_progress(value: &mut Bytes) -> Result<u8, String> {
    match value.try_get_u8().map_err(|_| truncated())? {
        known if known <= MAX_PROGRESS => Ok(known),
        other => Err(format!("the unknown progress {other}")),
    }
}

fn get_part(value: &mut Bytes) -> Result<(Uuid, i32), String> {
    Ok((get_uuid(value)?, get_i32(value)?))
}

fn get_uuid(value: &mut Bytes) -> Result<Uuid, String> {
    value.try_get_u128().map(Uuid::from_u128).map_err(|_| truncated())
}

fn get_array<T, C: FromIterator<T>>(
    value: &mut Bytes,
    get: impl Fn(&mut Bytes) -> Result<T, String>,
) -> Result<C, String> {
    let count = value.try_get_u32().map_err(|_| truncated())?;
    (0..count).map(|_| get(value)).collect()
}
