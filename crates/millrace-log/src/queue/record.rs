//! What queues keep in `__share_group_state`: the stored format.
//!
//! Keys and values are JSON, so that a record can be read by whoever looks for what went wrong. A
//! key says what a record is about and has the format's version; a record without a value takes
//! away what the key names, and compaction keeps the last one of each key.
//!
//! ```text
//! key   {"version":1,"partition":{"group":"g","topic":"<uuid>","partition":0}}
//! value {"end":12,"open":[[7,9,1],[11,11,2]]}     first, last, times handed out
//! key   {"version":1,"settings":{"group":"g"}}
//! value {"share.auto.offset.reset":"earliest"}
//! key   {"version":1,"member":{"group":"g","member":"m"}}
//! value {"epoch":2,"topics":["t"],"client_id":"c","host":"/127.0.0.1","assignment":[["<uuid>",3]]}
//! ```
//!
//! A newer version or an unknown field is refused: an older program would else throw away what it
//! does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::partition::Acquired;

const VERSION: u32 = 1;

/// A partition as one group has worked on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredPartition {
    /// The offset behind those that were handed out.
    pub end_offset: i64,
    /// What is not done of it, ascending.
    pub open: Vec<Acquired>,
}

/// A member as it was last told its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredMember {
    /// Its epoch.
    pub epoch: i32,
    /// The names of the topics that it wants.
    pub topics: Vec<String>,
    /// Its client's name.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// Topics, by id, with the number of their partitions.
    #[serde(with = "assignment")]
    pub assignment: Vec<(Uuid, i32)>,
}

/// Something to be remembered; without a value, to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueRecord {
    /// How far a group is in a partition.
    Partition {
        /// The group.
        group: String,
        /// The topic's id.
        topic: Uuid,
        /// The partition.
        partition: i32,
        /// How far.
        value: Option<StoredPartition>,
    },
    /// A member of a group.
    Member {
        /// The group.
        group: String,
        /// Its id.
        member: String,
        /// The member.
        value: Option<StoredMember>,
    },
    /// What was set for a group.
    Settings {
        /// The group.
        group: String,
        /// Names and values.
        value: Option<BTreeMap<String, String>>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<PartitionKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<SettingsKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<MemberKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberKey {
    group: String,
    member: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionKey {
    group: String,
    topic: String,
    partition: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsKey {
    group: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionValue {
    end: i64,
    open: Vec<(i64, i64, i16)>,
}

impl QueueRecord {
    /// Key and value.
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut key = Key { version: VERSION, partition: None, settings: None, member: None };
        let value = match self {
            QueueRecord::Partition { group, topic, partition, value } => {
                let (group, topic) = (group.clone(), topic.to_string());
                key.partition = Some(PartitionKey { group, topic, partition: *partition });
                value.as_ref().map(|value| json(&value.encoded()))
            }
            QueueRecord::Settings { group, value } => {
                key.settings = Some(SettingsKey { group: group.clone() });
                value.as_ref().map(json)
            }
            QueueRecord::Member { group, member, value } => {
                let (group, member) = (group.clone(), member.clone());
                key.member = Some(MemberKey { group, member });
                value.as_ref().map(json)
            }
        };
        (json(&key), value)
    }

    /// What a record says, or why it can't be read.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = parse(key)?;
        if version != VERSION {
            return Err(format!("a record has the unknown version {version}"));
        }
        let key: Key = parse(key)?;
        match (key.partition, key.settings, key.member) {
            (Some(key), None, None) => {
                let topic = key.topic.parse().map_err(|error| format!("a topic's id: {error}"))?;
                let value = value.map(StoredPartition::decode).transpose()?;
                let PartitionKey { group, partition, .. } = key;
                Ok(QueueRecord::Partition { group, topic, partition, value })
            }
            (None, Some(SettingsKey { group }), None) => {
                Ok(QueueRecord::Settings { group, value: value.map(parse).transpose()? })
            }
            (None, None, Some(MemberKey { group, member })) => {
                let value = value.map(parse).transpose()?;
                Ok(QueueRecord::Member { group, member, value })
            }
            _ => Err("a record is about nothing, or about two things".to_owned()),
        }
    }
}

impl StoredPartition {
    fn encoded(&self) -> PartitionValue {
        let runs = self.open.iter();
        let open = runs.map(|run| (run.first_offset, run.last_offset, run.delivery_count));
        PartitionValue { end: self.end_offset, open: open.collect() }
    }

    fn decode(value: &[u8]) -> Result<Self, String> {
        let value: PartitionValue = parse(value)?;
        let mut next_offset = 0;
        let mut open = Vec::with_capacity(value.open.len());
        for (first_offset, last_offset, delivery_count) in value.open {
            if first_offset < next_offset || last_offset < first_offset || last_offset >= value.end
            {
                return Err(format!("open offsets from {first_offset} to {last_offset}"));
            }
            // Far more than may ever be in flight would fill the memory.
            if last_offset - first_offset > MAX_RUN {
                return Err(format!("{} open records in a row", last_offset - first_offset));
            }
            next_offset = last_offset + 1;
            open.push(Acquired { first_offset, last_offset, delivery_count });
        }
        Ok(StoredPartition { end_offset: value.end, open })
    }
}

/// Topics' ids as text.
mod assignment {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(
        topics: &[(Uuid, i32)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let topics: Vec<(String, i32)> =
            topics.iter().map(|(topic, count)| (topic.to_string(), *count)).collect();
        topics.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Vec<(Uuid, i32)>, D::Error> {
        let topics = Vec::<(String, i32)>::deserialize(from)?.into_iter();
        let topics = topics.map(|(topic, count)| match topic.parse() {
            Ok(topic) if count >= 0 => Ok((topic, count)),
            _ => Err(D::Error::custom(format!("a topic `{topic}` with {count} partitions"))),
        });
        topics.collect()
    }
}

const MAX_RUN: i64 = 1 << 20;

#[expect(clippy::expect_used, reason = "the types above have nothing that JSON has not")]
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and integers are JSON")
}

fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
