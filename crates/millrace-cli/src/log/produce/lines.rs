//! Lines of an input that may block for ever, such as a terminal.
//!
//! A thread of its own reads, so that a signal is answered while nothing comes. Lines travel in
//! chunks, as many as were there: one by one for a person, thousands for a file.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use millrace_core::seam::Seams;

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// Chunks that wait to be sent; the reader waits when there are more.
const WAITING_CHUNKS: usize = 8;

/// A line of more bytes is an error: no record can be so large.
const MAX_LINE_BYTES: usize = 1_000_000_000;

/// What has come.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Nothing in this time.
    None,
    /// Whole lines.
    Lines(Whole),
    /// There is no more.
    End,
    /// The input can't be read.
    Failed(io::Error),
}

/// One or more whole lines; each but the last ends with a line feed.
#[derive(Debug)]
pub(super) struct Whole(Vec<u8>);

impl Whole {
    /// The lines without their ends: a line feed, or carriage return and line feed.
    pub(super) fn split(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// The lines of an input.
pub(super) struct Lines(Receiver<io::Result<Whole>>);

impl Lines {
    /// Begins to read.
    pub(super) fn of(input: Box<dyn Read + Send>, seams: &Seams) -> Self {
        let (send, receive) = sync_channel(WAITING_CHUNKS);
        // It ends with its input, or with the process: nothing else ends a blocked read.
        drop(seams.spawner.spawn_blocking(Box::new(move || read(input, &send))));
        Lines(receive)
    }

    /// What comes within `timeout`.
    pub(super) fn next(&mut self, timeout: Duration) -> Chunk {
        match self.0.recv_timeout(timeout) {
            Ok(Ok(lines)) => Chunk::Lines(lines),
            Ok(Err(error)) => Chunk::Failed(error),
            Err(RecvTimeoutError::Timeout) => Chunk::None,
            Err(RecvTimeoutError::Disconnected) => Chunk::End,
        }
    }
}

fn read(mut input: Box<dyn Read + Send>, send: &SyncSender<io::Result<Whole>>) {
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = send.send(Err(error));
                return;
            }
        };
        let new = &buffer[..length];
        match new.iter().rposition(|byte| *byte == b'\n') {
            None => pending.extend_from_slice(new),
            Some(last) => {
                pending.extend_from_slice(&new[..=last]);
                let lines = std::mem::replace(&mut pending, new[last + 1..].to_vec());
                // Nobody receives once the command is over.
                if send.send(Ok(Whole(lines))).is_err() {
                    return;
                }
            }
        }
        if pending.len() > MAX_LINE_BYTES {
            let _ = send.send(Err(io::Error::other("a line has more than 1,000,000,000 bytes")));
            return;
        }
    }
    if !pending.is_empty() {
        let _ = send.send(Ok(Whole(pending)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Dripping(Vec<u8>, usize);

    impl Read for Dripping {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    fn lines(text: &str, at_once: usize) -> Vec<String> {
        let (send, receive) = sync_channel(1_000);
        read(Box::new(Dripping(text.as_bytes().to_vec(), at_once)), &send);
        drop(send);
        let chunks: Vec<Whole> = receive.iter().map(Result::unwrap).collect();
        let lines = chunks.iter().flat_map(Whole::split);
        lines.map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_read() {
        for at_once in [1, 2, 3, 5, 100] {
            assert_eq!(lines("a\nbc\r\n\nd", at_once), ["a", "bc", "", "d"], "{at_once} at once");
            assert_eq!(lines("\n\nx\n", at_once), ["", "", "x"], "{at_once} at once");
            assert!(lines("", at_once).is_empty());
        }
    }
}
