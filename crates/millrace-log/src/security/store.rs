//! `security.json`: the users of a data directory, and what they may do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::acl::Acl;
use super::credential::Credential;
use super::mechanism::ScramHash;
use crate::broker::directory::{DataLock, read_json, write_private_json};
use crate::error::{LogError, Result};

/// The version of the file that is written.
const VERSION: u32 = 1;

/// A user's credentials: one for each hash that its password was set for.
pub(crate) type Credentials = BTreeMap<ScramHash, Credential>;

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    version: u32,
    pub(super) users: BTreeMap<String, Credentials>,
    #[serde(default)]
    pub(super) acls: BTreeSet<Acl>,
}

impl Default for Stored {
    fn default() -> Self {
        Stored { version: VERSION, users: BTreeMap::new(), acls: BTreeSet::new() }
    }
}

impl Stored {
    /// Where it is in a data directory.
    pub(super) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("security.json")
    }

    /// Reads the file; one that is not there has no users.
    pub(super) fn read(path: &Path) -> Result<Stored> {
        let stored = read_json::<Stored>(path)?.unwrap_or_default();
        if stored.version != VERSION {
            return Err(LogError::Config(format!(
                "`{}` is of version {}, and this program knows version {VERSION}",
                path.display(),
                stored.version
            )));
        }
        Ok(stored)
    }

    /// Replaces the file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        write_private_json(path, self)
    }
}

/// The users of a data directory that no broker has open.
///
/// ```
/// use millrace_log::Users;
///
/// let dir = tempfile::tempdir()?;
/// let mut users = Users::open(dir.path())?;
/// users.set_password("alice", "secret")?;
/// assert_eq!(users.names().collect::<Vec<_>>(), ["alice"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Users {
    _lock: DataLock,
    path: PathBuf,
    stored: Stored,
}

impl Users {
    /// Opens a data directory, or makes it, and keeps brokers out of it until this is dropped.
    ///
    /// # Errors
    /// [`LogError::InUse`] when a broker has it; a file cannot be read or is damaged.
    pub fn open(data_dir: &Path) -> Result<Users> {
        let lock = DataLock::take(data_dir)?;
        let path = Stored::path(data_dir);
        let stored = Stored::read(&path)?;
        Ok(Users { _lock: lock, path, stored })
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stored.users.keys().map(String::as_str)
    }

    /// Adds a user, or gives one a new password, for all mechanisms.
    ///
    /// # Errors
    /// The name or the password is empty, or has a character that a client could not send; the
    /// file cannot be written.
    pub fn set_password(&mut self, name: &str, password: &str) -> Result<()> {
        for (what, text) in [("name", name), ("password", password)] {
            if text.is_empty() || text.contains('\0') {
                let reason = format!("the {what} of a user must not be empty nor have zero bytes");
                return Err(LogError::Config(reason));
            }
        }
        let mut credentials = Credentials::new();
        for hash in ScramHash::ALL {
            credentials.insert(hash, Credential::of_password(hash, password)?);
        }
        self.stored.users.insert(name.to_owned(), credentials);
        self.stored.write(&self.path)
    }

    /// Removes a user, and says whether there was one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn delete(&mut self, name: &str) -> Result<bool> {
        if self.stored.users.remove(name).is_none() {
            return Ok(false);
        }
        self.stored.write(&self.path)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn users_outlive_the_process_in_a_file_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut users = Users::open(dir.path()).unwrap();
        users.set_password("alice", "a").unwrap();
        users.set_password("bob", "b").unwrap();
        assert!(users.delete("alice").unwrap());
        assert!(!users.delete("alice").unwrap());
        assert!(Users::open(dir.path()).is_err(), "the directory is taken");
        drop(users);
        let users = Users::open(dir.path()).unwrap();
        assert_eq!(users.names().collect::<Vec<_>>(), ["bob"]);
        let mode = std::fs::metadata(&users.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = Stored::path(dir.path());
        for text in ["", "{}", r#"{"version":2,"users":{}}"#, r#"{"version":1,"usres":{}}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(Stored::read(&path).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_passwords_that_no_client_can_send_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut users = Users::open(dir.path()).unwrap();
        for (name, password) in [("", "p"), ("u", ""), ("u\0", "p"), ("u", "\0")] {
            assert!(users.set_password(name, password).is_err());
        }
    }
}
