//! Exactly once, by Kafka's transactions.
//!
//! # Problem
//!
//! The two phases of a checkpoint (`prepare`, then `commit` once the manifest stands) are to be one
//! Kafka transaction each: invisible to `read_committed` readers until the manifest stands, visible
//! for certain afterwards, whatever crashes in between. A transaction must therefore outlive the
//! producer that wrote it.
//!
//! # Protocol
//!
//! Each subtask has a [pool](pool) of producers with the transactional ids
//! `PREFIX-SUBTASK-SLOT`. Each transaction is written by a producer of its own, initialised for it
//! alone, so that producer id and epoch name one transaction for ever: Kafka raises the epoch with
//! each initialisation. While one transaction waits for its checkpoint, the next is written by
//! another producer of the pool.
//!
//! | step | what happens |
//! |---|---|
//! | `write` | records go to the open transaction |
//! | `prepare` | waits until all are delivered; the [`committable`] names the transaction, and a record of it as *witness* |
//! | `commit` | its own producer commits it |
//! | `open` after a crash | [`recovery`] commits what the manifest names, then fences all other ids of this prefix, which aborts what is open under them |
//!
//! # Failures
//!
//! - A crash before `prepare` ends, or before the manifest: the transaction is named nowhere, and
//!   the next opening aborts it.
//! - A crash between manifest and `commit`, or during it: recovery commits again. `EndTxn` may be
//!   repeated as long as the epoch is the same; once the id has been used again, it is refused, and
//!   recovery asks the topic itself whether the witness was committed.
//! - A transaction that was prepared and is found aborted (it waited longer than
//!   `transaction.timeout.ms` for its restart) is data loss, and fails the job with its number of
//!   rows.
//! - A second instance of the job fences the first, which fails and does not restart.
//! - Another parallelism: ids are owned by their subtask number modulo the new parallelism, as
//!   [`millrace_core::SinkContext::mine`] gives out committables. So whoever commits an id's
//!   transaction also fences the id, and nobody touches another's new transactions.

mod committable;
mod names;
mod pool;
mod producer;
mod recovery;
mod writer;

pub(crate) use self::names::NameLocks;
pub(crate) use self::recovery::{has_transactions, recover};
pub(crate) use self::writer::{TransactionSettings, TransactionalWriter};
