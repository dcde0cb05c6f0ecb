//! What takes part in transactions: the partitions.

use super::state::Producer;
use super::state_log::BoxFuture;
use crate::error::Result;
use crate::storage::TransactionOutcome;

/// A transaction that a partition has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    /// The partition's topic.
    pub(crate) topic: String,
    /// The partition's index.
    pub(crate) partition: i32,
    /// Who wrote to it.
    pub(crate) producer: Producer,
}

/// All partitions of a broker, as far as the coordinator needs them.
pub(crate) trait Participants: Send + Sync {
    /// Ends what `producer` has open in a partition. Where there is nothing open, or no such
    /// partition any more, nothing is to be done, and that is no error.
    fn append_marker(
        &self,
        topic: &str,
        partition: i32,
        producer: Producer,
        outcome: TransactionOutcome,
    ) -> Result<()>;

    /// Completes when all that was written to a partition until now is as safe as the settings ask
    /// for.
    fn durable<'a>(&'a self, topic: &'a str, partition: i32) -> BoxFuture<'a, Result<()>>;

    /// All transactions that partitions have open.
    fn open_transactions(&self) -> Vec<OpenTransaction>;
}
