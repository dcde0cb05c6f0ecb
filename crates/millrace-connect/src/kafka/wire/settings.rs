//! The settings that say how connections are encrypted and logged in, in the names of librdkafka and
//! of the Java client.
//!
//! librdkafka never sees them: Millrace itself does what they say. What it does not do is refused
//! with the setting's name and a reason.

use std::collections::BTreeMap;

use millrace_core::{Error, Result};

use super::security::Security;

/// Settings that are taken as they are.
const TAKEN: [&str; 14] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    // Java's names for files that hold what others hold in stores.
    "ssl.truststore.location",
    "ssl.keystore.location",
];

/// How a message calls a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// As an option of a table: `properties.…`.
    Option,
    /// As a property of a client on the command line.
    Property,
}

impl Called {
    /// The setting in words.
    pub fn name(self, setting: &str) -> String {
        match self {
            Called::Option => format!("option `properties.{setting}`"),
            Called::Property => format!("the client property `{setting}`"),
        }
    }

    pub(super) fn missing(self, setting: &str) -> Error {
        Error::fix_input(format!("{} is missing", self.name(setting)))
    }

    pub(super) fn refused(self, setting: &str, why: &str) -> Error {
        Error::fix_input(format!("{} cannot be set: {why}", self.name(setting)))
    }

    pub(super) fn impossible(self, setting: &str, value: &str, why: &str) -> Error {
        Error::fix_input(format!("{} cannot be `{value}`: {why}", self.name(setting)))
    }
}

/// What was set of them.
#[derive(Clone, Debug)]
pub(crate) struct SecuritySettings {
    called: Called,
    values: BTreeMap<String, String>,
}

impl SecuritySettings {
    pub fn new(called: Called) -> Self {
        SecuritySettings { called, values: BTreeMap::new() }
    }

    /// Whether a setting is one of these.
    pub fn has(name: &str) -> bool {
        name == "security.protocol"
            || name == "security.providers"
            || name == "enable.ssl.certificate.verification"
            || name == "enable.sasl.oauthbearer.unsecure.jwt"
            || ["ssl.", "sasl.", "ssl_"].iter().any(|prefix| name.starts_with(prefix))
    }

    /// Takes a setting.
    ///
    /// # Errors
    /// `FixInput` for one that Millrace does not do.
    pub fn take(&mut self, name: &str, value: String) -> Result<()> {
        let name = match name {
            "sasl.mechanisms" => "sasl.mechanism",
            "ssl.truststore.certificates" => "ssl.ca.pem",
            "ssl.keystore.certificate.chain" => "ssl.certificate.pem",
            "ssl.keystore.key" => "ssl.key.pem",
            "ssl.truststore.type" | "ssl.keystore.type" => {
                if !value.eq_ignore_ascii_case("PEM") {
                    return Err(self.called.impossible(
                        name,
                        &value,
                        "stores of Java and of PKCS#12 cannot be read; give certificates and keys \
                         as `PEM`",
                    ));
                }
                name
            }
            "sasl.jaas.config" => {
                let login = JaasLogin::parse(self.called, name, &value)?;
                self.put("sasl.username", login.username)?;
                return self.put("sasl.password", login.password);
            }
            _ if TAKEN.contains(&name) => name,
            _ => return Err(self.called.refused(name, why_not(name))),
        };
        self.put(name, value)
    }

    fn put(&mut self, name: &str, value: String) -> Result<()> {
        match self.values.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => {
                let why = "what it says was said by another name before";
                Err(self.called.refused(name, why))
            }
        }
    }

    /// What they amount to; `None` for connections that are neither encrypted nor logged in. Reads
    /// the files that they name.
    ///
    /// # Errors
    /// `FixInput` for settings that don't go together, and files that cannot be used.
    pub fn read(mut self) -> Result<Option<Security>> {
        self.take_stores()?;
        let called = self.called;
        let protocol = self.get("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        let (tls, sasl) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                let why = "use `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`";
                return Err(called.impossible("security.protocol", &protocol, why));
            }
        };
        for name in self.values.keys() {
            let idle = match name.split('.').next() {
                Some("sasl") => (!sasl).then_some("SASL_SSL` or `SASL_PLAINTEXT"),
                Some("ssl" | "enable") => (!tls).then_some("SSL` or `SASL_SSL"),
                _ => None,
            };
            if let Some(needed) = idle {
                return Err(Error::fix_input(format!(
                    "{} needs `security.protocol` = `{needed}`",
                    called.name(name)
                )));
            }
        }
        if !tls && !sasl {
            return Ok(None);
        }
        Security::of(called, tls, sasl, |name| self.get(name)).map(Some)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Java's PEM files: certificates to trust, and the own key with its certificates.
    fn take_stores(&mut self) -> Result<()> {
        for (store, files) in [
            ("ssl.truststore", &["ssl.ca.location"][..]),
            ("ssl.keystore", &["ssl.certificate.location", "ssl.key.location"]),
        ] {
            let kind = self.values.remove(&format!("{store}.type"));
            let location = format!("{store}.location");
            let Some(path) = self.values.remove(&location) else { continue };
            if kind.is_none() {
                return Err(self.called.refused(
                    &location,
                    &format!(
                        "a store of Java cannot be read; `{store}.type` = `PEM` says it is PEM"
                    ),
                ));
            }
            for file in files {
                self.put(file, path.clone())?;
            }
        }
        Ok(())
    }
}

/// Why a setting is not taken.
fn why_not(name: &str) -> &'static str {
    match name {
        "ssl.truststore.password" | "ssl.keystore.password" => {
            "PEM files have no password of a store, and stores of Java and of PKCS#12 cannot be read"
        }
        "ssl.key.password" => "keys that are encrypted cannot be read; give the key as it is",
        "ssl.protocol" | "ssl.enabled.protocols" => {
            "the newest of TLS 1.3 and 1.2 that the broker has is used"
        }
        "ssl.cipher.suites" | "ssl.curves.list" | "ssl.sigalgs.list" => {
            "the strongest methods that both sides have are used"
        }
        "ssl.crl.location" => "lists of revoked certificates are not looked at",
        "ssl.ca.certificate.stores" => "there are no such stores; use `ssl.ca.location`",
        "ssl.provider"
        | "ssl.providers"
        | "security.providers"
        | "ssl.engine.location"
        | "ssl.engine.id"
        | "ssl_engine_callback_data" => "TLS is built in",
        "ssl_certificate" | "ssl_ca" | "ssl_key" => {
            "it is not text; use `ssl.certificate.pem`, `ssl.ca.pem` and `ssl.key.pem`"
        }
        "sasl.client.callback.handler.class"
        | "sasl.login.callback.handler.class"
        | "sasl.login.class"
        | "ssl.engine.factory.class"
        | "ssl.keymanager.algorithm"
        | "ssl.trustmanager.algorithm"
        | "ssl.secure.random.implementation" => "it names a Java class",
        _ if name.starts_with("sasl.kerberos.") => "Kerberos is not spoken",
        _ if name.contains("oauthbearer") || name.starts_with("sasl.login.") => {
            "OAuth is not spoken"
        }
        _ => "no Kafka client knows it",
    }
}

/// A user name and password out of Java's login configuration.
struct JaasLogin {
    username: String,
    password: String,
}

impl JaasLogin {
    /// Reads `…PlainLoginModule required username="u" password="p";`.
    fn parse(called: Called, setting: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::fix_input(format!("{} cannot be read: {why}", called.name(setting))).hint(
                "write `org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"…\" password=\"…\";`, or use `sasl.username` and `sasl.password`",
            )
        };
        let module = text.split_whitespace().next().unwrap_or_default();
        if !module.ends_with("PlainLoginModule") && !module.ends_with("ScramLoginModule") {
            return Err(wrong(&format!("the module `{module}` is not supported")));
        }
        let value = |name: &str| {
            let start = text.find(&format!("{name}=\""))? + name.len() + 2;
            let mut value = String::new();
            let mut characters = text[start..].chars();
            loop {
                match characters.next()? {
                    '"' => return Some(value),
                    '\\' => value.push(characters.next()?),
                    other => value.push(other),
                }
            }
        };
        Ok(JaasLogin {
            username: value("username").ok_or_else(|| wrong("it has no `username=\"…\"`"))?,
            password: value("password").ok_or_else(|| wrong("it has no `password=\"…\"`"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Option<Security>> {
        let mut read = SecuritySettings::new(Called::Option);
        for &(name, value) in settings {
            assert!(SecuritySettings::has(name), "{name}");
            read.take(name, value.to_owned())?;
        }
        read.read()
    }

    #[test]
    fn all_protocols_and_the_mechanisms_with_passwords_are_known() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("security.protocol", "PLAINTEXT")]).unwrap().is_none());
        for (mechanism, shown) in [
            ("PLAIN", "PLAIN(jane)"),
            ("SCRAM-SHA-256", "SCRAM-SHA-256(jane)"),
            ("scram-sha-512", "SCRAM-SHA-512(jane)"),
        ] {
            for (protocol, encrypted) in [("SASL_PLAINTEXT", false), ("sasl_ssl", true)] {
                let mut settings = vec![
                    ("security.protocol", protocol),
                    ("sasl.mechanisms", mechanism),
                    ("sasl.username", "jane"),
                    ("sasl.password", "secret"),
                ];
                if encrypted {
                    settings.push(("enable.ssl.certificate.verification", "false"));
                }
                let security = read(&settings).unwrap().unwrap();
                assert_eq!(format!("{:?}", security.login.unwrap()), shown);
                assert_eq!(security.tls.is_some(), encrypted);
            }
        }
    }

    #[test]
    fn java_writes_logins_and_pem_files_otherwise() {
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required \
                     username=\"ann\" password=\"a\\\"b\";";
        let security = read(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.jaas.config", login),
        ]);
        let login = security.unwrap().unwrap().login.unwrap();
        assert_eq!((login.username.as_str(), login.password.as_str()), ("ann", "a\"b"));

        let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/");
        let (ca, client) = (format!("{tls}ca.pem"), format!("{tls}client-with-key.pem"));
        let text = |name: &str| std::fs::read_to_string(format!("{tls}{name}")).unwrap();
        let [ca_text, chain, key] = ["ca.pem", "client.pem", "client-key.pem"].map(text);
        let ssl = ("security.protocol", "SSL");
        for settings in [
            &[
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", ca.as_str()),
                ("ssl.keystore.type", "pem"),
                ("ssl.keystore.location", client.as_str()),
                ("ssl.endpoint.identification.algorithm", ""),
            ][..],
            &[
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.certificates", ca_text.as_str()),
                ("ssl.keystore.certificate.chain", chain.as_str()),
                ("ssl.keystore.key", key.as_str()),
            ],
        ] {
            let all: Vec<_> = [ssl].iter().chain(settings).copied().collect();
            assert!(read(&all).unwrap().unwrap().tls.is_some());
        }
    }

    #[test]
    fn what_is_not_spoken_is_refused_by_its_setting() {
        let sasl = ("security.protocol", "sasl_plaintext");
        let ssl = ("security.protocol", "ssl");
        for (settings, named) in [
            (&[sasl][..], "`properties.sasl.mechanism` cannot be `GSSAPI`"),
            (&[sasl, ("sasl.mechanism", "OAUTHBEARER")], "cannot be `OAUTHBEARER`"),
            (&[sasl, ("sasl.mechanism", "PLAIN")], "`properties.sasl.username` is missing"),
            (&[("security.protocol", "tls")], "cannot be `tls`"),
            (&[ssl, ("ssl.keystore.location", "x.p12")], "`ssl.keystore.type` = `PEM`"),
            (&[ssl, ("ssl.keystore.type", "PKCS12")], "`properties.ssl.keystore.type`"),
            (&[ssl, ("ssl.truststore.password", "x")], "`properties.ssl.truststore.password`"),
            (&[ssl, ("ssl.ca.location", "/no/such.pem")], "`/no/such.pem`"),
            (&[ssl, ("ssl.ca.pem", "x"), ("ssl.truststore.certificates", "y")], "ssl.ca.pem"),
            (&[ssl, ("ssl.endpoint.identification.algorithm", "ldap")], "cannot be `ldap`"),
            (&[ssl, ("enable.ssl.certificate.verification", "maybe")], "cannot be `maybe`"),
            (&[ssl, ("ssl.no.such.thing", "1")], "`properties.ssl.no.such.thing`"),
            (&[ssl, ("ssl.key.pem", "x"), ("ssl.ca.pem", "y")], "`ssl.ca.pem` holds no"),
            (&[("ssl.ca.pem", "x")], "needs `security.protocol` = `SSL` or `SASL_SSL`"),
            (&[ssl, ("sasl.username", "x")], "needs `security.protocol` = `SASL_SSL`"),
            (&[sasl, ("sasl.kerberos.keytab", "x")], "Kerberos"),
            (&[sasl, ("sasl.jaas.config", "Krb5LoginModule required;")], "Krb5LoginModule"),
        ] {
            let error = read(settings).unwrap_err();
            assert!(error.message().contains(named), "{named}: {error}");
            assert!(!error.full_report().contains("secret"));
        }
    }
}
