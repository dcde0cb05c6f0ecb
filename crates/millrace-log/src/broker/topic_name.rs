//! What a topic may be called.

use kafka_protocol::error::ResponseError;

use crate::error::{LogError, Result};

const MAX_NAME_BYTES: usize = 249;

/// Checks a topic's name by Kafka's rules, which also make it a safe name for a directory.
///
/// # Errors
/// `InvalidTopicException`, with the reason.
pub(crate) fn check_topic_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > MAX_NAME_BYTES {
        format!("the name has {} bytes, and {MAX_NAME_BYTES} are allowed", name.len())
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        format!(
            "'{}' contains characters other than ASCII letters and digits, '.', '_' and '-'",
            name.escape_debug()
        )
    } else {
        return Ok(());
    };
    Err(LogError::rejected(
        ResponseError::InvalidTopicException,
        format!("Topic name is invalid: {reason}"),
    ))
}

/// Whether two names differ in `.` and `_` alone: metrics could not tell such topics apart, so Kafka
/// refuses the second.
pub(super) fn collide(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .all(|(a, b)| a == b || (matches!(a, b'.' | b'_') && matches!(b, b'.' | b'_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ascii_of_1_to_249_bytes_and_no_path() {
        for good in ["a", "a.b_c-9", "...", "__consumer_offsets", &"x".repeat(249)] {
            assert!(check_topic_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a\0", "a:b", &"x".repeat(250)] {
            let error = check_topic_name(bad).unwrap_err();
            assert_eq!(error.code(), ResponseError::InvalidTopicException, "{bad}");
        }
    }

    #[test]
    fn names_collide_when_dots_and_underscores_are_all_they_differ_in() {
        assert!(collide("a.b_c", "a_b.c"));
        assert!(!collide("a.b", "a-b"));
        assert!(!collide("a.b", "a.bc"));
    }
}
