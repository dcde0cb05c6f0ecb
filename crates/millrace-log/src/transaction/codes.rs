//! The codes that clients of older versions know.

use kafka_protocol::ResponseError;

/// The code for a client that may not know that it can be fenced by another of its kind.
pub(crate) fn fenced_as_known(code: ResponseError, knows_fenced: bool) -> ResponseError {
    match code {
        ResponseError::ProducerFenced if !knows_fenced => ResponseError::InvalidProducerEpoch,
        code => code,
    }
}

/// The code for a batch that [`Transactions::admit`](super::Transactions::admit) refused, in this
/// version of the request to produce (also for offsets in a transaction, whose client knows
/// `TransactionAbortable` from `knows_abortable` on).
pub(crate) fn refused_batch(code: ResponseError, knows_abortable: bool) -> ResponseError {
    match code {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        // Clients don't expect this one here. What they get instead makes them try again.
        ResponseError::ConcurrentTransactions => ResponseError::NotEnoughReplicas,
        ResponseError::TransactionAbortable if !knows_abortable => ResponseError::InvalidTxnState,
        code => code,
    }
}

/// The code for a batch whose partition [`Transactions::add_and_admit`] did not take in.
///
/// [`Transactions::add_and_admit`]: super::Transactions::add_and_admit
pub(crate) fn not_taken_in(code: ResponseError) -> ResponseError {
    match code {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        // As above: they look for coordinators elsewhere.
        ResponseError::CoordinatorNotAvailable => ResponseError::NotEnoughReplicas,
        code => code,
    }
}

/// The number of an answer's code; 0 for none.
pub(crate) fn number<T>(answer: &Result<T, ResponseError>) -> i16 {
    answer.as_ref().err().map_or(0, |code| code.code())
}
