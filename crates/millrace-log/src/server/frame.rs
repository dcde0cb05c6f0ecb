//! Frames: a length of four bytes, and so many bytes.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes to read at a time where no frame says how many are missing.
const READ_BYTES: usize = 16 << 10;

/// A buffer that grew for a frame beyond this is let go.
const KEPT_BYTES: usize = 1 << 20;

/// Bytes of the length before a frame.
pub(crate) const LENGTH_BYTES: usize = 4;

/// What has come from a connection and is not yet taken as a request.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    max_bytes: usize,
    /// The length of the frame at the front, once it was read.
    announced: Option<usize>,
}

/// Why what came is not a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLength(pub(super) i32);

impl Frames {
    pub(super) fn new(max_bytes: usize) -> Self {
        Frames { buffer: BytesMut::new(), max_bytes, announced: None }
    }

    /// The length of the frame at the front, if it has come. Nothing is reserved for it yet.
    pub(super) fn announced(&mut self) -> Result<Option<usize>, BadLength> {
        if self.announced.is_none() && self.buffer.len() >= LENGTH_BYTES {
            let length = self.buffer.get_i32();
            let bytes = usize::try_from(length).map_err(|_| BadLength(length))?;
            if bytes > self.max_bytes {
                return Err(BadLength(length));
            }
            self.announced = Some(bytes);
        }
        Ok(self.announced)
    }

    /// Takes the frame at the front once it is whole. It shares the buffer's memory.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let bytes = self.announced.filter(|bytes| *bytes <= self.buffer.len())?;
        self.announced = None;
        let frame = self.buffer.split_to(bytes).freeze();
        if bytes > KEPT_BYTES && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Some(frame)
    }

    /// Whether a frame has begun to come and is not whole.
    pub(super) fn is_within(&self) -> bool {
        self.announced.is_some() || !self.buffer.is_empty()
    }

    /// Whether the length of the frame at the front is known.
    pub(super) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// What must yet come of the frame at the front.
    pub(super) fn missing_bytes(&self) -> usize {
        self.announced.map_or(0, |bytes| bytes.saturating_sub(self.buffer.len()))
    }

    /// Whether reading on serves the frame at the front, rather than those behind it.
    pub(super) fn is_short(&self) -> bool {
        self.announced.is_none_or(|bytes| bytes > self.buffer.len())
    }

    /// Bytes that have come of the frame at the front and those behind it.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Where to read to, with room for so many bytes more.
    pub(super) fn space(&mut self, bytes: usize) -> Limit<&mut BytesMut> {
        self.buffer.reserve(bytes);
        (&mut self.buffer).limit(bytes)
    }

    /// How many bytes to read when `paid_bytes` of the frame at the front may be in memory.
    pub(super) fn readable_bytes(&self, paid_bytes: usize) -> usize {
        match self.announced {
            None => READ_BYTES,
            Some(_) => {
                let paid = paid_bytes.saturating_sub(self.buffer.len());
                self.missing_bytes().min(paid).max(READ_BYTES)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(max_bytes: usize, bytes: &[u8]) -> Frames {
        let mut frames = Frames::new(max_bytes);
        frames.buffer.extend_from_slice(bytes);
        frames
    }

    #[test]
    fn a_frame_is_taken_when_its_last_byte_has_come() {
        let mut frames = filled(10, &[0, 0, 0, 3, b'a', b'b']);
        assert_eq!(frames.announced(), Ok(Some(3)));
        assert_eq!(frames.take(), None);
        frames.buffer.extend_from_slice(b"cd");
        assert_eq!(frames.take().as_deref(), Some(&b"abc"[..]));
        assert!(frames.is_within());
        assert_eq!(frames.announced(), Ok(None));
    }

    #[test]
    fn two_frames_that_came_at_once_are_taken_one_after_the_other() {
        let mut frames = filled(10, &[0, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 1, b'b']);
        for expected in [&b"a"[..], b"", b"b"] {
            frames.announced().unwrap();
            assert_eq!(frames.take().as_deref(), Some(expected));
        }
        assert!(!frames.is_within());
    }

    #[test]
    fn a_length_that_is_negative_or_above_the_limit_is_refused_before_room_is_made() {
        assert_eq!(filled(10, &[0xff, 0xff, 0xff, 0xff]).announced(), Err(BadLength(-1)));
        assert_eq!(filled(10, &[0, 0, 0, 11]).announced(), Err(BadLength(11)));
        assert_eq!(filled(10, &[0, 0, 0, 10]).announced(), Ok(Some(10)));
    }
}
