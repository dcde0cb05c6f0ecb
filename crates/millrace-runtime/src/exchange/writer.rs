//! The sending side of a task.

use std::time::Duration;

use millrace_core::seam::Clock;
use millrace_core::{Barrier, Batch, Element, Error, Partitioner, Port, Result, Timestamp};
use tokio::sync::mpsc;

/// Why an element could not be sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The reader is gone; it failed, and its own error tells why.
    Disconnected,
    /// The partitioner could not read the batch.
    Failed(Error),
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        SendError::Failed(error)
    }
}

/// One edge of the graph, seen from one sending subtask.
pub(crate) enum EdgeWriter {
    /// All rows to one reader.
    Forward(mpsc::Sender<Element>),
    /// Each row to the reader that owns its key group.
    Hash {
        partitioner: Box<dyn Partitioner>,
        readers: Vec<mpsc::Sender<Element>>,
        /// Kept between calls for its capacity; empty between them.
        parts: Vec<(usize, Batch)>,
    },
    /// Batches to the readers in turn.
    Rebalance { next: usize, readers: Vec<mpsc::Sender<Element>> },
    /// Every row to every reader.
    Broadcast(Vec<mpsc::Sender<Element>>),
}

/// All edges that leave a task, and the time spent waiting for room in them.
pub(crate) struct Outputs {
    edges: Vec<OutputEdge>,
    waited: Duration,
}

struct OutputEdge {
    /// Which member of the chain sends here.
    member: usize,
    port: Port,
    writer: EdgeWriter,
}

impl Outputs {
    pub(crate) fn new(edges: impl IntoIterator<Item = (usize, Port, EdgeWriter)>) -> Self {
        let edges = edges
            .into_iter()
            .map(|(member, port, writer)| OutputEdge { member, port, writer })
            .collect();
        Outputs { edges, waited: Duration::ZERO }
    }

    /// Whether anyone reads this port.
    pub(crate) fn has_reader(&self, member: usize, port: Port) -> bool {
        self.edges.iter().any(|edge| edge.member == member && edge.port == port)
    }

    /// Sends a batch to all readers of a port, waiting for room.
    pub(crate) async fn send(
        &mut self,
        member: usize,
        port: Port,
        batch: Batch,
        clock: &dyn Clock,
    ) -> Result<(), SendError> {
        let fits = |edge: &OutputEdge| edge.member == member && edge.port == port;
        let Some(last) = self.edges.iter().rposition(fits) else {
            return Ok(());
        };
        for index in 0..last {
            if fits(&self.edges[index]) {
                self.edges[index].writer.send(batch.duplicate(), clock, &mut self.waited).await?;
            }
        }
        self.edges[last].writer.send(batch, clock, &mut self.waited).await
    }

    /// Sends a control element to every reader of every port.
    pub(crate) async fn broadcast(
        &mut self,
        control: Control,
        clock: &dyn Clock,
    ) -> Result<(), SendError> {
        for edge in &mut self.edges {
            for reader in edge.writer.readers() {
                put(reader, control.element(), clock, &mut self.waited).await?;
            }
        }
        Ok(())
    }

    /// The time spent waiting for room since this was last asked.
    pub(crate) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

/// The elements that are not rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    Watermark(Timestamp),
    Idle,
    Active,
    Barrier(Barrier),
    End,
}

impl Control {
    fn element(self) -> Element {
        match self {
            Control::Watermark(watermark) => Element::Watermark(watermark),
            Control::Idle => Element::Idle,
            Control::Active => Element::Active,
            Control::Barrier(barrier) => Element::Barrier(barrier),
            Control::End => Element::End,
        }
    }
}

impl EdgeWriter {
    fn readers(&self) -> &[mpsc::Sender<Element>] {
        match self {
            EdgeWriter::Forward(reader) => std::slice::from_ref(reader),
            EdgeWriter::Hash { readers, .. }
            | EdgeWriter::Rebalance { readers, .. }
            | EdgeWriter::Broadcast(readers) => readers,
        }
    }

    async fn send(
        &mut self,
        batch: Batch,
        clock: &dyn Clock,
        waited: &mut Duration,
    ) -> Result<(), SendError> {
        match self {
            EdgeWriter::Forward(reader) => put(reader, Element::Batch(batch), clock, waited).await,
            EdgeWriter::Hash { partitioner, readers, parts } => {
                partitioner.partition(batch, readers.len(), parts)?;
                for (target, part) in parts.drain(..) {
                    put(&readers[target], Element::Batch(part), clock, waited).await?;
                }
                Ok(())
            }
            EdgeWriter::Rebalance { next, readers } => {
                let target = *next;
                *next = (target + 1) % readers.len();
                put(&readers[target], Element::Batch(batch), clock, waited).await
            }
            EdgeWriter::Broadcast(readers) => {
                for reader in readers.iter() {
                    put(reader, Element::Batch(batch.duplicate()), clock, waited).await?;
                }
                Ok(())
            }
        }
    }
}

/// Puts an element in a channel. The clock is read only when the channel is full.
async fn put(
    reader: &mpsc::Sender<Element>,
    element: Element,
    clock: &dyn Clock,
    waited: &mut Duration,
) -> Result<(), SendError> {
    match reader.try_send(element) {
        Ok(()) => Ok(()),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(SendError::Disconnected),
        Err(mpsc::error::TrySendError::Full(element)) => {
            let before = clock.elapsed();
            let sent = reader.send(element).await;
            *waited += clock.elapsed().saturating_sub(before);
            sent.map_err(|_| SendError::Disconnected)
        }
    }
}
