//! The ways in which a client can prove who it is.

use std::fmt;
use std::str::FromStr;

use ring::{hmac, pbkdf2};
use serde::{Deserialize, Serialize};

use crate::error::LogError;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// Name and password as they are: for connections that nobody can listen to.
    Plain,
    /// Name, and a proof that one knows the password.
    Scram(ScramHash),
}

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
    /// SCRAM-SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
}

impl SaslMechanism {
    /// All that there are.
    pub const ALL: [SaslMechanism; 3] = [
        SaslMechanism::Plain,
        SaslMechanism::Scram(ScramHash::Sha256),
        SaslMechanism::Scram(ScramHash::Sha512),
    ];

    /// The name by which clients ask for it.
    pub fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::Scram(ScramHash::Sha256) => "SCRAM-SHA-256",
            SaslMechanism::Scram(ScramHash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SaslMechanism {
    type Err = LogError;

    /// ```
    /// use millrace_log::SaslMechanism;
    ///
    /// assert_eq!("plain".parse::<SaslMechanism>().unwrap(), SaslMechanism::Plain);
    /// assert!("GSSAPI".parse::<SaslMechanism>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, LogError> {
        let found = Self::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let names = Self::ALL.map(SaslMechanism::name).join("`, `");
            LogError::Config(format!("there is no mechanism `{text}`: there are `{names}`"))
        })
    }
}

impl ScramHash {
    /// All that there are.
    pub const ALL: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha512];

    /// Its number in requests.
    pub(crate) fn code(self) -> i8 {
        match self {
            ScramHash::Sha256 => 1,
            ScramHash::Sha512 => 2,
        }
    }

    pub(crate) fn of_code(code: i8) -> Option<ScramHash> {
        Self::ALL.into_iter().find(|hash| hash.code() == code)
    }

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            ScramHash::Sha256 => hmac::HMAC_SHA256,
            ScramHash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    pub(super) fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            ScramHash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    pub(super) fn digest(self) -> &'static ring::digest::Algorithm {
        match self {
            ScramHash::Sha256 => &ring::digest::SHA256,
            ScramHash::Sha512 => &ring::digest::SHA512,
        }
    }
}
