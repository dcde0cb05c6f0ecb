//! Who clients are.
//!
//! A connection of a broker with SASL begins as nobody's, and may ask only for what it needs to
//! prove whose it is. Passwords are kept as SCRAM's keys, also for PLAIN: neither the file nor the
//! memory of the broker has them.

pub(crate) mod acl;
mod credential;
mod exchange;
mod mechanism;
mod scram;
pub(crate) mod session;
mod store;
pub(crate) mod tls;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ring::hmac;

use crate::config::BrokerConfig;
use crate::error::Result;
use acl::{Acl, AclFilter, Kind, Operation, Subject};
pub(crate) use credential::{Credential, MAX_ITERATIONS, MIN_ITERATIONS};
pub use mechanism::{SaslMechanism, ScramHash};
pub(crate) use store::Credentials;
use store::Stored;
pub use store::Users;

/// Who may come, of one data directory.
pub(crate) struct Security {
    path: PathBuf,
    mechanisms: Vec<SaslMechanism>,
    stored: Mutex<Stored>,
    encrypts: bool,
    /// Entries say who may do what; else everybody may do everything.
    has_acls: bool,
    /// They may do everything, whatever entries say.
    super_users: HashSet<String>,
    /// What decoys are made of.
    decoys: hmac::Key,
}

impl Security {
    /// Reads what the data directory knows.
    pub(crate) fn open(config: &BrokerConfig) -> Result<Security> {
        let path = Stored::path(&config.data_dir);
        let stored = Stored::read(&path)?;
        Ok(Security {
            stored: Mutex::new(stored),
            path,
            encrypts: config.tls.is_some(),
            has_acls: config.acls,
            super_users: config.super_users.iter().map(|name| format!("User:{name}")).collect(),
            mechanisms: config.sasl_mechanisms.clone(),
            decoys: hmac::Key::new(hmac::HMAC_SHA256, &credential::random_bytes::<32>()?),
        })
    }

    /// How clients can prove who they are; empty: they need not.
    pub(crate) fn mechanisms(&self) -> &[SaslMechanism] {
        &self.mechanisms
    }

    /// What connections speak, by Kafka's name.
    pub(crate) fn protocol(&self) -> &'static str {
        match (self.mechanisms.is_empty(), self.encrypts) {
            (true, false) => "PLAINTEXT",
            (true, true) => "SSL",
            (false, false) => "SASL_PLAINTEXT",
            (false, true) => "SASL_SSL",
        }
    }

    /// Whether entries say who may do what.
    pub(crate) fn has_acls(&self) -> bool {
        self.has_acls
    }

    /// Whether somebody may do something.
    pub(crate) fn allows(
        &self,
        subject: Subject<'_>,
        operation: Operation,
        kind: Kind,
        name: &str,
    ) -> bool {
        !self.has_acls
            || self.super_users.contains(subject.principal)
            || self.with(|stored| acl::is_allowed(&stored.acls, subject, operation, kind, name))
    }

    /// Whether there may be a thing with which somebody may do something.
    pub(crate) fn allows_somewhere(
        &self,
        subject: Subject<'_>,
        operation: Operation,
        kind: Kind,
    ) -> bool {
        !self.has_acls
            || self.super_users.contains(subject.principal)
            || self.with(|stored| acl::is_allowed_somewhere(&stored.acls, subject, operation, kind))
    }

    /// The entries that pass a filter, those about the same thing together.
    pub(crate) fn acls(&self, filter: &AclFilter) -> Vec<Acl> {
        self.with(|stored| stored.acls.iter().filter(|acl| filter.passes(acl)).cloned().collect())
    }

    /// Changes the entries.
    ///
    /// # Errors
    /// That of the change, or that the file cannot be written; nothing is changed then.
    pub(crate) fn change_acls<T>(
        &self,
        change: impl FnOnce(&mut BTreeSet<Acl>) -> Result<T>,
    ) -> Result<T> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = stored.clone();
        let outcome = change(&mut changed.acls)?;
        changed.write(&self.path)?;
        *stored = changed;
        Ok(outcome)
    }

    /// All users, in order.
    pub(crate) fn user_names(&self) -> Vec<String> {
        self.with(|stored| stored.users.keys().cloned().collect())
    }

    /// What is known of a user.
    pub(crate) fn credentials(&self, user: &str) -> Option<Credentials> {
        self.with(|stored| stored.users.get(user).cloned())
    }

    /// Changes the credentials of users, all or none of them. A user without any is one no more.
    ///
    /// # Errors
    /// The file cannot be written; nothing is changed then.
    pub(crate) fn change_credentials(&self, changes: Vec<(String, Credentials)>) -> Result<()> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = stored.clone();
        for (user, credentials) in changes {
            if credentials.is_empty() {
                changed.users.remove(&user);
            } else {
                changed.users.insert(user, credentials);
            }
        }
        changed.write(&self.path)?;
        *stored = changed;
        Ok(())
    }

    fn credential(&self, user: &str, hash: ScramHash) -> Option<Credential> {
        self.with(|stored| stored.users.get(user)?.get(&hash).cloned())
    }

    /// Checks a password, for as long whether there is such a user or not.
    fn is_password(&self, user: &str, password: &str) -> bool {
        let known = self.with(|stored| {
            let (hash, credential) = stored.users.get(user)?.first_key_value()?;
            Some((*hash, credential.clone()))
        });
        match known {
            Some((hash, credential)) => credential.is_of(hash, password),
            None => {
                let hash = ScramHash::Sha256;
                self.decoy(user, hash).is_of(hash, password);
                false
            }
        }
    }

    /// What is shown of a user that there isn't: always the same, and nobody's.
    fn decoy(&self, user: &str, hash: ScramHash) -> Credential {
        let salt = hmac::sign(&self.decoys, user.as_bytes()).as_ref()[..16].to_vec();
        Credential::of_salted(hash, &salt, salt.clone(), MIN_ITERATIONS)
    }

    fn with<T>(&self, look: impl FnOnce(&Stored) -> T) -> T {
        look(&self.stored.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
