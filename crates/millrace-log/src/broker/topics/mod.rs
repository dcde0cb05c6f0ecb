//! The topics: what they are called, how they are set up, where their partitions lie.
//!
//! A topic is a directory with a `topic.json`. It comes into being by one rename of a directory
//! that was prepared elsewhere, changes by one rename of `topic.json`, and goes by one rename to
//! where nothing looks for topics; so a crash leaves it as it was before or after. Its partitions are
//! made where they are missing, so that none of them need be on the disk before it has records.

mod create;
mod delete;
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kafka_protocol::error::ResponseError;
use millrace_core::seam::Seams;
use tokio::sync::Notify;
use uuid::Uuid;

use self::stored::{StoredTopic, TOPIC_VERSION};
use super::directory::{read_json, sync_dir, write_json};
use super::topic_name::check_topic_name;
use crate::config::FsyncPolicy;
use crate::error::{LogError, Result};
use crate::storage::disk::{Disk, is_full};
use crate::storage::{OpenFiles, PartitionLog, TopicConfig};

/// Partitions of one topic: each takes files and memory.
const MAX_PARTITIONS: i32 = 10_000;

/// Files of closed segments that all partitions together have open. Each partition has one more,
/// that of the segment which is written to.
const OPEN_FILES: usize = 256;

/// A topic as it is at one time.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id: another topic of this name, after this one was deleted, has another.
    pub id: Uuid,
    /// Whether it is for the log's own use.
    pub internal: bool,
    /// What was set for it; all else stands at its default.
    pub configs: BTreeMap<String, String>,
    partitions: Vec<Arc<PartitionLog>>,
}

impl Topic {
    /// How many partitions it has.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("bounded when they were made")
    }

    /// One of its partitions, counted from zero.
    pub fn partition(&self, index: i32) -> Option<&Arc<PartitionLog>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// All its partitions.
    pub fn partitions(&self) -> &[Arc<PartitionLog>] {
        &self.partitions
    }
}

/// A topic to be made.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: i32,
    /// What is set for it.
    pub configs: BTreeMap<String, String>,
    /// Whether it is for the log's own use.
    pub internal: bool,
}

/// All topics of a broker.
pub struct Topics {
    topics_dir: PathBuf,
    creating_dir: PathBuf,
    deleted_dir: PathBuf,
    seams: Seams,
    fsync: FsyncPolicy,
    /// Of all partitions.
    files: Arc<OpenFiles>,
    /// Held while a topic is made, changed or deleted.
    changing: Mutex<()>,
    known: RwLock<Known>,
    /// Told when files of deleted topics wait to be removed.
    deleted: Notify,
}

#[derive(Default)]
struct Known {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Topics {
    /// Opens all topics of a data directory, and removes what a crash left of those that were being
    /// made or deleted.
    pub(super) fn open(
        data_dir: &Path,
        fsync: FsyncPolicy,
        seams: Seams,
        disk: Arc<dyn Disk>,
    ) -> Result<Topics> {
        let topics = Topics {
            topics_dir: data_dir.join("topics"),
            creating_dir: data_dir.join("creating"),
            deleted_dir: data_dir.join("deleted"),
            seams,
            fsync,
            files: OpenFiles::new(OPEN_FILES, disk),
            changing: Mutex::default(),
            known: RwLock::default(),
            deleted: Notify::new(),
        };
        for dir in [&topics.creating_dir, &topics.deleted_dir] {
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogError::io("remove", dir)(error));
                }
                _ => {}
            }
        }
        for dir in [&topics.topics_dir, &topics.creating_dir, &topics.deleted_dir] {
            fs::create_dir_all(dir).map_err(LogError::io("create", dir))?;
        }
        sync_dir(data_dir, topics.files.disk())?;
        let failed = LogError::io("list", &topics.topics_dir);
        let entries = fs::read_dir(&topics.topics_dir)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
            .map_err(failed)?;
        for entry in entries {
            let topic = topics.open_topic(&entry.path())?;
            topics.know(topic);
        }
        Ok(topics)
    }

    fn open_topic(&self, dir: &Path) -> Result<Topic> {
        let damaged = |reason: &str| LogError::Damaged {
            path: dir.to_owned(),
            position: 0,
            reason: reason.to_owned(),
        };
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        check_topic_name(&name).map_err(|_| damaged("it is not called as a topic may be"))?;
        let path = dir.join("topic.json");
        let stored: StoredTopic =
            read_json(&path)?.ok_or_else(|| damaged("it has no `topic.json`"))?;
        if stored.version != TOPIC_VERSION {
            return Err(LogError::Config(format!(
                "`{}` is of version {}, and this program knows version {TOPIC_VERSION}",
                path.display(),
                stored.version
            )));
        }
        self.open_partitions(&name, stored)
    }

    /// A topic as it is stored, with its partitions. One that a crash kept from being made is made.
    fn open_partitions(&self, name: &str, stored: StoredTopic) -> Result<Topic> {
        let config = parse_configs(&stored.configs)?;
        let mut partitions = Vec::new();
        for index in 0..stored.partitions {
            partitions.push(self.open_partition(name, index, &config)?);
        }
        Ok(Topic {
            name: name.to_owned(),
            id: stored.id,
            internal: stored.internal,
            configs: stored.configs,
            partitions,
        })
    }

    fn open_partition(
        &self,
        topic: &str,
        index: i32,
        config: &TopicConfig,
    ) -> Result<Arc<PartitionLog>> {
        let dir = self.topics_dir.join(topic).join(index.to_string());
        let (config, seams, files) = (config.clone(), self.seams.clone(), self.files.clone());
        PartitionLog::open_among(&dir, config, self.fsync, seams, files).map(Arc::new)
    }

    /// The topic of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().by_name.get(name).cloned()
    }

    /// The topic with this id.
    pub fn get_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.read().by_id.get(&id).cloned()
    }

    /// All topics, by name.
    pub fn list(&self) -> Vec<Arc<Topic>> {
        self.read().by_name.values().cloned().collect()
    }

    /// Replaces what is set for a topic; all else goes back to its default.
    ///
    /// # Errors
    /// There is no such topic, a setting is unknown or has a value that it cannot have, or a file
    /// cannot be written.
    pub fn set_configs(&self, name: &str, configs: BTreeMap<String, String>) -> Result<()> {
        let _changing = self.changing();
        let topic = self.get(name).ok_or_else(|| unknown(name))?;
        let config = parse_configs(&configs)?;
        let before: Vec<_> = topic.partitions.iter().map(|partition| partition.config()).collect();
        let written = match self.replace(&topic, configs.clone(), topic.partitions.clone()) {
            Err(LogError::Io { source, .. }) if is_full(&source) => {
                // What keeps less makes the room in which it can be written down.
                for partition in &topic.partitions {
                    partition.set_config(config.clone());
                    if let Err(error) = partition.maintain() {
                        tracing::warn!(topic = name, %error, "upkeep failed");
                    }
                }
                self.replace(&topic, configs, topic.partitions.clone())
            }
            written => written,
        };
        for (partition, before) in topic.partitions.iter().zip(before) {
            let in_force = if written.is_ok() { config.clone() } else { (*before).clone() };
            partition.set_config(in_force);
        }
        written
    }

    /// Whether these could be the settings of a topic.
    ///
    /// # Errors
    /// A setting is unknown or has a value that it cannot have.
    pub fn check_configs(&self, configs: &BTreeMap<String, String>) -> Result<()> {
        parse_configs(configs).map(drop)
    }

    /// Gives a topic more partitions, `count` in all.
    ///
    /// # Errors
    /// There is no such topic, it has as many, or a file cannot be written.
    pub fn add_partitions(&self, name: &str, count: i32) -> Result<()> {
        let _changing = self.changing();
        let topic = self.check_more_partitions(name, count)?;
        let config = parse_configs(&topic.configs)?;
        let mut partitions = topic.partitions.clone();
        for index in topic.partition_count()..count {
            partitions.push(self.open_partition(name, index, &config)?);
        }
        self.replace(&topic, topic.configs.clone(), partitions)
    }

    /// Whether a topic could be given more partitions, `count` in all.
    ///
    /// # Errors
    /// As [`Topics::add_partitions`].
    pub fn check_more_partitions(&self, name: &str, count: i32) -> Result<Arc<Topic>> {
        let topic = self.get(name).ok_or_else(|| unknown(name))?;
        let present = topic.partition_count();
        let refuse = |reason| Err(LogError::rejected(ResponseError::InvalidPartitions, reason));
        if count == present {
            return refuse(format!("Topic already has {present} partition(s)."));
        }
        if count < present {
            return refuse(format!(
                "The topic {name} currently has {present} partition(s); {count} would not be an \
                 increase."
            ));
        }
        check_partition_count(count)?;
        Ok(topic)
    }

    /// Stores a changed topic, then lets it be seen.
    fn replace(
        &self,
        topic: &Topic,
        configs: BTreeMap<String, String>,
        partitions: Vec<Arc<PartitionLog>>,
    ) -> Result<()> {
        let (name, id, internal) = (topic.name.clone(), topic.id, topic.internal);
        let changed = Topic { name, id, internal, configs, partitions };
        let stored = StoredTopic {
            version: TOPIC_VERSION,
            id,
            partitions: changed.partition_count(),
            internal,
            configs: changed.configs.clone(),
        };
        let path = self.topics_dir.join(&topic.name).join("topic.json");
        write_json(&path, &stored, self.files.disk())?;
        self.know(changed);
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_name.insert(topic.name.clone(), topic.clone());
        known.by_id.insert(topic.id, topic.clone());
        topic
    }
}

fn check_partition_count(partitions: i32) -> Result<()> {
    if (1..=MAX_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    let reason = if partitions < 1 {
        "Number of partitions must be larger than 0.".to_owned()
    } else {
        format!("Number of partitions must not be larger than {MAX_PARTITIONS}.")
    };
    Err(LogError::rejected(ResponseError::InvalidPartitions, reason))
}

/// Reads settings; what is wrong with them a client is told.
fn parse_configs(configs: &BTreeMap<String, String>) -> Result<TopicConfig> {
    TopicConfig::parse(configs).map_err(|error| match error {
        LogError::Config(message) => LogError::rejected(ResponseError::InvalidConfig, message),
        other => other,
    })
}

fn unknown(name: &str) -> LogError {
    LogError::rejected(
        ResponseError::UnknownTopicOrPartition,
        format!("Topic '{}' does not exist.", name.escape_debug()),
    )
}
