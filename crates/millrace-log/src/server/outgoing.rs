//! Answers on their way to the socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Buffers in a row, written without being copied together.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    buffers: VecDeque<Bytes>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, buffer: Bytes) {
        if !buffer.is_empty() {
            self.bytes += buffer.len();
            self.buffers.push_back(buffer);
        }
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.buffers.front().map_or(&[], |buffer| buffer)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.buffers);
        pairs.map(|(slice, buffer)| *slice = IoSlice::new(buffer)).count()
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.bytes, "{count} bytes were written of {}", self.bytes);
        self.bytes -= count;
        let mut left = count;
        while let Some(front) = self.buffers.front_mut() {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.buffers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_out_in_order_however_it_is_cut() {
        for step in 1..8 {
            let mut outgoing = Outgoing::default();
            for buffer in ["abc", "", "d", "efgh"] {
                outgoing.push(Bytes::from(buffer));
            }
            let mut written = Vec::new();
            while outgoing.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let count = outgoing.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                let taken = step.min(all.len());
                written.extend_from_slice(&all[..taken]);
                outgoing.advance(taken);
            }
            assert_eq!(written, b"abcdefgh");
        }
    }
}
