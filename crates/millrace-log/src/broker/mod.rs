//! The broker: all that one data directory holds, without the network.

pub(crate) mod directory;
mod participants;
pub(crate) mod settings;
mod topic_name;
mod topics;
pub(crate) mod upkeep;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use kafka_protocol::error::ResponseError;
use millrace_core::seam::Seams;
use tokio::sync::{Semaphore, oneshot};

use crate::config::BrokerConfig;
use crate::error::{LogError, Result};
use crate::group::{GroupConfig, Groups};
use crate::queue::Queues;
use crate::security::Security;
use crate::storage::PartitionLog;
use crate::storage::disk::{Disk, SystemDisk};
use crate::storage::open_files::raise_limit;
use crate::transaction::{TransactionLimits, Transactions};
use directory::{DataLock, Meta};
pub(crate) use topic_name::check_topic_name;
pub use topics::{NewTopic, Topic, Topics};

/// The id of the only node.
pub(crate) const NODE_ID: i32 = 1;

/// The leader epoch of all partitions: their leader never changes.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// The topic that keeps groups and their offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The topic that keeps transactions.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The topic that keeps what queues have handed out.
pub(crate) const QUEUES_TOPIC: &str = "__share_group_state";

/// The topics of one data directory and what coordinates their clients.
///
/// A directory has one broker at a time. [`Server`](crate::Server) puts one on the network.
pub struct Broker {
    config: BrokerConfig,
    seams: Seams,
    lock: Mutex<DataLock>,
    cluster_id: String,
    topics: Topics,
    groups: Groups,
    queues: Queues,
    transactions: Arc<Transactions>,
    security: Security,
    address: OnceLock<SocketAddr>,
    memory: Arc<Semaphore>,
    inflating: Semaphore,
}

/// How many requests may inflate records at a time.
fn inflating_requests() -> usize {
    /// With fewer, one that waits for another's large batch would hold up all small ones.
    const LEAST: usize = 4;
    std::thread::available_parallelism().map_or(LEAST, |cores| cores.get().max(LEAST))
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("data_dir", &self.config.data_dir).finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens a data directory, or makes it, and recovers what a crash left.
    ///
    /// The process may have as many files open from then on as the system allows it (on Linux the
    /// hard limit of `RLIMIT_NOFILE`): each partition has one.
    ///
    /// # Errors
    /// [`LogError::InUse`](crate::LogError::InUse) when another broker has the directory; a file
    /// cannot be read or written, or is damaged where a torn write cannot explain it.
    pub fn open(config: BrokerConfig, seams: Seams) -> Result<Arc<Broker>> {
        Self::open_on(config, seams, Arc::new(SystemDisk))
    }

    /// As [`Broker::open`], on another disk.
    pub(crate) fn open_on(
        config: BrokerConfig,
        seams: Seams,
        disk: Arc<dyn Disk>,
    ) -> Result<Arc<Broker>> {
        config.limits.check()?;
        raise_limit();
        let lock = DataLock::take(&config.data_dir)?;
        let meta = Meta::open(&config.data_dir, &*seams.random, &*disk)?;
        let topics = Topics::open(&config.data_dir, config.fsync, seams.clone(), disk)?;
        let internal = [OFFSETS_TOPIC, TRANSACTIONS_TOPIC, QUEUES_TOPIC];
        let missing = internal.into_iter().filter(|name| topics.get(name).is_none());
        for created in topics.create_all(missing.map(internal_topic).collect()) {
            created?;
        }
        let security = Security::open(&config)?;
        let log = first_partition(&topics, OFFSETS_TOPIC)?;
        let groups = Groups::open(log, seams.clone(), GroupConfig::from(&config.limits))?;
        let queues = Queues::open(first_partition(&topics, QUEUES_TOPIC)?, seams.clone())?;
        let log = first_partition(&topics, TRANSACTIONS_TOPIC)?;
        let limits = TransactionLimits::from(&config.limits);
        let transactions = Transactions::open(log, limits, seams.clone())?;
        let broker = Arc::new(Broker {
            memory: Arc::new(Semaphore::new(config.max_in_flight_bytes)),
            inflating: Semaphore::new(inflating_requests()),
            config,
            seams,
            lock: Mutex::new(lock),
            cluster_id: meta.cluster_id,
            topics,
            groups,
            queues,
            transactions,
            security,
            address: OnceLock::new(),
        });
        let participants: Weak<Broker> = Arc::downgrade(&broker);
        broker.transactions.recover(participants);
        Ok(broker)
    }

    /// The settings that it was opened with.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Its topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Its transactions.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.transactions
    }

    /// Who its clients may be.
    pub(crate) fn security(&self) -> &Security {
        &self.security
    }

    /// The coordinator of groups.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The queues of share groups.
    pub(crate) fn queues(&self) -> &Queues {
        &self.queues
    }

    /// A partition of a topic, if there is one.
    pub fn partition(&self, topic: &str, index: i32) -> Option<Arc<PartitionLog>> {
        self.topics.get(topic)?.partition(index).cloned()
    }

    /// A permit for each byte of requests and answers that may yet be in work.
    pub(crate) fn memory(&self) -> &Arc<Semaphore> {
        &self.memory
    }

    /// The data directory, from the root on.
    pub(crate) fn data_path(&self) -> PathBuf {
        let path = &self.config.data_dir;
        std::path::absolute(path).unwrap_or_else(|_| path.clone())
    }

    pub(crate) fn seams(&self) -> &Seams {
        &self.seams
    }

    /// The id that the data directory was given when it was made.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Runs what waits for the disk where it does not hold up other connections.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Broker) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let broker = self.clone();
        let work = Box::new(move || {
            let _ = answer.send(work(&broker));
        });
        let outcome = self.seams.spawner.spawn_blocking(work).await;
        match (outcome, answered.await) {
            (_, Ok(answer)) => answer,
            (outcome, Err(_)) => {
                let reason = outcome.err().map(|e| e.to_string()).unwrap_or_default();
                tracing::error!(reason, "blocking work did not come to its end");
                Err(ResponseError::UnknownServerError.into())
            }
        }
    }

    /// Runs work that may inflate records, where it holds up no other connection: a small batch can
    /// be hundreds of megabytes, and large ones wait for each other. It is done by a few at a time,
    /// so that blocking threads are left for all else.
    ///
    /// # Errors
    /// When the work panicked.
    pub(crate) async fn inflating<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Broker) -> T + Send + 'static,
    ) -> Result<T> {
        let Ok(_turn) = self.inflating.acquire().await else {
            return Err(ResponseError::UnknownServerError.into());
        };
        self.blocking(|broker| Ok(work(broker))).await
    }

    /// Notes where the broker is served, for clients and for who finds the directory in use.
    pub(crate) fn listens_on(&self, address: SocketAddr) -> Result<()> {
        let _ = self.address.set(address);
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).describe(Some(address))
    }

    /// Where it is served, once it is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    /// Where a client that came to the address `reached` should connect to.
    pub(crate) fn advertised(&self, reached: IpAddr) -> (String, u16) {
        let port = self.address.get().map_or(0, SocketAddr::port);
        if let Some(host) = &self.config.advertised_host {
            return (host.clone(), port);
        }
        let listen_host = self.config.listen.rsplit_once(':').map_or("", |(host, _)| host);
        let listen_host = listen_host.trim_start_matches('[').trim_end_matches(']');
        match listen_host.parse::<IpAddr>() {
            // All addresses of this machine: the one that the client knows already is as good.
            Ok(any) if any.is_unspecified() => (reached.to_canonical().to_string(), port),
            _ => (listen_host.to_owned(), port),
        }
    }

    /// Brings all files to the disk.
    ///
    /// # Errors
    /// The system could not.
    pub(crate) fn close(&self) -> Result<()> {
        let mut outcome = Ok(());
        for topic in self.topics.list() {
            for partition in topic.partitions() {
                // All are tried; the first failure is told.
                outcome = outcome.and(partition.close());
            }
        }
        // A task that is about to end may have the broker for a moment yet.
        outcome.and(self.lock.lock().unwrap_or_else(PoisonError::into_inner).release())
    }
}

/// The partition of an internal topic.
fn first_partition(topics: &Topics, name: &str) -> Result<Arc<PartitionLog>> {
    let partition = topics.get(name).and_then(|topic| topic.partition(0).cloned());
    partition.ok_or_else(|| LogError::Config(format!("the topic `{name}` has no partition")))
}

fn internal_topic(name: &str) -> NewTopic {
    let configs = [("cleanup.policy", "compact"), ("segment.bytes", "104857600")];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    NewTopic { name: name.to_owned(), partitions: 1, configs: configs.into(), internal: true }
}

#[cfg(test)]
mod tests;
