//! Decoding of requests that may be hostile.
//!
//! The codec trusts the lengths that it reads: it reserves room for an array before its elements
//! have come, so 20 bytes can ask for 200 GB, and a failed allocation ends the process. Every
//! request is therefore decoded through a [`Guard`] first, which refuses a length that the bytes
//! left cannot hold, and bounds how many fields a request may have.
//!
//! The guard sees only the integers that the codec reads, not which of them are lengths. An integer
//! of 32 bits that is larger than what is left is answered with -2: no array, string or byte field
//! may have that length, so decoding fails there; elsewhere it changes nothing in how the rest is
//! read, and the request is decoded once more as it stands. Variable-length integers are nothing
//! but lengths in the requests of the protocol, so a large one is an error right away.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};
use kafka_protocol::protocol::{Decodable, Request};

/// Reads of the codec in one request: fields, lengths and the bytes of variable-length integers. A
/// field takes at most some 250 bytes of memory.
const MAX_READS: u32 = 2_000_000;

/// A length beyond this is tried first, by reserving what an array of it would take.
const UNTRIED_LENGTH: u64 = 1_000_000;

/// What one element of an array takes in memory, at most.
const ELEMENT_BYTES: usize = 256;

/// What no array, string or byte field may have as its length.
const IMPOSSIBLE_LENGTH: i32 = -2;

/// Decodes a request and leaves what follows it in place.
///
/// # Errors
/// What the codec says, or that a length cannot be.
pub(crate) fn decode_request<T: Request>(bytes: &mut Bytes, version: i16) -> Result<T, String> {
    // Records may be 100 MB long, which an array of that many elements could not be.
    let produces = T::KEY == <ProduceRequest as Request>::KEY;
    let element_bytes = if produces { size_of::<TopicProduceData>() } else { ELEMENT_BYTES };
    decode_guarded(bytes, version, element_bytes)
}

/// Decodes a message inside a request, such as a consumer's subscription.
///
/// # Errors
/// What the codec says, or that a length cannot be.
pub(crate) fn decode<T: Decodable>(bytes: &mut Bytes, version: i16) -> Result<T, String> {
    decode_guarded(bytes, version, ELEMENT_BYTES)
}

fn decode_guarded<T: Decodable>(
    bytes: &mut Bytes,
    version: i16,
    element_bytes: usize,
) -> Result<T, String> {
    let mut guard = Guard::new(bytes.clone(), element_bytes);
    let message = T::decode(&mut guard, version).map_err(|error| error.to_string())?;
    if guard.answered_otherwise {
        return T::decode(bytes, version).map_err(|error| error.to_string());
    }
    *bytes = guard.bytes;
    Ok(message)
}

/// Stands between the codec and the bytes.
struct Guard {
    bytes: Bytes,
    reads_left: u32,
    element_bytes: usize,
    /// The value so far and the next shift of a variable-length integer in progress.
    varint: (u64, u32),
    /// An integer was answered with [`IMPOSSIBLE_LENGTH`].
    answered_otherwise: bool,
}

impl Guard {
    fn new(bytes: Bytes, element_bytes: usize) -> Self {
        Guard {
            bytes,
            reads_left: MAX_READS,
            element_bytes,
            varint: (0, 0),
            answered_otherwise: false,
        }
    }

    fn refusal(&self, requested: usize) -> TryGetError {
        TryGetError { requested, available: self.bytes.len() }
    }

    /// Whether so many elements can follow: each takes a byte at least.
    fn may_follow(&self, length: u64) -> bool {
        let Ok(count) = usize::try_from(length) else { return false };
        count <= self.bytes.len()
            && (length <= UNTRIED_LENGTH
                || Vec::<u8>::new().try_reserve_exact(count * self.element_bytes).is_ok())
    }

    fn count_read(&mut self) -> Result<(), TryGetError> {
        self.reads_left =
            self.reads_left.checked_sub(1).ok_or_else(|| self.refusal(self.bytes.len() + 1))?;
        Ok(())
    }
}

impl Buf for Guard {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.reads_left = self.reads_left.saturating_sub(1);
        self.varint = (0, 0);
        self.bytes.advance(count);
    }

    /// A boolean or a byte of a variable-length integer. Should a boolean look like the beginning
    /// of one, the integer after it seems larger than it is, never smaller.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        self.count_read()?;
        let byte = self.bytes.try_get_u8()?;
        let (value, shift) = self.varint;
        let value = value | u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(u64::MAX);
        // Compact lengths count from one, zero being null.
        if shift > 35 || !self.may_follow(value.saturating_sub(1)) {
            return Err(self.refusal(usize::try_from(value).unwrap_or(usize::MAX)));
        }
        self.varint = if byte & 0x80 == 0 { (0, 0) } else { (value, shift + 7) };
        Ok(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.count_read()?;
        self.varint = (0, 0);
        let value = self.bytes.try_get_i32()?;
        if u64::try_from(value).is_ok_and(|length| !self.may_follow(length)) {
            self.answered_otherwise = true;
            return Ok(IMPOSSIBLE_LENGTH);
        }
        Ok(value)
    }
}

impl ByteBuf for Guard {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.varint = (0, 0);
        self.bytes.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        self.count_read().map_err(|_| NotEnoughBytesError)?;
        if size > self.bytes.len() {
            return Err(NotEnoughBytesError);
        }
        Ok(self.get_bytes(size))
    }
}

#[cfg(test)]
mod tests;
