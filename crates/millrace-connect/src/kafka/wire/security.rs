//! How the client and the brokers prove who they are.

use std::fmt;

use millrace_core::{Error, Result};

use super::scram::ScramHash;
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
    /// Reads librdkafka's settings, and the files that they name.
    ///
    /// # Errors
    /// `FixInput` for settings that this client does not speak, and files that cannot be used.
    pub fn of<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        let protocol = setting("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        let (tls, sasl) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return Err(unsupported("security.protocol", &protocol)),
        };
        Ok(Security {
            tls: tls.then(|| Tls::of(&setting)).transpose()?,
            login: sasl.then(|| Login::of(&setting)).transpose()?,
        })
    }
}

impl Login {
    fn of<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        let given = setting("sasl.mechanism").or_else(|| setting("sasl.mechanisms"));
        // librdkafka's default.
        let given = given.unwrap_or("GSSAPI");
        let mechanism = Mechanism::named(&given.to_ascii_uppercase())
            .ok_or_else(|| unsupported("sasl.mechanism", given))?;
        let credential = |name: &str| {
            setting(name).map(str::to_owned).ok_or_else(|| {
                Error::fix_input(format!("option `properties.{name}` is missing"))
                    .hint("SASL needs `sasl.username` and `sasl.password`")
            })
        };
        Ok(Login {
            mechanism,
            username: credential("sasl.username")?,
            password: credential("sasl.password")?,
        })
    }
}

/// The refusal of a setting that librdkafka has and this client has not.
pub(super) fn unsupported(name: &str, value: &str) -> Error {
    Error::fix_input(format!(
        "exactly-once delivery to Kafka does not work with `{name}` = `{value}`"
    ))
    .hint(
        "committing the transactions of a crashed run takes a connection of Millrace's own, which \
         knows PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL, with PLAIN or SCRAM and certificates as \
         PEM; use one of them, or 'sink.delivery-guarantee' = 'at-least-once'",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(settings: &[(&'static str, &'static str)]) -> Result<Security> {
        let settings: BTreeMap<&str, &'static str> = settings.iter().copied().collect();
        Security::of(|name| settings.get(name).copied())
    }

    #[test]
    fn all_protocols_and_the_mechanisms_with_passwords_are_known() {
        let plain = read(&[]).unwrap();
        assert!(plain.tls.is_none() && plain.login.is_none());
        for (mechanism, shown) in [
            ("PLAIN", "PLAIN(jane)"),
            ("SCRAM-SHA-256", "SCRAM-SHA-256(jane)"),
            ("scram-sha-512", "SCRAM-SHA-512(jane)"),
        ] {
            for (protocol, encrypted) in [("SASL_PLAINTEXT", false), ("sasl_ssl", true)] {
                let security = read(&[
                    ("security.protocol", protocol),
                    ("sasl.mechanisms", mechanism),
                    ("sasl.username", "jane"),
                    ("sasl.password", "secret"),
                    ("enable.ssl.certificate.verification", "false"),
                ]);
                let security = security.unwrap();
                assert_eq!(format!("{:?}", security.login.unwrap()), shown);
                assert_eq!(security.tls.is_some(), encrypted);
            }
        }
    }

    #[test]
    fn what_is_not_spoken_is_refused_by_its_setting() {
        for (settings, named) in [
            (&[("security.protocol", "sasl_plaintext")][..], "`sasl.mechanism` = `GSSAPI`"),
            (
                &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER")],
                "`sasl.mechanism` = `OAUTHBEARER`",
            ),
            (
                &[("security.protocol", "ssl"), ("ssl.keystore.location", "x.p12")],
                "`ssl.keystore.location` = `x.p12`",
            ),
            (
                &[("security.protocol", "ssl"), ("ssl.ca.location", "/no/such.pem")],
                "`/no/such.pem`",
            ),
            (
                &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")],
                "`properties.sasl.username` is missing",
            ),
        ] {
            let error = read(settings).unwrap_err();
            assert!(error.message().contains(named), "{error}");
        }
    }
}
