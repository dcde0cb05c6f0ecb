//! The server's side of SCRAM (RFC 5802, RFC 7677), without channel binding.
//!
//! Two messages each way. The client says its name and a nonce; the server answers with the salt and
//! the nonce made longer; the client proves that it knows the password, over all that was said; the
//! server proves that it knows it too. A name that there isn't is answered with a salt as well, and
//! its proof is wrong: who guesses names learns nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

use super::credential::{Credential, are_equal, random_bytes};
use super::mechanism::ScramHash;

/// What the server waits for after its first message.
pub(super) struct AwaitingProof {
    hash: ScramHash,
    /// The name that the client claims.
    pub(super) user: String,
    credential: Option<Credential>,
    nonce: String,
    /// What was said so far, as it is signed.
    said: String,
}

/// What the client's first message holds.
#[derive(Debug, PartialEq, Eq)]
struct ClientFirst<'a> {
    user: String,
    nonce: &'a str,
    /// The message without its header.
    bare: &'a str,
}

/// Answers the first message.
pub(super) fn first(
    hash: ScramHash,
    message: &str,
    find: impl FnOnce(&str) -> Option<Credential>,
    decoy: impl FnOnce(&str) -> Credential,
) -> Result<(AwaitingProof, String), String> {
    let ClientFirst { user, nonce, bare } = client_first(message)?;
    let credential = find(&user);
    let random = random_bytes::<24>().map_err(|error| error.to_string())?;
    let nonce = format!("{nonce}{}", STANDARD.encode(random));
    let shown = credential.clone().unwrap_or_else(|| decoy(&user));
    let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&shown.salt), shown.iterations);
    let said = format!("{bare},{answer}");
    Ok((AwaitingProof { hash, user, credential, nonce, said }, answer))
}

/// Takes the first message apart: `n,,n=NAME,r=NONCE`, with the name to act as between the commas.
fn client_first(message: &str) -> Result<ClientFirst<'_>, String> {
    let mut parts = message.splitn(3, ',');
    let (binding, acts_as, bare) = (parts.next(), parts.next(), parts.next());
    let (Some(binding), Some(acts_as), Some(bare)) = (binding, acts_as, bare) else {
        return Err("the first message has no header".to_owned());
    };
    if binding != "n" && binding != "y" {
        return Err("channel binding is not supported".to_owned());
    }
    let mut attributes = bare.split(',');
    let mut next = |name: &str| attributes.next().and_then(|a| a.strip_prefix(name));
    let user = next("n=").ok_or("the first message has no name")?;
    let nonce = next("r=").ok_or("the first message has no nonce")?;
    if nonce.is_empty() {
        return Err("the first message has no nonce".to_owned());
    }
    let user = unescape(user).ok_or("the name is not written as it should be")?;
    let acts_as = acts_as.strip_prefix("a=").unwrap_or_default();
    if unescape(acts_as).is_none_or(|acts_as| !acts_as.is_empty() && acts_as != user) {
        return Err("a client can only act as itself".to_owned());
    }
    // Tokens of other clients' making.
    if attributes.any(|extension| extension == "tokenauth=true") {
        return Err("delegation tokens are not supported".to_owned());
    }
    Ok(ClientFirst { user, nonce, bare })
}

/// A name in which `,` and `=` are written as `=2C` and `=3D`.
fn unescape(text: &str) -> Option<String> {
    let mut pieces = text.split('=');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (character, rest) = match piece.get(..2)? {
            "2C" => (',', &piece[2..]),
            "3D" => ('=', &piece[2..]),
            _ => return None,
        };
        name.push(character);
        name.push_str(rest);
    }
    Some(name)
}

impl AwaitingProof {
    /// Checks the client's proof, and gives the server's.
    pub(super) fn check(&self, message: &str) -> Result<String, String> {
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or("the last message has no proof")?;
        let mut attributes = without_proof.split(',');
        let mut next = |name: &str| attributes.next().and_then(|a| a.strip_prefix(name));
        let binding = next("c=").and_then(|text| STANDARD.decode(text).ok());
        let binding = binding.ok_or("the last message does not repeat its header")?;
        if !(binding.starts_with(b"n,") || binding.starts_with(b"y,")) {
            return Err("channel binding is not supported".to_owned());
        }
        if next("r=") != Some(self.nonce.as_str()) {
            return Err("the nonce is not the one that was given".to_owned());
        }
        let proof = STANDARD.decode(proof).map_err(|_| "the proof is not in base64")?;
        let credential = self.credential.as_ref().ok_or("there is no such user")?;
        let said = format!("{},{without_proof}", self.said);
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(self.hash.hmac(), key), said.as_bytes());
        let signature = sign(&credential.stored_key);
        let client_key: Vec<u8> =
            proof.iter().zip(signature.as_ref()).map(|(p, s)| p ^ s).collect();
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        if proof.len() != signature.as_ref().len()
            || !are_equal(stored_key.as_ref(), &credential.stored_key)
        {
            return Err("the password is wrong".to_owned());
        }
        Ok(format!("v={}", STANDARD.encode(sign(&credential.server_key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, whose nonces are given.
    fn example() -> AwaitingProof {
        let hash = ScramHash::Sha256;
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = [0; 32];
        let iterations = std::num::NonZeroU32::new(4_096).unwrap();
        ring::pbkdf2::derive(hash.pbkdf2(), iterations, &salt, b"pencil", &mut salted);
        AwaitingProof {
            hash,
            user: "user".to_owned(),
            credential: Some(Credential::of_salted(hash, &salted, salt, 4_096)),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
            said: "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                   r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                   s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                .to_owned(),
        }
    }

    const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_exchange_of_the_specification_succeeds() {
        let answer = example().check(PROOF).unwrap();
        assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_changed_last_message_is_refused() {
        for (from, to) in [("biws", "eSws"), ("k0,p", "k1,p"), ("p=dH", "p=eH"), ("VQ=", "VQ")] {
            let changed = PROOF.replace(from, to);
            assert_ne!(changed, PROOF);
            assert!(example().check(&changed).is_err(), "{changed}");
        }
        assert!(example().check("").is_err());
        assert!(AwaitingProof { credential: None, ..example() }.check(PROOF).is_err());
    }

    #[test]
    fn names_are_read_as_they_are_meant() {
        let user = |message| client_first(message).map(|first| first.user);
        assert_eq!(user("n,,n=a=2Cb=3Dc,r=x"), Ok("a,b=c".to_owned()));
        assert_eq!(user("y,a=u,n=u,r=x"), Ok("u".to_owned()));
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=u",
            "n,,n=u,r=",
            "n,,r=x,n=u",
            "p=tls-unique,,n=u,r=x",
            "n,,n==2,r=x",
            "n,,n==2c,r=x",
            "n,,n==é,r=x",
            "n,a=other,n=u,r=x",
            "n,,n=u,r=x,tokenauth=true",
        ] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_there_is_not_gets_a_salt_and_no_more() {
        let decoy = |_: &str| Credential::of_password(ScramHash::Sha256, "decoy").unwrap();
        let find = |_: &str| None;
        let (awaiting, answer) =
            first(ScramHash::Sha256, "n,,n=nobody,r=abc", find, decoy).unwrap();
        assert!(answer.starts_with("r=abc") && answer.ends_with(",i=4096"), "{answer}");
        assert!(awaiting.check(PROOF).is_err());
    }
}
