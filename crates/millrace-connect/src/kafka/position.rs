//! Where a reader stands in a partition, as a checkpoint keeps it.

use millrace_core::{Error, Result, Split, SplitId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that this program writes.
const VERSION: u32 = 1;

/// The next offset to read, and where reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    version: u32,
    /// The offset of the next record to read, or of the first one after it.
    pub offset: i64,
    /// Bounded reading ends before this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<i64>,
}

impl Position {
    pub fn new(offset: i64, stop: Option<i64>) -> Self {
        Position { version: VERSION, offset, stop }
    }

    /// The position in `split`.
    ///
    /// # Errors
    /// `Restore` when it cannot be understood.
    pub fn of(split: &Split) -> Result<Self> {
        let unreadable = |why: String| {
            Error::restore(format!("the position in `{}` cannot be understood: {why}", split.id))
        };
        match split.position.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(unreadable(format!("its version is {version}"))),
            None => return Err(unreadable("it has no version".into())),
        }
        let position: Position = serde_json::from_value(split.position.clone())
            .map_err(|cause| unreadable(cause.to_string()))?;
        if position.offset < 0 {
            return Err(unreadable(format!("its offset is {}", position.offset)));
        }
        Ok(position)
    }

    pub fn to_json(self) -> Value {
        serde_json::to_value(self).expect("numbers can be written as JSON")
    }
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    /// The split that it is: `orders-3`.
    pub fn split_id(&self) -> SplitId {
        SplitId::new(format!("{}-{}", self.topic, self.partition))
    }

    /// The partition that a split is.
    ///
    /// # Errors
    /// `Restore` when it is none.
    pub fn of(split: &SplitId) -> Result<Self> {
        split
            .as_str()
            .rsplit_once('-')
            .and_then(|(topic, partition)| {
                Some(TopicPartition { topic: topic.to_owned(), partition: partition.parse().ok()? })
            })
            .ok_or_else(|| Error::restore(format!("`{split}` is not a partition of a topic")))
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "partition {} of topic `{}`", self.partition, self.topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_what_is_written_and_read() {
        let position = Position::new(42, Some(99));
        assert_eq!(position.to_json().to_string(), r#"{"offset":42,"stop":99,"version":1}"#);
        let split = Split { id: SplitId::new("a-b-0"), position: position.to_json() };
        assert_eq!(Position::of(&split).unwrap(), position);
        let partition = TopicPartition::of(&split.id).unwrap();
        assert_eq!((partition.topic.as_str(), partition.partition), ("a-b", 0));
        for wrong in
            [r#"{"offset":1}"#, r#"{"version":2,"offset":1}"#, r#"{"version":1,"offset":-1}"#]
        {
            let split = Split {
                id: SplitId::new("a-0"),
                position: serde_json::from_str(wrong).expect("it is JSON"),
            };
            let error = Position::of(&split).unwrap_err();
            assert_eq!(error.kind(), millrace_core::ErrorKind::Restore, "{wrong}");
        }
    }
}
