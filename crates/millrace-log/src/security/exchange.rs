//! What a client and the server say to each other until the client has proved who it is.

use super::Security;
use super::credential::Credential;
use super::mechanism::SaslMechanism;
use super::scram::{self, AwaitingProof};

/// One attempt, from the choice of a mechanism on.
pub(crate) enum Exchange {
    Begun(SaslMechanism),
    Scram(Box<AwaitingProof>),
}

/// How an exchange goes on.
pub(crate) enum Step {
    /// The client must answer this.
    Continue(Exchange, Vec<u8>),
    /// The client is this user, and is told so.
    Proved(String, Vec<u8>),
}

impl Exchange {
    /// Takes what the client says. May take milliseconds.
    ///
    /// # Errors
    /// Why the client is not who it says, for the log's keeper: the client is not to know.
    pub(crate) fn step(self, token: &[u8], security: &Security) -> Result<Step, String> {
        let text = std::str::from_utf8(token).map_err(|_| "what it sent is not UTF-8")?;
        match self {
            Exchange::Begun(SaslMechanism::Plain) => {
                let user = plain(text, |user, password| security.is_password(user, password))?;
                Ok(Step::Proved(user.to_owned(), Vec::new()))
            }
            Exchange::Begun(SaslMechanism::Scram(hash)) => {
                let find = |user: &str| security.credential(user, hash);
                let decoy = |user: &str| -> Credential { security.decoy(user, hash) };
                let (awaiting, answer) = scram::first(hash, text, find, decoy)?;
                Ok(Step::Continue(Exchange::Scram(Box::new(awaiting)), answer.into_bytes()))
            }
            Exchange::Scram(awaiting) => {
                let answer = awaiting.check(text).map_err(|reason| {
                    format!("user `{}`: {reason}", awaiting.user.escape_debug())
                })?;
                Ok(Step::Proved(awaiting.user, answer.into_bytes()))
            }
        }
    }
}

/// RFC 4616: who to act as, a name and a password, with zeros between them.
fn plain(text: &str, is_password: impl FnOnce(&str, &str) -> bool) -> Result<&str, String> {
    let parts: Vec<&str> = text.splitn(4, '\0').collect();
    let [acts_as, user, password] = parts[..] else {
        return Err("what it sent is not two names and a password".to_owned());
    };
    if user.is_empty() || password.is_empty() {
        return Err("the name or the password is empty".to_owned());
    }
    if !acts_as.is_empty() && acts_as != user {
        return Err("a client can only act as itself".to_owned());
    }
    if !is_password(user, password) {
        return Err(format!("user `{}`: no such user, or a wrong password", user.escape_debug()));
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_wants_a_name_and_its_password() {
        let check = |text| plain(text, |user, password| (user, password) == ("u", "p")).ok();
        assert_eq!(check("\0u\0p"), Some("u"));
        assert_eq!(check("u\0u\0p"), Some("u"));
        for bad in ["", "u", "\0u", "\0u\0", "\0\0p", "v\0u\0p", "\0u\0q", "\0u\0p\0"] {
            assert_eq!(check(bad), None, "{bad:?}");
        }
    }
}
