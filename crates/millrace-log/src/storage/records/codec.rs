//! The codecs of a batch's records.

use std::io::{self, Read, Write};
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More than this many bytes of records in one batch are refused: what is small on the wire must
/// not fill the memory when it is inflated.
pub(crate) const MAX_INFLATED_BYTES: usize = 256 << 20;

/// What inflates to more than this does so alone in the process, as long as it is in memory: a
/// megabyte from each of a thousand clients must not become a megabyte times thousand times 256.
const ALONE_BYTES: usize = 8 << 20;

/// Who inflates much.
static ALONE: Mutex<()> = Mutex::new(());

/// The records of a batch that was compressed. While it lives no other large one comes into being,
/// so that a thread must not hold two.
#[derive(Debug)]
pub(crate) struct Inflated {
    records: Vec<u8>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Deref for Inflated {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.records
    }
}

/// In front of blocks as snappy-java writes them: magic, version, oldest compatible version.
const SNAPPY_JAVA_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// The size of snappy-java's blocks.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy, in snappy-java's framing or as one raw block.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// The codec of the number in a batch's attributes.
    pub fn from_id(id: i16) -> Option<Self> {
        Some(match id {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => return None,
        })
    }

    /// The number in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// Inflates `block`.
    ///
    /// # Errors
    /// When the block is damaged, or has more than [`MAX_INFLATED_BYTES`] in it.
    pub(crate) fn decompress(self, block: &[u8]) -> io::Result<Inflated> {
        match self {
            Codec::None => Ok(Inflated { records: block.to_vec(), _alone: None }),
            Codec::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(block)),
            Codec::Snappy => decompress_snappy(block),
            Codec::Lz4 => read_bounded(lz4::Decoder::new(block)?),
            Codec::Zstd => read_bounded(zstd::stream::read::Decoder::with_buffer(block)?),
        }
    }

    /// Deflates `records`; `level` of gzip, lz4 and zstd, `None` for the codec's own default.
    ///
    /// # Errors
    /// When a level is not one of the codec's.
    pub(crate) fn compress(self, records: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
        match self {
            Codec::None => Ok(records.to_vec()),
            Codec::Gzip => {
                let level = level.map_or(flate2::Compression::default(), |level| {
                    flate2::Compression::new(level.clamp(1, 9) as u32)
                });
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(records)?;
                encoder.finish()
            }
            Codec::Snappy => compress_snappy(records),
            Codec::Lz4 => {
                let level = level.unwrap_or(9).clamp(1, 17) as u32;
                let mut encoder = lz4::EncoderBuilder::new()
                    .level(level)
                    .block_mode(lz4::BlockMode::Independent)
                    .build(Vec::new())?;
                encoder.write_all(records)?;
                let (block, result) = encoder.finish();
                result.map(|()| block)
            }
            Codec::Zstd => zstd::stream::encode_all(records, level.unwrap_or(3)),
        }
    }
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a batch must not inflate to more than {MAX_INFLATED_BYTES} bytes"),
    )
}

fn alone() -> MutexGuard<'static, ()> {
    // It guards no data that a panic could have left half done.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_bounded(mut decoder: impl Read) -> io::Result<Inflated> {
    let mut records = Vec::new();
    decoder.by_ref().take(ALONE_BYTES as u64).read_to_end(&mut records)?;
    if records.len() < ALONE_BYTES {
        return Ok(Inflated { records, _alone: None });
    }
    let alone = alone();
    let more = (MAX_INFLATED_BYTES - records.len()) as u64 + 1;
    decoder.take(more).read_to_end(&mut records)?;
    if records.len() > MAX_INFLATED_BYTES {
        return Err(too_large());
    }
    Ok(Inflated { records, _alone: Some(alone) })
}

fn decompress_snappy(block: &[u8]) -> io::Result<Inflated> {
    let chunks = snappy_chunks(block)?;
    let mut inflated_bytes = 0;
    for chunk in &chunks {
        let claimed = snap::raw::decompress_len(chunk)?;
        inflated_bytes += claimed;
        // A chunk inflates 64 times at most, so what claims more is refused before memory is taken
        // for it.
        if claimed > chunk.len().saturating_mul(64) + 64 || inflated_bytes > MAX_INFLATED_BYTES {
            return Err(too_large());
        }
    }
    let alone = (inflated_bytes >= ALONE_BYTES).then(alone);
    let mut records = vec![0; inflated_bytes];
    let mut end = 0;
    for chunk in chunks {
        end += snap::raw::Decoder::new().decompress(chunk, &mut records[end..])?;
    }
    Ok(Inflated { records, _alone: alone })
}

/// The blocks of snappy-java's framing, or the one that all is.
fn snappy_chunks(block: &[u8]) -> io::Result<Vec<&[u8]>> {
    // The versions are not compared: other writers than snappy-java put other numbers there.
    if !block.starts_with(&SNAPPY_JAVA_HEADER[..8]) || block.len() < SNAPPY_JAVA_HEADER.len() {
        return Ok(vec![block]);
    }
    let mut chunks = Vec::new();
    let mut rest = &block[SNAPPY_JAVA_HEADER.len()..];
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(snappy_cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (chunk, behind) = behind.split_at_checked(length).ok_or_else(snappy_cut)?;
        chunks.push(chunk);
        rest = behind;
    }
    Ok(chunks)
}

fn snappy_cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a snappy block is cut off")
}

fn compress_snappy(records: &[u8]) -> io::Result<Vec<u8>> {
    let mut block = SNAPPY_JAVA_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for part in records.chunks(SNAPPY_BLOCK_BYTES) {
        let chunk = encoder.compress_vec(part)?;
        block.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
        block.extend_from_slice(&chunk);
    }
    Ok(block)
}
