//! What members of the classic protocol say to each other through the coordinator: subscriptions and
//! assignments, as bytes.
//!
//! ```text
//! subscription = version i16, topics [string], user data bytes?,
//!                from 1 on: owned [topic string, partitions [i32]]; newer versions add what stands behind
//! assignment   = version i16, [topic string, partitions [i32]], user data bytes?
//! ```
//! A string has its length as i16 before it, an array and bytes as i32, -1 for none.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

/// Partitions by the names of their topics.
pub(super) type Named = BTreeMap<StrBytes, Vec<i32>>;

/// The newest version that is written.
const NEWEST_VERSION: i16 = 3;

/// From this version on a member says what it has.
const WITH_OWNED: i16 = 1;

/// What a member wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub version: i16,
    pub topics: Vec<StrBytes>,
    /// What it says that it has; nothing in older versions, whose members give up all before they
    /// join.
    pub owned: Named,
}

/// Reads a subscription; `None` if it is not one.
pub(super) fn subscription(mut bytes: Bytes) -> Option<Subscription> {
    let version = version(&mut bytes)?;
    let topics = array(&mut bytes, string)?;
    let _user_data = blob(&mut bytes)?;
    let owned = if version >= WITH_OWNED { named(&mut bytes)? } else { Named::new() };
    Some(Subscription { version, topics, owned })
}

/// Reads an assignment and whether an assignor has put data of its own into it; `None` if it is not
/// one. No bytes are an assignment of nothing.
pub(super) fn assignment(mut bytes: Bytes) -> Option<(Named, bool)> {
    if bytes.is_empty() {
        return Some((Named::new(), false));
    }
    version(&mut bytes)?;
    let named = named(&mut bytes)?;
    let user_data = blob(&mut bytes)?;
    Some((named, user_data.is_some_and(|data| !data.is_empty())))
}

/// Writes an assignment.
pub(super) fn write_assignment(version: i16, named: &Named) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version.clamp(0, NEWEST_VERSION));
    put_length(&mut bytes, named.len());
    for (topic, partitions) in named {
        // Names of topics have 249 bytes at most.
        bytes.put_i16(i16::try_from(topic.len()).unwrap_or_default());
        bytes.put_slice(topic.as_bytes());
        put_length(&mut bytes, partitions.len());
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

fn put_length(bytes: &mut BytesMut, length: usize) {
    bytes.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

fn version(bytes: &mut Bytes) -> Option<i16> {
    bytes.try_get_i16().ok().filter(|version| *version >= 0)
}

fn array<T>(bytes: &mut Bytes, read: impl Fn(&mut Bytes) -> Option<T>) -> Option<Vec<T>> {
    let count = bytes.try_get_i32().ok().filter(|count| *count >= 0)?;
    (0..count).map(|_| read(bytes)).collect()
}

fn string(bytes: &mut Bytes) -> Option<StrBytes> {
    let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
    // A copy, so that it does not hold the whole request in memory.
    StrBytes::from_utf8(Bytes::copy_from_slice(&take(bytes, length)?)).ok()
}

fn blob(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    match bytes.try_get_i32().ok()? {
        -1 => Some(None),
        length => take(bytes, usize::try_from(length).ok()?).map(Some),
    }
}

fn named(bytes: &mut Bytes) -> Option<Named> {
    let topic = |bytes: &mut Bytes| {
        let name = string(bytes)?;
        Some((name, array(bytes, |bytes| bytes.try_get_i32().ok())?))
    };
    Some(array(bytes, topic)?.into_iter().collect())
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.remaining() >= length).then(|| bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    #[test]
    fn an_assignment_can_be_read_again_and_is_refused_where_it_is_cut() {
        let named = Named::from([(text("a"), vec![0, 2]), (text("b"), vec![])]);
        let bytes = write_assignment(9, &named);
        assert_eq!(bytes[..2], [0, 3]);
        assert_eq!(assignment(bytes.clone()), Some((named, false)));
        assert_eq!(assignment(Bytes::new()), Some((Named::new(), false)));
        for cut in 1..bytes.len() {
            assert_eq!(assignment(bytes.slice(..cut)), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_subscription_says_what_is_owned_from_version_1_on() {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff]);
        let old = subscription(bytes.clone().freeze()).unwrap();
        assert_eq!((old.topics.as_slice(), old.owned.len()), (&[text("t")][..], 0));
        bytes[1] = 1;
        assert_eq!(subscription(bytes.clone().freeze()), None, "what is owned is missing");
        bytes.put_slice(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7]);
        let new = subscription(bytes.clone().freeze()).unwrap();
        assert_eq!(new.owned, Named::from([(text("t"), vec![7])]));
        // A count that is not there takes no memory.
        assert_eq!(subscription(Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff])), None);
    }
}
