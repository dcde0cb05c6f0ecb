//! How the client proves who it is.

use std::fmt;

use millrace_core::{Error, Result};

/// What a connection begins with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Security {
    /// Nothing.
    Plaintext,
    /// A login with SASL PLAIN.
    SaslPlain { username: String, password: String },
}

/// Without the password.
impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Security::Plaintext => f.write_str("Plaintext"),
            Security::SaslPlain { username, .. } => write!(f, "SaslPlain({username})"),
        }
    }
}

impl Security {
    /// Reads librdkafka's settings.
    ///
    /// # Errors
    /// `FixInput` for settings that this client does not speak.
    pub fn of<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        let protocol = setting("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        match protocol.as_str() {
            "plaintext" => return Ok(Security::Plaintext),
            "sasl_plaintext" => {}
            _ => return Err(unsupported(&format!("`security.protocol` = `{protocol}`"))),
        }
        let mechanism = setting("sasl.mechanism").or_else(|| setting("sasl.mechanisms"));
        // librdkafka's default.
        let mechanism = mechanism.unwrap_or("GSSAPI");
        if mechanism != "PLAIN" {
            return Err(unsupported(&format!("`sasl.mechanism` = `{mechanism}`")));
        }
        let credential = |name: &str| {
            setting(name).map(str::to_owned).ok_or_else(|| {
                Error::fix_input(format!("option `properties.{name}` is missing"))
                    .hint("SASL PLAIN needs `sasl.username` and `sasl.password`")
            })
        };
        Ok(Security::SaslPlain {
            username: credential("sasl.username")?,
            password: credential("sasl.password")?,
        })
    }
}

fn unsupported(setting: &str) -> Error {
    Error::fix_input(format!("exactly-once delivery to Kafka does not work with {setting}")).hint(
        "committing the transactions of a crashed run takes a connection of Millrace's own, which \
         knows PLAINTEXT and SASL_PLAINTEXT with PLAIN; use one of them, or \
         'sink.delivery-guarantee' = 'at-least-once'",
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
    fn plain_connections_and_sasl_plain_are_known() {
        assert_eq!(read(&[]).unwrap(), Security::Plaintext);
        let sasl = read(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", "jane"),
            ("sasl.password", "secret"),
        ]);
        assert_eq!(format!("{:?}", sasl.unwrap()), "SaslPlain(jane)");
    }

    #[test]
    fn what_is_not_spoken_is_refused_by_its_setting() {
        for (settings, named) in [
            (&[("security.protocol", "ssl")][..], "`security.protocol` = `ssl`"),
            (&[("security.protocol", "sasl_ssl")], "`security.protocol` = `sasl_ssl`"),
            (&[("security.protocol", "sasl_plaintext")], "`sasl.mechanism` = `GSSAPI`"),
            (
                &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "SCRAM-SHA-256")],
                "`sasl.mechanism` = `SCRAM-SHA-256`",
            ),
        ] {
            let error = read(settings).unwrap_err();
            assert!(error.message().contains(named), "{error}");
        }
    }
}
