//! Driving an operator by hand, for tests.
//!
//! [`OperatorHarness`] does what a task does around an operator: opens it, counts incoming and
//! outgoing rows, repeats calls that have more to give, and keeps the chain of its snapshots.

use millrace_core::{
    Batch, CheckpointId, Collector, KeyGroups, LedgerCounts, Operator, OperatorContext, OperatorId,
    Payload, Port, Progress, Records, Restored, Result, Snapshot, SnapshotRequest, Subtask,
    Timestamp,
};

/// An operator between a script of elements and its outputs.
///
/// ```
/// use std::time::Duration;
/// use millrace_core::{Batch, Port, Records, Timestamp};
/// use millrace_runtime::testing::OperatorHarness;
/// use millrace_runtime::window::{WindowOperator, WindowResult, WindowSpec, count};
///
/// let at = Timestamp::from_millis;
/// let window = WindowSpec::tumbling(Duration::from_millis(10), Duration::ZERO).unwrap();
/// let operator = WindowOperator::new(window, |word: &&'static str| word.len(), count());
/// let mut harness = OperatorHarness::new(operator).unwrap();
///
/// harness.batch(Batch::new(Records::new(vec!["a", "bc", "d"], vec![at(1), at(2), at(3)]))).unwrap();
/// harness.watermark(at(9)).unwrap();
/// let results = harness.take_records::<WindowResult<usize, u64>>(Port::MAIN);
/// let counts: Vec<_> = results.iter().map(|(row, _)| (row.key, row.value)).collect();
/// assert_eq!(counts, [(1, 2), (2, 1)]);
/// ```
pub struct OperatorHarness<O> {
    operator: O,
    collected: Collected,
    checkpoint: CheckpointId,
    chain: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Collected {
    outputs: Vec<(Port, Batch)>,
    ledger: LedgerCounts,
}

impl Collector for Collected {
    fn emit(&mut self, port: Port, batch: Batch) -> Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        if self.ledger.rows_out.len() <= port.0 {
            self.ledger.rows_out.resize(port.0 + 1, 0);
        }
        self.ledger.rows_out[port.0] += batch.rows() as u64;
        self.outputs.push((port, batch));
        Ok(())
    }

    fn ledger(&mut self) -> &mut LedgerCounts {
        &mut self.ledger
    }
}

/// The context of subtask `index` of `parallelism`, with output batches of `batch_rows`.
pub fn operator_context(index: usize, parallelism: usize, batch_rows: usize) -> OperatorContext {
    OperatorContext {
        id: OperatorId::new("under-test"),
        subtask: Subtask { index, parallelism },
        key_groups: KeyGroups::default(),
        batch_rows,
    }
}

impl<O: Operator> OperatorHarness<O> {
    /// Opens the operator as the only subtask.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn new(operator: O) -> Result<Self> {
        Self::restored(operator, &operator_context(0, 1, 1_024), Vec::new())
    }

    /// Opens the operator with a context, and gives it the chains of a checkpoint, if there are
    /// any.
    ///
    /// # Errors
    /// Those of `open` and `restore`.
    pub fn restored(
        mut operator: O,
        context: &OperatorContext,
        chains: Vec<Vec<Vec<u8>>>,
    ) -> Result<Self> {
        operator.open(context)?;
        let restored = Restored { chains };
        if !restored.is_empty() {
            operator.restore(restored)?;
        }
        Ok(OperatorHarness {
            operator,
            collected: Collected::default(),
            checkpoint: CheckpointId(0),
            chain: Vec::new(),
        })
    }

    /// Gives the operator a batch, at input 0.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn batch(&mut self, batch: Batch) -> Result<()> {
        self.collected.ledger.rows_in += batch.rows() as u64;
        self.operator.process(0, batch, &mut self.collected)
    }

    /// Moves event time on; gives back how many calls that took.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<usize> {
        let mut calls = 1;
        while self.operator.watermark(watermark, &mut self.collected)? == Progress::More {
            calls += 1;
        }
        Ok(calls)
    }

    /// Ends the input.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn end(&mut self) -> Result<()> {
        while self.operator.end(&mut self.collected)? == Progress::More {}
        Ok(())
    }

    /// Takes a snapshot and adds it to the chain, as the runtime would; says of which kind it was.
    ///
    /// # Errors
    /// Those of the operator and of encoding.
    ///
    /// # Panics
    /// When the answer does not fit the question.
    pub fn snapshot(&mut self, full: bool) -> Result<&'static str> {
        self.checkpoint = self.checkpoint.next();
        let request = SnapshotRequest { checkpoint: self.checkpoint, full };
        match self.operator.snapshot(request)? {
            Snapshot::Empty => {
                self.chain.clear();
                Ok("empty")
            }
            Snapshot::Unchanged => {
                assert!(!full, "`unchanged` does not answer a full request");
                Ok("unchanged")
            }
            Snapshot::Full(encode) => {
                self.chain = vec![encode()?];
                Ok("full")
            }
            Snapshot::Delta(encode) => {
                assert!(!full, "a delta does not answer a full request");
                assert!(!self.chain.is_empty(), "a delta follows a full snapshot");
                self.chain.push(encode()?);
                Ok("delta")
            }
        }
    }

    /// The chain of snapshots so far.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }

    /// What the operator has put out at a port since this was last asked.
    pub fn take(&mut self, port: Port) -> Vec<Batch> {
        let outputs = std::mem::take(&mut self.collected.outputs);
        let (taken, left) = outputs.into_iter().partition(|(at, _)| *at == port);
        self.collected.outputs = left;
        let taken: Vec<(Port, Batch)> = taken;
        taken.into_iter().map(|(_, batch)| batch).collect()
    }

    /// As [`OperatorHarness::take`], as rows with their timestamps.
    ///
    /// # Panics
    /// When a batch is of another type.
    pub fn take_records<T>(&mut self, port: Port) -> Vec<(T, Timestamp)>
    where
        Records<T>: Payload,
    {
        let batches = self.take(port).into_iter();
        batches
            .flat_map(|batch| {
                let records: Records<T> = batch.downcast().expect("batches of the named type");
                records.values.into_iter().zip(records.timestamps)
            })
            .collect()
    }

    /// The ledger so far.
    pub fn ledger(&self) -> &LedgerCounts {
        &self.collected.ledger
    }

    /// The operator.
    pub fn operator(&self) -> &O {
        &self.operator
    }
}
