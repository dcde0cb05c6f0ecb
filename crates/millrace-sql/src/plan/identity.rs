//! What operators are called in checkpoints: a name made from what they mean.
//!
//! An operator's identity is a text: what it computes, over the identities of its inputs. It holds
//! expressions, never positions in the script, so that statements can be added, moved or renamed
//! without losing state. The id is a readable word and the text's hash. The text is stored nowhere,
//! but the hash is: neither may change without a reason.

use std::collections::BTreeMap;

use millrace_core::OperatorId;

/// FNV-1a over 64 bits, with a last mix: the same on every machine and in every version.
fn stable_hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// Gives out ids; equal identities get a number, in the order in which they come.
#[derive(Default)]
pub(super) struct Ids {
    given: BTreeMap<String, usize>,
}

impl Ids {
    /// The id of an operator that does `identity`, readable as `word`.
    pub fn id(&mut self, word: &str, identity: &str) -> OperatorId {
        let readable: String = word
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let id = format!("{readable}-{:016x}", stable_hash(identity));
        let count = self.given.entry(id.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { OperatorId::new(id) } else { OperatorId::new(format!("{id}-{count}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_in_checkpoints_does_not_change() {
        assert_eq!(stable_hash(""), 0xfdbd_f6ac_4fc5_2e7f);
        assert_eq!(stable_hash("source departures"), stable_hash("source departures"));
        assert_ne!(stable_hash("source departures"), stable_hash("source departure"));
    }

    #[test]
    fn equal_operators_are_told_apart_by_a_number() {
        let mut ids = Ids::default();
        let (first, second) = (ids.id("window", "x"), ids.id("window", "x"));
        assert_eq!(format!("{first}-2"), second.as_str());
        assert_ne!(ids.id("window", "y"), first);
    }
}
