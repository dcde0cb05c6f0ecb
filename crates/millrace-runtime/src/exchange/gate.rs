//! The receiving side of a task: many channels, read in turn, and barrier alignment.
//!
//! # Alignment
//!
//! When a barrier comes in one channel, that channel is not read any more until the same barrier
//! has come in all the others (Carbone et al., *Lightweight Asynchronous Snapshots*). What follows
//! the barrier waits in the channel, whose bound holds its sender back. A channel that ended counts
//! as aligned: all it will ever send came before. Only one checkpoint is under way at a time and
//! each barrier reaches every channel that has not ended, so an alignment always completes.

use std::task::{Context, Poll};

use millrace_core::{Barrier, Batch, Element, Error, Result, Timestamp};
use tokio::sync::mpsc;

/// One channel from one upstream subtask.
pub(crate) struct InputChannel {
    /// Which input of the operator it feeds.
    pub(crate) input: usize,
    /// Where elements come from.
    pub(crate) receiver: mpsc::Receiver<Element>,
}

/// What comes out of the gate.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Rows for an input.
    Batch { input: usize, batch: Batch },
    /// A channel's watermark.
    Watermark { channel: usize, watermark: Timestamp },
    /// A channel fell silent, or speaks again.
    Idle { channel: usize, idle: bool },
    /// This barrier has come in every channel.
    Aligned(Barrier),
    /// Every channel has ended.
    AllEnded,
    /// A sender is gone without `End`; it failed, and its own error tells why.
    Disconnected,
}

/// All input channels of a task.
pub(crate) struct InputGate {
    channels: Vec<Channel>,
    /// The barrier that is being aligned.
    aligning: Option<Barrier>,
    /// The channel to ask first, so that none starves.
    turn: usize,
    ended: usize,
}

struct Channel {
    input: usize,
    receiver: mpsc::Receiver<Element>,
    state: ChannelState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    Open,
    /// Its barrier came; it waits for the others.
    Aligned,
    Ended,
}

impl InputGate {
    pub(crate) fn new(channels: Vec<InputChannel>) -> Self {
        let channels = channels
            .into_iter()
            .map(|InputChannel { input, receiver }| Channel {
                input,
                receiver,
                state: ChannelState::Open,
            })
            .collect();
        InputGate { channels, aligning: None, turn: 0, ended: 0 }
    }

    /// How many channels there are.
    pub(crate) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// The next arrival. Cancelled without loss. Not to be called after `AllEnded`.
    pub(crate) async fn next(&mut self) -> Result<Arrival> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next arrival if one is there already.
    pub(crate) fn try_next(&mut self) -> Option<Result<Arrival>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.poll_next(&mut context) {
            Poll::Ready(arrival) => Some(arrival),
            Poll::Pending => None,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Arrival>> {
        loop {
            let Poll::Ready((channel, element)) = self.poll_element(context) else {
                return Poll::Pending;
            };
            if let Some(arrival) = self.admit(channel, element).transpose() {
                return Poll::Ready(arrival);
            }
        }
    }

    fn poll_element(&mut self, context: &mut Context<'_>) -> Poll<(usize, Option<Element>)> {
        for step in 0..self.channels.len() {
            let index = (self.turn + step) % self.channels.len();
            let channel = &mut self.channels[index];
            if channel.state != ChannelState::Open {
                continue;
            }
            if let Poll::Ready(element) = channel.receiver.poll_recv(context) {
                self.turn = index + 1;
                return Poll::Ready((index, element));
            }
        }
        Poll::Pending
    }

    /// Takes an element in; `None` when it changes nothing that the task must know of yet.
    fn admit(&mut self, channel: usize, element: Option<Element>) -> Result<Option<Arrival>> {
        let Some(element) = element else {
            return Ok(Some(Arrival::Disconnected));
        };
        Ok(match element {
            Element::Batch(batch) => {
                Some(Arrival::Batch { input: self.channels[channel].input, batch })
            }
            Element::Watermark(watermark) => Some(Arrival::Watermark { channel, watermark }),
            Element::Idle => Some(Arrival::Idle { channel, idle: true }),
            Element::Active => Some(Arrival::Idle { channel, idle: false }),
            Element::Barrier(barrier) => {
                match self.aligning {
                    Some(current) if current != barrier => {
                        return Err(Error::report(format!(
                            "barrier of checkpoint {} overtook that of checkpoint {}",
                            barrier.checkpoint, current.checkpoint
                        )));
                    }
                    _ => self.aligning = Some(barrier),
                }
                self.channels[channel].state = ChannelState::Aligned;
                self.aligned()
            }
            Element::End => {
                self.channels[channel].state = ChannelState::Ended;
                self.ended += 1;
                match self.aligned() {
                    Some(aligned) => Some(aligned),
                    None => (self.ended == self.channels.len()).then_some(Arrival::AllEnded),
                }
            }
        })
    }

    /// Completes the alignment if no channel is missing.
    fn aligned(&mut self) -> Option<Arrival> {
        let barrier = self.aligning?;
        if self.channels.iter().any(|channel| channel.state == ChannelState::Open) {
            return None;
        }
        for channel in &mut self.channels {
            if channel.state == ChannelState::Aligned {
                channel.state = ChannelState::Open;
            }
        }
        self.aligning = None;
        Some(Arrival::Aligned(barrier))
    }
}

#[cfg(test)]
mod tests {
    use millrace_core::{CheckpointId, Records};

    use super::*;

    fn gate(channels: usize) -> (Vec<mpsc::Sender<Element>>, InputGate) {
        let (senders, inputs) = (0..channels)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(16);
                (sender, InputChannel { input: 0, receiver })
            })
            .unzip();
        (senders, InputGate::new(inputs))
    }

    fn barrier(id: u64) -> Element {
        Element::Barrier(Barrier { checkpoint: CheckpointId(id), full: false, stop: false })
    }

    fn row(value: u32) -> Element {
        Element::Batch(Batch::new(Records::new(vec![value], vec![Timestamp::MIN])))
    }

    /// Everything that is there, written as a script.
    fn drain(gate: &mut InputGate) -> Vec<String> {
        let mut script = Vec::new();
        while let Some(arrival) = gate.try_next() {
            script.push(match arrival.unwrap() {
                Arrival::Batch { batch, .. } => {
                    format!("{}", batch.downcast::<Records<u32>>().unwrap().values[0])
                }
                Arrival::Aligned(barrier) => format!("aligned {}", barrier.checkpoint),
                Arrival::AllEnded => {
                    script.push("ended".into());
                    break;
                }
                other => format!("{other:?}"),
            });
        }
        script
    }

    #[test]
    fn rows_behind_a_barrier_wait_until_it_came_everywhere() {
        let (senders, mut gate) = gate(2);
        for element in [row(1), barrier(7), row(3)] {
            senders[0].try_send(element).unwrap();
        }
        senders[1].try_send(row(2)).unwrap();
        let mut before = drain(&mut gate);
        before.sort();
        assert_eq!(before, ["1", "2"]);
        senders[1].try_send(barrier(7)).unwrap();
        assert_eq!(drain(&mut gate), ["aligned 7", "3"]);
    }

    #[test]
    fn an_ended_channel_counts_as_aligned() {
        let (senders, mut gate) = gate(2);
        senders[0].try_send(barrier(1)).unwrap();
        senders[0].try_send(Element::End).unwrap();
        assert_eq!(drain(&mut gate), Vec::<String>::new());
        senders[1].try_send(Element::End).unwrap();
        assert_eq!(drain(&mut gate), ["aligned 1", "ended"]);
    }

    #[test]
    fn a_sender_that_vanishes_is_noticed() {
        let (mut senders, mut gate) = gate(2);
        senders.pop();
        assert!(matches!(gate.try_next(), Some(Ok(Arrival::Disconnected))));
    }

    #[test]
    fn no_channel_starves() {
        let (senders, mut gate) = gate(2);
        for value in 0..4 {
            senders[0].try_send(row(value)).unwrap();
            senders[1].try_send(row(10 + value)).unwrap();
        }
        assert_eq!(drain(&mut gate), ["0", "10", "1", "11", "2", "12", "3", "13"]);
    }
}
