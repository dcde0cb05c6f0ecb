//! The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding.
//!
//! Two messages each way: name and nonce; salt, number of iterations and the nonce made longer; the
//! proof that this side knows the password; the proof that the other side knows it too.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

/// More of them would keep this side busy for nothing but its trouble.
const MOST_ITERATIONS: u32 = 1_000_000;

/// What the proofs are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            ScramHash::Sha256 => hmac::HMAC_SHA256,
            ScramHash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            ScramHash::Sha256 => &digest::SHA256,
            ScramHash::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            ScramHash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// After the first message, before the answer to it.
pub(crate) struct AwaitingSalt {
    hash: ScramHash,
    password: String,
    nonce: String,
    /// The first message without its header.
    said: String,
}

/// After the proof, before the other side's.
pub(crate) struct AwaitingProof {
    /// What a server that knows the password signs with.
    key: hmac::Key,
    /// What it signs.
    said: String,
}

/// Begins: gives the first message.
///
/// # Errors
/// When the system has no random numbers.
pub(crate) fn begin(
    hash: ScramHash,
    username: &str,
    password: &str,
) -> Result<(AwaitingSalt, String), String> {
    let mut random = [0; 24];
    SystemRandom::new().fill(&mut random).map_err(|_| "there are no random numbers")?;
    Ok(begin_with(hash, username, password, BASE64.encode(random)))
}

fn begin_with(
    hash: ScramHash,
    username: &str,
    password: &str,
    nonce: String,
) -> (AwaitingSalt, String) {
    let username = username.replace('=', "=3D").replace(',', "=2C");
    let said = format!("n={username},r={nonce}");
    let message = format!("n,,{said}");
    (AwaitingSalt { hash, password: password.to_owned(), nonce, said }, message)
}

impl AwaitingSalt {
    /// Answers the server's first message with the proof.
    ///
    /// # Errors
    /// What is wrong with that message.
    pub fn prove(self, message: &str) -> Result<(AwaitingProof, String), String> {
        if let Some(error) = message.strip_prefix("e=") {
            return Err(format!("the broker says: {error}"));
        }
        let mut attributes = message.split(',');
        let mut next = |name: &str| attributes.next().and_then(|one| one.strip_prefix(name));
        let nonce = next("r=").ok_or("the broker gives no nonce")?;
        let salt = next("s=").and_then(|text| BASE64.decode(text).ok());
        let salt = salt.ok_or("the broker gives no salt")?;
        let iterations = next("i=").and_then(|text| text.parse::<NonZeroU32>().ok());
        let iterations = iterations.ok_or("the broker gives no number of iterations")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the broker gives another nonce back".into());
        }
        if iterations.get() > MOST_ITERATIONS {
            return Err(format!("the broker asks for {iterations} iterations"));
        }
        let mut salted = vec![0; self.hash.digest().output_len()];
        let password = self.password.as_bytes();
        pbkdf2::derive(self.hash.pbkdf2(), iterations, &salt, password, &mut salted);
        let sign = |key: &[u8], text: &[u8]| {
            let tag = hmac::sign(&hmac::Key::new(self.hash.hmac(), key), text);
            tag.as_ref().to_vec()
        };
        // `biws` is the header `n,,` again, in base64.
        let without_proof = format!("c=biws,r={nonce}");
        let said = format!("{},{message},{without_proof}", self.said);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        let signature = sign(stored_key.as_ref(), said.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let key = hmac::Key::new(self.hash.hmac(), &sign(&salted, b"Server Key"));
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        Ok((AwaitingProof { key, said }, message))
    }
}

impl AwaitingProof {
    /// Checks the server's proof.
    ///
    /// # Errors
    /// When it is none: somebody else answers, or the password is wrong.
    pub fn check(self, message: &str) -> Result<(), String> {
        if let Some(error) = message.strip_prefix("e=") {
            return Err(format!("the broker says: {error}"));
        }
        let proof = message.split(',').next().and_then(|one| one.strip_prefix("v="));
        let proof = proof.and_then(|text| BASE64.decode(text).ok());
        let proof = proof.ok_or("the broker gives no proof")?;
        hmac::verify(&self.key, self.said.as_bytes(), &proof)
            .map_err(|_| "the broker does not know the password itself".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn example() -> AwaitingSalt {
        begin_with(ScramHash::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO".into()).0
    }

    #[test]
    fn the_exchange_of_the_specification_succeeds() {
        let (awaiting, message) = example().prove(SERVER_FIRST).unwrap();
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        awaiting.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    }

    #[test]
    fn a_broker_that_does_not_know_the_password_or_talks_nonsense_is_refused() {
        for bad in [
            "",
            "e=unknown-user",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=somebody-elses,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=%,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
        ] {
            assert!(example().prove(bad).is_err(), "{bad}");
        }
        for bad in ["", "e=invalid-proof", "v=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="] {
            let (awaiting, _) = example().prove(SERVER_FIRST).unwrap();
            assert!(awaiting.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_nonces_are_written_as_they_should_be() {
        let (_, message) = begin(ScramHash::Sha512, "a,b=c", "x").unwrap();
        let (_, again) = begin(ScramHash::Sha512, "a,b=c", "x").unwrap();
        assert!(message.starts_with("n,,n=a=2Cb=3Dc,r="), "{message}");
        assert_ne!(message, again);
    }
}
