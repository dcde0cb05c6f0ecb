//! How the client and the brokers prove who they are.

use std::fmt;

use millrace_core::Result;

use super::scram::ScramHash;
use super::settings::Called;
use super::tls::Tls;

/// What a connection begins with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    /// How it is encrypted.
    pub tls: Option<Tls>,
    pub login: Option<Login>,
}

/// A user of the brokers.
#[derive(Clone)]
pub(crate) struct Login {
    pub mechanism: Mechanism,
    pub username: String,
    pub password: String,
}

/// How the password is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// As it is.
    Plain,
    /// Not at all: both sides prove that they know it.
    Scram(ScramHash),
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(ScramHash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(ScramHash::Sha512) => "SCRAM-SHA-512",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [
            Mechanism::Plain,
            Mechanism::Scram(ScramHash::Sha256),
            Mechanism::Scram(ScramHash::Sha512),
        ];
        all.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.mechanism.name(), self.username)
    }
}

impl Security {
    /// Reads the settings, and the files that they name: those of `tls` and of `sasl` where there is
    /// such.
    ///
    /// # Errors
    /// `FixInput` for settings that this client does not speak, and files that cannot be used.
    pub fn of<'a>(
        called: Called,
        tls: bool,
        sasl: bool,
        setting: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self> {
        Ok(Security {
            tls: tls.then(|| Tls::of(called, &setting)).transpose()?,
            login: sasl.then(|| Login::of(called, &setting)).transpose()?,
        })
    }
}

impl Login {
    fn of<'a>(called: Called, setting: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        // The default of all clients.
        let given = setting("sasl.mechanism").unwrap_or("GSSAPI");
        let mechanism = Mechanism::named(&given.to_ascii_uppercase()).ok_or_else(|| {
            let why = "use `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`";
            called.impossible("sasl.mechanism", given, why)
        })?;
        let credential = |name: &str| {
            setting(name).map(str::to_owned).ok_or_else(|| {
                called.missing(name).hint("SASL needs `sasl.username` and `sasl.password`")
            })
        };
        Ok(Login {
            mechanism,
            username: credential("sasl.username")?,
            password: credential("sasl.password")?,
        })
    }
}
