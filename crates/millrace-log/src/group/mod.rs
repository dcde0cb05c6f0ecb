//! Consumer groups: who reads which partition, and how far.
//!
//! # Problem
//! The members of a group divide partitions among themselves. They come, go and die, and at no time
//! may two of them believe in the same part for longer than it takes to find out. The coordinator
//! does not know what is divided: a member that it names the leader does that.
//!
//! # States
//! A group goes through generations, each with a fixed set of members. Whatever a member asks
//! carries its generation and is refused if that is over.
//!
//! ```text
//!             join                       all have joined, or the time is over
//!   Empty ------------> PreparingRebalance ------------> CompletingRebalance
//!     ^                   |    ^      ^                          |     |
//!     +-------------------+    |      |     a member comes, goes |     | the leader's
//!        nobody is left        |      +------ or changes --------+     | assignment
//!                              |                                       v
//!                              +-- a member comes, goes or changes -- Stable
//! ```
//!
//! - PreparingRebalance: heartbeats tell the members to join again. Requests to join wait until all
//!   members wait, or the longest rebalance time-out among them is over; who has not joined then is
//!   out, but for static members, who have until their session ends.
//! - CompletingRebalance: the new generation is known; requests to sync wait for the leader's.
//! - Stable: assignments are handed out from memory.
//! - A group that is not known is Dead to those who ask.
//!
//! Commands are pure functions of the state ([`coordinator::Coordinator`]). [`Groups`] runs them
//! one after another under a lock, writes their records to `__consumer_offsets` and then sends their
//! answers.
//!
//! # Failures
//! - A member dies: its session ends, and the group rebalances.
//! - A member is not dead but slow: its generation is over, and its commits are refused, also those
//!   within a transaction.
//! - A static member comes back under the same name: it takes over its part without a rebalance,
//!   and whoever uses the old member id is fenced.
//! - The broker dies: groups are restored as they last were stable (or empty), with one session time
//!   for the members to be heard. A rebalance that was under way begins anew; its members find that
//!   they have missed a generation.
//! - A record can't be written: the request is refused, and the group is as it was before it.
//! - A transaction ends or the broker dies in it: its offsets are pending until its marker is in the
//!   log, and are rebuilt from there.
//!
//! Groups of the newer protocol, whose partitions the coordinator divides, are in [`consumer`]; they
//! keep their offsets in the same way, and may have members of the classic protocol too.
//!
//! Source: Kafka's classic group protocol (KIP-62, KIP-134, KIP-345, KIP-394, KIP-429, KIP-447,
//! KIP-559, KIP-814).

pub(crate) mod command;
pub(crate) mod consumer;
pub(crate) mod coordinator;
mod describe;
pub(crate) mod divided_record;
mod join;
pub(crate) mod member;
pub(crate) mod offsets;
mod rebalance;
pub(crate) mod record;
mod service;
mod session;
pub(crate) mod state;
mod store;
mod sync;
mod undo;

pub(crate) use command::GroupConfig;
pub(crate) use service::Groups;

#[cfg(test)]
mod tests;
