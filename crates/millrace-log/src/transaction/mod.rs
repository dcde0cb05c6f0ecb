//! Transactions: who may write under a transactional id, and how what it wrote comes to count in
//! all its partitions or in none.
//!
//! # Problem
//! A producer writes to several partitions, and commits offsets of what it read, as one. It may
//! die, or be taken for dead and wake up again (a zombie); its answers may be lost; and the broker
//! may be killed between any two writes. Readers who ask for committed records must see whole
//! transactions only.
//!
//! # States of a transactional id
//! ```text
//!           init             add                end            markers written
//!  (new) ---------> Empty ---------> Ongoing ---------> PrepareCommit ------> CompleteCommit
//!                     ^  ^              |  end, time-out,                        |
//!                     |  |              |  init of another                       |
//!                     |  |              +-------------> PrepareAbort -----> CompleteAbort
//!                     |  +-------------------------- init ----------------------/  |
//!                     +----------------------------- init -------------------------+
//! ```
//! The next transaction begins from `Empty` and both `Complete` states alike. Each state is written
//! to `__transaction_state` before it counts. `PrepareCommit` and `PrepareAbort` are decisions:
//! once one is written, markers with this outcome go to all partitions of the transaction, as often
//! as it takes, and only then is its `Complete` state written.
//!
//! # Failures
//! - The broker dies. It reads `__transaction_state` again and writes the markers that decisions
//!   call for before it serves anything; a partition ignores a marker for which it has no open
//!   transaction, so it does no harm to write one twice. Open transactions go on.
//! - The producer dies. Its transaction is aborted at its time-out, or when the next process asks
//!   for a producer with the same transactional id.
//! - The producer was only slow. Each new owner has a higher epoch, and so has the marker that
//!   aborts; the coordinator and the partitions refuse what comes with an older one.
//! - A batch is late: it comes after the end of its transaction and would open another that nobody
//!   ends. From a client of the first version it is refused because its partition is not in an open
//!   transaction. In the second version (KIP-890) batches take their partitions in themselves, and
//!   each end gives the producer another epoch, which the markers carry: the late batch has an older
//!   one. A client shows its version by those of its requests, each time anew.
//! - An answer is lost. A decision that is asked for again is confirmed; a renewal that names its
//!   predecessor gets the same answer again, and so does an end that gave a new epoch.
//! - Epochs are used up: the transactional id gets a new producer id with epoch 0. If an end takes
//!   the last epoch, then its markers carry it, and the decision has the new producer id.
//! - A write fails. Nothing that was not written counts; the caller may ask again.
//!
//! The protocol is Kafka's (KIP-98, with KIP-360 for renewals), as its clients see it.
//!
//! [`Coordinator`] holds the rules, without input or output; [`Transactions`] runs them on a log.

mod admission;
mod codes;
mod coordinator;
mod participants;
mod producer_ids;
mod record;
mod service;
mod state;
mod state_log;
#[cfg(test)]
mod tests;

pub use admission::Admission;
pub(crate) use codes::{fenced_as_known, not_taken_in, number, refused_batch};
pub use coordinator::{Coordinator, Entry, Renewal, Step, TransactionLimits};
pub(crate) use participants::{OpenTransaction, Participants};
pub use service::{Added, Transactions};
pub use state::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
pub use state::{Partitions, Producer, Transaction, TransactionState, TransactionVersion};
pub(crate) use state_log::BoxFuture;
