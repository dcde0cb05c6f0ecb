//! Making topics, many at once: what is to be on the disk is forced there together.
//!
//! | step | a crash behind it leaves |
//! |---|---|
//! | each topic is written in a directory of its own, where nothing looks for topics | none |
//! | these directories are forced to the disk | none |
//! | each is renamed to where topics are | some |
//! | the directory of topics is forced to the disk, once for all | all |
//! | their partitions are made, which the start does as well | all |

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;

use super::{NewTopic, StoredTopic, TOPIC_VERSION, Topic, Topics};
use super::{check_partition_count, parse_configs};
use crate::broker::directory::{random_uuid, sync_dir};
use crate::broker::topic_name::{check_topic_name, collide};
use crate::error::{LogError, Result};
use crate::storage::disk::Unsynced;

/// Topics whose files are open at once while they are made.
const WRITTEN_AT_ONCE: usize = 128;

/// A topic on its way.
struct Making {
    name: String,
    stored: StoredTopic,
    /// Where it is prepared.
    dir: PathBuf,
}

impl Topics {
    /// Whether a topic could be made so.
    ///
    /// # Errors
    /// [`LogError::Rejected`] with the reason: its name, that it exists, its number of partitions,
    /// its settings.
    pub fn check(&self, new: &NewTopic) -> Result<()> {
        self.check_new_name(&new.name)?;
        parse_configs(&new.configs)?;
        check_partition_count(new.partitions)
    }

    /// Whether a topic could be called so.
    ///
    /// # Errors
    /// As [`Topics::check`].
    pub(crate) fn check_new_name(&self, name: &str) -> Result<()> {
        check_topic_name(name)?;
        let known = self.read();
        if known.by_name.contains_key(name) {
            return Err(exists(name));
        }
        match known.by_name.keys().find(|other| collide(other, name)) {
            Some(other) => Err(collides(name, other)),
            None => Ok(()),
        }
    }

    /// Makes a topic; when this returns it is on the disk.
    ///
    /// # Errors
    /// As [`Topics::check`], or a file cannot be written.
    pub fn create(&self, new: NewTopic) -> Result<Arc<Topic>> {
        self.create_all(vec![new]).pop().expect("a result for each")
    }

    /// As [`Topics::create`], for many: a result for each in their order.
    pub fn create_all(&self, new: Vec<NewTopic>) -> Vec<Result<Arc<Topic>>> {
        let _changing = self.changing();
        let mut topics = self.plan(new);
        for some in topics.chunks_mut(WRITTEN_AT_ONCE) {
            self.write(some);
        }
        let put = |topic: Result<Making>| topic.and_then(|topic| self.put(topic));
        let topics: Vec<Result<Making>> = topics.into_iter().map(put).collect();
        let named = match topics.iter().any(|topic| topic.is_ok()) {
            true => sync_dir(&self.topics_dir, self.files.disk()),
            false => Ok(()),
        };
        let finish = |topic: Result<Making>| topic.and_then(|topic| self.finish(topic, &named));
        topics.into_iter().map(finish).collect()
    }

    /// Those that can be made, each with an id.
    fn plan(&self, new: Vec<NewTopic>) -> Vec<Result<Making>> {
        // By names as they are told apart.
        let mut names: HashMap<String, String> = HashMap::new();
        let plan = |new: NewTopic| {
            self.check(&new)?;
            match names.entry(new.name.replace('_', ".")) {
                Entry::Occupied(other) if *other.get() == new.name => {
                    return Err(exists(&new.name));
                }
                Entry::Occupied(other) => return Err(collides(&new.name, other.get())),
                Entry::Vacant(free) => drop(free.insert(new.name.clone())),
            }
            let id = random_uuid(&*self.seams.random);
            let stored = StoredTopic {
                version: TOPIC_VERSION,
                id,
                partitions: new.partitions,
                internal: new.internal,
                configs: new.configs,
            };
            Ok(Making { name: new.name, stored, dir: self.creating_dir.join(id.to_string()) })
        };
        new.into_iter().map(plan).collect()
    }

    /// Writes topics where they are prepared, and forces them to the disk together.
    fn write(&self, topics: &mut [Result<Making>]) {
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for topic in topics.iter_mut() {
            let Ok(making) = topic else { continue };
            match self.write_one(making) {
                Ok(file) => {
                    files.push(Unsynced::File(file));
                    dirs.push(Unsynced::Dir(making.dir.clone()));
                }
                Err(error) => {
                    // What can't be removed now is removed at the next start.
                    let _ = fs::remove_dir_all(&making.dir);
                    *topic = Err(error);
                }
            }
        }
        let disk = self.files.disk();
        let synced = disk.sync_many(&files).and_then(|()| disk.sync_many(&dirs));
        let Err(error) = synced else { return };
        for topic in topics.iter_mut() {
            if let Ok(making) = topic {
                let failed = LogError::io("sync", &making.dir)(same(&error));
                *topic = Err(failed);
            }
        }
    }

    fn write_one(&self, making: &Making) -> Result<File> {
        fs::create_dir(&making.dir).map_err(LogError::io("create", &making.dir))?;
        let path = making.dir.join("topic.json");
        let text = serde_json::to_vec_pretty(&making.stored).expect("what is stored is plain data");
        let file = File::create(&path).map_err(LogError::io("create", &path))?;
        let written = self.files.disk().write(&file, &mut [IoSlice::new(&text)]);
        written.map_err(LogError::io("write", &path))?;
        Ok(file)
    }

    /// Puts a prepared topic where topics are.
    fn put(&self, making: Making) -> Result<Making> {
        let dir = self.topics_dir.join(&making.name);
        fs::rename(&making.dir, &dir).map_err(LogError::io("rename", &making.dir))?;
        Ok(making)
    }

    /// Opens a topic and lets it be seen, or takes it away again.
    fn finish(&self, making: Making, named: &Result<()>) -> Result<Arc<Topic>> {
        let Making { name, stored, .. } = making;
        let id = stored.id;
        let opened = match named {
            Ok(()) => self.open_partitions(&name, stored),
            Err(LogError::Io { action, path, source }) => {
                Err(LogError::io(action, path)(same(source)))
            }
            Err(error) => Err(LogError::rejected(error.code(), error.to_string())),
        };
        match opened {
            Ok(topic) => {
                let partitions = topic.partition_count();
                tracing::info!(topic = topic.name, partitions, "topic created");
                Ok(self.know(topic))
            }
            Err(error) => {
                // Else the name could not be used before the next start.
                if let Err(error) = self.move_away(&name, id) {
                    tracing::warn!(topic = name, %error, "a topic that was not made remains");
                }
                Err(error)
            }
        }
    }
}

/// The same error once more.
fn same(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

fn exists(name: &str) -> LogError {
    let reason = format!("Topic '{name}' already exists.");
    LogError::rejected(ResponseError::TopicAlreadyExists, reason)
}

fn collides(name: &str, other: &str) -> LogError {
    let reason = format!("Topic '{name}' collides with existing topic: {other}");
    LogError::rejected(ResponseError::InvalidTopicException, reason)
}
