//! What is kept of a password: enough to check a proof of it, not enough to make one.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::mechanism::ScramHash;
use crate::error::{LogError, Result};

/// Fewer iterations of the hash are refused, as Kafka does.
pub(crate) const MIN_ITERATIONS: u32 = 4_096;

/// More are refused: a log-in by PLAIN costs the server so many.
pub(crate) const MAX_ITERATIONS: u32 = 16_384;

const SALT_BYTES: usize = 16;

/// The keys of RFC 5802 that a server keeps of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    #[serde(with = "in_base64")]
    pub(super) salt: Vec<u8>,
    pub(crate) iterations: u32,
    #[serde(with = "in_base64")]
    pub(super) stored_key: Vec<u8>,
    #[serde(with = "in_base64")]
    pub(super) server_key: Vec<u8>,
}

impl Credential {
    /// Hashes a password with a salt of its own.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn of_password(hash: ScramHash, password: &str) -> Result<Credential> {
        let salt = random_bytes::<SALT_BYTES>()?.to_vec();
        let salted = salted_password(hash, password, &salt, MIN_ITERATIONS);
        Ok(Self::of_salted(hash, &salted, salt, MIN_ITERATIONS))
    }

    /// Keeps a password that whoever sets it has hashed already.
    pub(crate) fn of_salted(
        hash: ScramHash,
        salted_password: &[u8],
        salt: Vec<u8>,
        iterations: u32,
    ) -> Credential {
        let key = hmac::Key::new(hash.hmac(), salted_password);
        let client_key = hmac::sign(&key, b"Client Key");
        let stored_key = digest::digest(hash.digest(), client_key.as_ref()).as_ref().to_vec();
        let server_key = hmac::sign(&key, b"Server Key").as_ref().to_vec();
        Credential { salt, iterations, stored_key, server_key }
    }

    /// Whether this is the password, in a time that does not depend on the answer. Takes a
    /// millisecond or more.
    pub(super) fn is_of(&self, hash: ScramHash, password: &str) -> bool {
        let salted = salted_password(hash, password, &self.salt, self.iterations);
        let other = Self::of_salted(hash, &salted, Vec::new(), self.iterations);
        are_equal(&other.stored_key, &self.stored_key)
    }
}

fn salted_password(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut salted = vec![0; hash.digest().output_len()];
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(hash.pbkdf2(), iterations, salt, password.as_bytes(), &mut salted);
    salted
}

/// Compares without saying by the time it takes how much is equal.
pub(super) fn are_equal(left: &[u8], right: &[u8]) -> bool {
    let differing = left.iter().zip(right).fold(0, |all, (l, r)| all | (l ^ r));
    left.len() == right.len() && std::hint::black_box(differing) == 0
}

/// Bytes that nobody can guess, which the randomness of the seams does not promise.
pub(super) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| LogError::Config("the system gives no random numbers".to_owned()))?;
    Ok(bytes)
}

mod in_base64 {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_knows_its_password_and_no_other() {
        for hash in ScramHash::ALL {
            let credential = Credential::of_password(hash, "pencil").unwrap();
            assert!(credential.is_of(hash, "pencil"));
            for other in ["", "Pencil", "pencil "] {
                assert!(!credential.is_of(hash, other), "{other}");
            }
            let again = Credential::of_password(hash, "pencil").unwrap();
            assert_ne!(again, credential, "the salts differ");
        }
    }

    #[test]
    fn what_is_stored_holds_no_password_and_comes_back_as_it_was() {
        let credential = Credential::of_password(ScramHash::Sha512, "pencil").unwrap();
        let text = serde_json::to_string(&credential).unwrap();
        assert!(!text.contains("pencil"));
        assert_eq!(serde_json::from_str::<Credential>(&text).unwrap(), credential);
    }
}
