//! `millrace log mirror`: copies topics and consumer groups to another log.
//!
//! Problem: a second site shall carry on when the first one is gone. It needs the records, each
//! once, and for each consumer group the place where to go on, though records have other offsets
//! there.
//!
//! A transaction of the target holds some records and the entries of the offset map that they add
//! ([`offset_map`]); the map is also the progress. So whatever ends the mirror, records and
//! progress agree: the next one with this name first fences the transaction that is left open, then
//! reads the map, and goes on behind it. Groups are moved after their records were committed.
//!
//! | what fails | what happens |
//! |---|---|
//! | the mirror dies, at any moment | the next one aborts what was open and goes on; nothing is lost or doubled |
//! | two mirrors of one name run | the newer one fences the older one, which ends with an error |
//! | the source is gone for a while | the mirror waits for it |
//! | the target is gone for longer than a transaction may last | the mirror ends with an error; start it again |
//! | retention takes records before they are copied | it is told, and the mirror goes on behind them |
//! | a source topic is made anew | the mirror ends with an error: its map is about another topic |

mod copy;
mod delivery;
mod groups;
mod map_store;
mod offset_map;
mod topics;

use std::time::Duration;

use indicatif::ProgressBar;
use millrace_core::Error;
use millrace_core::seam::Seams;
use rdkafka::consumer::Consumer;

use super::args::MirrorArguments;
use super::attend::{Stop, attend};
use super::client::REQUEST_TIMEOUT;
use super::cluster::Cluster;
use crate::failure::Failure;
use crate::numbers::{bytes, counted, lasting};
use crate::progress::{TICK, progress_line};
use crate::stderr::say;

use copy::{Copied, Copier};
use groups::GroupSync;

/// Copies until a signal comes, or with `--once` up to the present end.
pub(super) async fn mirror(arguments: MirrorArguments, seams: &Seams) -> Result<(), Failure> {
    let reach = async |address: &String, properties: &Vec<(String, String)>| {
        Cluster::reach(address.clone(), properties.clone(), seams).await
    };
    let source = reach(&arguments.from, &arguments.from_properties).await?;
    let target = reach(&arguments.to, &arguments.to_properties).await?;
    refuse_same(&source, &target)?;
    let (quiet, own) = (arguments.quiet, seams.clone());
    let line = progress_line(quiet);
    let shown = line.clone();
    let began = seams.clock.elapsed();
    let ended = attend(seams, std::future::pending(), move |stop| {
        Work { arguments, source, target, seams: own, shown }.run(&stop)
    })
    .await;
    line.finish_and_clear();
    let (copied, groups, stopped) = ended?;
    if !quiet {
        let took = lasting(seams.clock.elapsed().saturating_sub(began));
        say!("{}", summary(&copied, groups, stopped, &took));
    }
    Ok(())
}

/// A log that is mirrored into itself would grow for ever.
fn refuse_same(source: &Cluster, target: &Cluster) -> Result<(), Failure> {
    let id = |cluster: &Cluster| -> Result<Option<String>, Failure> {
        Ok(cluster.consumer(&[])?.client().fetch_cluster_id(REQUEST_TIMEOUT))
    };
    match (id(source)?, id(target)?) {
        (Some(one), Some(other)) if one == other => Err(Failure::misuse(format!(
            "`{}` and `{}` are the same log\n  hint: a mirror copies from one log to another",
            source.address(),
            target.address()
        ))),
        _ => Ok(()),
    }
}

fn summary(copied: &Copied, groups: u64, stopped: bool, took: &str) -> String {
    format!(
        "{}copied {}, {}, of {}, and moved {}, in {took}",
        if stopped { "stopped: " } else { "" },
        counted(copied.records, "record"),
        bytes(copied.bytes),
        counted(copied.partitions as u64, "partition"),
        counted(groups, "committed offset")
    )
}

/// The part that may block.
struct Work {
    arguments: MirrorArguments,
    source: Cluster,
    target: Cluster,
    seams: Seams,
    shown: ProgressBar,
}

impl Work {
    /// Gives what was copied, how many committed offsets were moved, and whether it was stopped.
    fn run(self, stop: &Stop) -> Result<(Copied, u64, bool), Failure> {
        let clock = self.seams.clock.clone();
        let runtime = tokio::runtime::Handle::current();
        let there = self.target.topics(&*self.target.consumer(&[])?)?;
        let map_topic = topics::map_topic(&self.arguments.name);
        runtime.block_on(topics::ensure_map(&map_topic, &self.target, &there, &self.seams))?;
        let mut copier = Copier::begin(
            &self.source,
            &self.target,
            map_topic,
            &self.arguments.name,
            self.arguments.once,
            clock.clone(),
        )?;
        let mut groups = GroupSync::new(&self.source, &self.target, &self.arguments.groups);
        let (mut looked, mut told): (Option<Duration>, Duration) = (None, clock.elapsed());
        loop {
            let now = clock.elapsed();
            let due = looked.is_none_or(|at| now.saturating_sub(at) >= self.arguments.interval);
            if due && (looked.is_none() || !self.arguments.once) {
                copier.commit()?;
                self.find_partitions(&mut copier, &runtime)?;
                if looked.is_some() {
                    groups.sync(copier.map())?;
                }
                looked = Some(clock.elapsed());
            }
            let done = self.arguments.once && copier.is_done();
            if done || stop.is_set() {
                break;
            }
            copier.turn()?;
            if now.saturating_sub(told) >= TICK {
                told = now;
                let copied = copier.copied();
                self.shown.set_message(format!(
                    "{} · {}",
                    counted(copied.records, "record"),
                    bytes(copied.bytes)
                ));
            }
        }
        copier.commit()?;
        groups.sync(copier.map())?;
        Ok((copier.copied(), groups.moved(), stop.is_set()))
    }

    /// Begins to copy the partitions that are wanted and not copied yet.
    fn find_partitions(
        &self,
        copier: &mut Copier,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(), Failure> {
        let found = self.source.topics(&*self.source.consumer(&[])?)?;
        let wanted = topics::wanted(found, &self.arguments.topics);
        if self.arguments.once && wanted.is_empty() {
            return Err(Failure::operation(
                &Error::fix_input(format!(
                    "no topic of `{}` matches the pattern",
                    self.source.address()
                ))
                .hint("`millrace log topic list` shows the topics there are"),
            ));
        }
        let there = self.target.topics(&*self.target.consumer(&[])?)?;
        for topic in &wanted {
            if copier.copies_all_of(topic) {
                continue;
            }
            let ensured = topics::ensure(topic, &self.source, &self.target, &there, &self.seams);
            runtime.block_on(ensured)?;
            for told in copier.add(topic)? {
                self.shown.suspend(|| say!("warning: {told}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts() {
        let copied = Copied { records: 1_000, bytes: 2_048, partitions: 1 };
        assert_eq!(
            summary(&copied, 3, false, "12 ms"),
            "copied 1,000 records, 2.0 KiB, of 1 partition, and moved 3 committed offsets, in 12 ms"
        );
    }
}
