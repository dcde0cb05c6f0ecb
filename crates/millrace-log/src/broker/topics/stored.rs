//! A topic as it is kept: `topic.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of `topic.json` that is written.
pub(super) const TOPIC_VERSION: u32 = 1;

/// What is stored of a topic.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTopic {
    pub version: u32,
    #[serde(with = "id_text")]
    pub id: Uuid,
    pub partitions: i32,
    pub internal: bool,
    pub configs: BTreeMap<String, String>,
}

/// Ids are stored as text with hyphens.
mod id_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        id.to_string().serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Uuid, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
