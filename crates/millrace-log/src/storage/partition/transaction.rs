//! Ending transactions, and what is known of producers.

use super::prepare::of;
use super::{PartitionLog, Shared};
use crate::storage::producers::Ended;
use crate::storage::records::{BatchHeader, Marker};
use crate::storage::{Appended, ProducerInfo, TransactionOutcome, lock};
use crate::{FsyncPolicy, LogError, Result};

impl PartitionLog {
    /// Ends the producer's open transaction with a marker. `None` when it has none open here (and
    /// nothing was written); its epoch is remembered all the same, so that whoever had the id before
    /// is refused. Asked again, it is thus harmless.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED; [`LogError::Io`], as
    /// [`PartitionLog::append`].
    pub fn append_marker(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
        outcome: TransactionOutcome,
    ) -> Result<Option<Appended>> {
        let shared = &*self.shared;
        let config = self.config();
        let now_ms = shared.seams.clock.now().as_millis();
        let mut writer = lock::mutex(&shared.writer);
        shared.refuse_if_closed()?;
        let producers = &mut writer.producers;
        if !producers.check_marker(producer_id, producer_epoch, coordinator_epoch)? {
            producers.marked(producer_id, producer_epoch, coordinator_epoch, now_ms, None);
            writer.learned_epoch = true;
            return Ok(None);
        }
        let marker = Marker { outcome, coordinator_epoch };
        let batch = marker.build(now_ms, producer_id, producer_epoch);
        let header = BatchHeader::parse(&batch)
            .map_err(|error| LogError::Config(format!("a marker can't be built: {error}")))?;
        let mut prepared = [of(header, &batch)];
        let appended = shared.append(&mut writer, &mut prepared, &config, now_ms)?;
        let end = Some((appended.base_offset, outcome));
        let producers = &mut writer.producers;
        let ended = producers.marked(producer_id, producer_epoch, coordinator_epoch, now_ms, end);
        if let Some(ended) = ended {
            let log_end = appended.last_offset + 1;
            let stable_offset = writer.producers.first_open_offset().unwrap_or(log_end);
            shared.end(&ended, stable_offset);
        }
        shared.show(&writer, appended.last_offset + 1);
        Ok(Some(appended))
    }

    /// The producers that the partition knows, by id.
    pub fn producers(&self) -> Vec<ProducerInfo> {
        lock::mutex(&self.shared.writer).producers.all()
    }

    /// Those of them with a transaction open.
    pub fn open_transactions(&self) -> Vec<ProducerInfo> {
        let mut producers = self.producers();
        producers.retain(|producer| producer.transaction_start_offset.is_some());
        producers
    }
}

impl Shared {
    /// Before the view moves: who sees the end sees how it ended.
    fn end(&self, ended: &Ended, stable_offset: i64) {
        lock::write(&self.aborted).ended(ended, stable_offset);
        if self.fsync == FsyncPolicy::Always {
            let mut view = lock::write(&self.view);
            view.unseen_ends.push((ended.first_offset, ended.last_offset));
        }
    }
}
