//! Puts the transactions of former runs in order.

use std::collections::BTreeSet;

use millrace_core::{Error, Result, SinkContext};

use super::committable::{TransactionCommittable, TransactionState};
use super::names::SlotName;
use crate::kafka::wire::{End, Outcome, WireClient};

/// Commits what the restored checkpoint names for this subtask, then fences every other
/// transactional id that falls to it, which aborts what is open there.
///
/// `prefix` is that of the sink as it is now, if it has transactions.
///
/// # Errors
/// `Restore` when a prepared transaction was aborted or its topic is gone; `FixInput` when the
/// cluster does not allow what recovery needs; `Retry` when it does not answer.
pub(crate) async fn recover(
    wire: &mut WireClient,
    context: &SinkContext,
    prefix: Option<&str>,
    timeout_ms: u32,
) -> Result<()> {
    let mut committed = 0;
    for committable in context.mine().flat_map(|prepared| &prepared.committables) {
        if let Some(transaction) = TransactionCommittable::parse(committable)? {
            commit_again(wire, &transaction, committable.rows).await?;
            committed += 1;
        }
    }
    let mut prefixes: BTreeSet<String> = prefix.map(str::to_owned).into_iter().collect();
    for prepared in &context.restored {
        prefixes.extend(TransactionState::parse(&prepared.state)?.map(|state| state.prefix));
    }
    let mut fenced = 0;
    for prefix in &prefixes {
        // A broker that has just started does not list all of them yet.
        wire.await_coordinators(prefix).await?;
        for id in wire.transactional_ids(&format!("{prefix}-")).await? {
            let mine =
                SlotName::of(prefix, &id).is_some_and(|name| name.belongs_to(context.subtask));
            if mine {
                wire.fence(&id, i32::try_from(timeout_ms).unwrap_or(i32::MAX)).await?;
                fenced += 1;
            }
        }
    }
    if committed + fenced > 0 {
        tracing::info!(
            "subtask {} of sink `{}` committed {committed} transactions of the restored checkpoint \
             and fenced {fenced} transactional ids of former runs",
            context.subtask,
            context.id
        );
    }
    Ok(())
}

/// Whether the restored checkpoint has, or once had, transactions of this sink.
///
/// # Errors
/// `Restore` when it cannot be understood.
pub(crate) fn has_transactions(context: &SinkContext) -> Result<bool> {
    for prepared in &context.restored {
        if TransactionState::parse(&prepared.state)?.is_some() {
            return Ok(true);
        }
        for committable in &prepared.committables {
            if TransactionCommittable::parse(committable)?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Commits a transaction that this or an earlier process prepared; fine if it is committed already.
///
/// # Errors
/// As for [`recover`].
pub(crate) async fn commit_again(
    wire: &mut WireClient,
    transaction: &TransactionCommittable,
    rows: u64,
) -> Result<()> {
    let TransactionCommittable { transactional_id, producer_id, producer_epoch, topic, .. } =
        transaction;
    match wire.commit(transactional_id, *producer_id, *producer_epoch).await? {
        End::Committed => return Ok(()),
        End::Unknown => {}
    }
    let lost = |what: &str| {
        Error::restore(format!(
            "the transaction `{transactional_id}` with {rows} rows for topic `{topic}` is part of \
             the checkpoint, but {what}"
        ))
    };
    match wire.outcome(topic, transaction.witness, *producer_id).await? {
        Outcome::Committed => Ok(()),
        Outcome::Removed => {
            tracing::warn!(
                "the records of transaction `{transactional_id}` were removed from topic `{topic}` \
                 by its retention before this start could see how it ended"
            );
            Ok(())
        }
        Outcome::Aborted => Err(lost("Kafka has aborted it").hint(
            "it waited longer than `transaction.timeout.ms` for this restart, or another instance \
             of the job ran; to write these rows again, go on from an older checkpoint",
        )),
        Outcome::Lost => Err(lost("the topic has not got its records")
            .hint("the topic was deleted or made anew, or the table names another cluster")),
    }
}
