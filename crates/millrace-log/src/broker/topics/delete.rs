//! Deleting topics: they are renamed to where nothing looks for topics, and their files are removed
//! when nobody waits for it.

use std::fs;
use std::sync::{Arc, PoisonError};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::{Topic, Topics, unknown};
use crate::broker::directory::sync_dir;
use crate::error::{LogError, Result};

impl Topics {
    /// Deletes a topic with all its records; when this returns no crash brings it back. Its files
    /// go with [`Topics::remove_deleted`].
    ///
    /// # Errors
    /// There is none of this name, it is the log's own, or a file cannot be moved.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.delete_all(&[name]).pop().expect("a result for each")
    }

    /// As [`Topics::delete`], for many: a result for each in their order.
    pub fn delete_all(&self, names: &[&str]) -> Vec<Result<()>> {
        let _changing = self.changing();
        let taken: Vec<Result<()>> = names.iter().map(|name| self.take(name)).collect();
        if !taken.iter().any(|taken| taken.is_ok()) {
            return taken;
        }
        let synced = sync_dir(&self.topics_dir, self.files.disk());
        self.deleted.notify_one();
        let Err(error) = synced else { return taken };
        let failed = || LogError::rejected(error.code(), error.to_string());
        taken.into_iter().map(|taken| taken.and_then(|()| Err(failed()))).collect()
    }

    /// Takes a topic from where topics are, and lets nobody see it any more.
    fn take(&self, name: &str) -> Result<()> {
        let topic = self.get(name).ok_or_else(|| unknown(name))?;
        if topic.internal {
            return Err(LogError::rejected(
                ResponseError::InvalidRequest,
                format!("Topic '{name}' is internal and cannot be deleted."),
            ));
        }
        self.move_away(name, topic.id)?;
        self.forget(&topic);
        for partition in topic.partitions() {
            // Wakes who waits for records.
            partition.discard();
        }
        tracing::info!(topic = name, "topic deleted");
        Ok(())
    }

    fn forget(&self, topic: &Arc<Topic>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_name.remove(&topic.name);
        known.by_id.remove(&topic.id);
    }

    /// Moves a topic's directory to where nothing looks for topics.
    pub(super) fn move_away(&self, name: &str, id: Uuid) -> Result<()> {
        let dir = self.topics_dir.join(name);
        let deleted = self.deleted_dir.join(id.to_string());
        fs::rename(&dir, &deleted).map_err(LogError::io("rename", &dir))
    }

    /// Completes when topics have been deleted since the last time.
    pub(crate) async fn deleted(&self) {
        self.deleted.notified().await;
    }

    /// Removes the files of deleted topics. What can't be removed is tried again with the next, and
    /// at the next start.
    pub(crate) fn remove_deleted(&self) {
        let dir = &self.deleted_dir;
        let failed = |error| tracing::warn!(dir = %dir.display(), %error, "deleted topics remain");
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return failed(error),
        };
        for entry in entries {
            let removed = entry.and_then(|entry| fs::remove_dir_all(entry.path()));
            removed.unwrap_or_else(failed);
        }
    }
}
