//! What partitions need from time to time, beside their clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Broker;
use crate::config::FsyncPolicy;
use crate::error::Result;
use crate::storage::PartitionLog;

/// How often retention, rolling and compaction are looked at. Whether there is something to do is
/// seen without reading records.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// Starts the tasks; each ends when `stopping` turns true, and drops its receiver then.
pub(crate) fn start(broker: &Arc<Broker>, stopping: &watch::Receiver<bool>) {
    let spawn = |name, every, work| {
        let task = sweep(broker.clone(), stopping.clone(), every, work);
        broker.seams().spawner.spawn(name, Box::pin(task));
    };
    if let FsyncPolicy::Interval(every) = broker.config().fsync {
        spawn("log-sync", every, PartitionLog::sync as fn(&PartitionLog) -> Result<()>);
    }
    spawn("log-maintain", MAINTENANCE_INTERVAL, PartitionLog::maintain);
    let queues = sweep_queues(broker.clone(), stopping.clone());
    broker.seams().spawner.spawn("log-queues", Box::pin(queues));
    let deleted = remove_deleted(broker.clone(), stopping.clone());
    broker.seams().spawner.spawn("log-remove", Box::pin(deleted));
}

/// Removes the files of deleted topics as soon as there are any.
async fn remove_deleted(broker: Arc<Broker>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = broker.topics().deleted() => {}
        }
        let removed = broker.blocking(|broker| {
            broker.topics().remove_deleted();
            Ok(())
        });
        if removed.await.is_err() {
            // It panicked, which is logged; the next start removes them.
            continue;
        }
    }
}

/// Lets time act on the queues, again and again.
async fn sweep_queues(broker: Arc<Broker>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = broker.seams().clock.sleep(MAINTENANCE_INTERVAL) => {}
        }
        let swept = broker.blocking(|broker| {
            broker.queues().sweep(broker);
            Ok(())
        });
        if swept.await.is_err() {
            // It panicked, which is logged; the queues are none the worse.
            continue;
        }
    }
}

/// Does `work` for all partitions, again and again.
async fn sweep(
    broker: Arc<Broker>,
    mut stopping: watch::Receiver<bool>,
    every: Duration,
    work: fn(&PartitionLog) -> Result<()>,
) {
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = broker.seams().clock.sleep(every) => {}
        }
        let stop = stopping.clone();
        let swept = broker.blocking(move |broker| {
            for topic in broker.topics().list() {
                for (index, partition) in topic.partitions().iter().enumerate() {
                    if *stop.borrow() {
                        return Ok(());
                    }
                    if let Err(error) = work(partition) {
                        tracing::error!(topic = topic.name, index, %error, "upkeep failed");
                    }
                }
            }
            Ok(())
        });
        if swept.await.is_err() {
            // It panicked, which is logged; the partitions are none the worse.
            continue;
        }
    }
}
