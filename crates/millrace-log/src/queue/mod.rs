//! Queues: the records of ordinary topics shared out among workers, each to one of them.
//!
//! # Problem
//! A consumer group gives each partition to one member, which goes through it in order; a record
//! that fails holds up those behind it, and there can't be more members at work than partitions. A
//! share group hands out single records: to whoever asks next, for a limited time, again when it was
//! not acknowledged, and not for ever.
//!
//! # States
//! A record of a partition, for one group:
//!
//! ```text
//!                  fetch                     accept, gap
//!   Available ----------------> Acquired ------------------> done
//!     |   ^                       |   |          reject
//!     |   +-----------------------+   +--------------------> given up
//!     |     release, time-out,                                  ^
//!     |     the worker is gone                                  |
//!     +---------------------------------------------------------+
//!        it was handed out as often as is allowed
//! ```
//!
//! What is given up goes to the group's dead-letter topic if it has one, and is else only counted.
//! [`partition::SharePartition`] is this as a pure state machine; a change is decided on a copy, written to
//! `__share_group_state`, and only then counts and is answered.
//!
//! # Failures
//! - A worker dies or hangs: its locks end, and others get its records.
//! - A worker loses its connection and comes back at once: what it got in the old session is released
//!   once, what it gets in the new one is its own, and what it sent last over the old connection is
//!   taken before that or refused ([`sessions`]).
//! - A worker is not dead but slow: its acknowledgement comes when its lock is over, and is refused.
//! - The broker dies: what was acknowledged is in the log and never comes again. Who works for a group
//!   is written down, so that workers go on; who held what is forgotten, so that records that were being
//!   worked on come again. How often a record was handed out is as it was when the partition was last
//!   written; a delivery that ended with the broker may not be counted.
//! - The broker dies between the write to the dead-letter topic and that of the state: the record
//!   goes to the dead-letter topic once more.
//! - The dead-letter topic can't be written: the records stay, and are tried again.
//! - Retention takes away records that are not done: they are lost to the group, as to any consumer.
//!
//! Source: Kafka's share groups (KIP-932); dead-letter topics after KIP-1191.

mod dead_letter;
pub(crate) mod fetch;
pub(crate) mod members;
mod offsets;
pub(crate) mod partition;
pub(crate) mod record;
mod service;
pub(crate) mod sessions;
pub(crate) mod settings;
mod state_log;
mod workers;

pub(crate) use service::Queues;

#[cfg(test)]
mod tests;
