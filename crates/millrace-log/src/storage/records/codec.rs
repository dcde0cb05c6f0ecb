//! The codecs of a batch's records.

use std::io::{self, Read, Write};

/// More than this many bytes of records in one batch are refused: what is small on the wire must
/// not fill the memory when it is inflated.
pub(crate) const MAX_INFLATED_BYTES: usize = 256 << 20;

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
    pub(crate) fn decompress(self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Codec::None => Ok(block.to_vec()),
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

fn read_bounded(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut records = Vec::new();
    decoder.take(MAX_INFLATED_BYTES as u64 + 1).read_to_end(&mut records)?;
    if records.len() > MAX_INFLATED_BYTES { Err(too_large()) } else { Ok(records) }
}

fn decompress_snappy(block: &[u8]) -> io::Result<Vec<u8>> {
    let mut records = Vec::new();
    // The versions are not compared: other writers than snappy-java put other numbers there.
    if !block.starts_with(&SNAPPY_JAVA_HEADER[..8]) || block.len() < SNAPPY_JAVA_HEADER.len() {
        append_snappy(block, &mut records)?;
        return Ok(records);
    }
    let mut rest = &block[SNAPPY_JAVA_HEADER.len()..];
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(snappy_cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (chunk, behind) = behind.split_at_checked(length).ok_or_else(snappy_cut)?;
        append_snappy(chunk, &mut records)?;
        rest = behind;
    }
    Ok(records)
}

fn snappy_cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a snappy block is cut off")
}

fn append_snappy(chunk: &[u8], records: &mut Vec<u8>) -> io::Result<()> {
    let inflated = snap::raw::decompress_len(chunk)?;
    let start = records.len();
    // A snappy block inflates 64 times at most, so what claims more is refused before memory is
    // taken for it.
    if inflated > chunk.len().saturating_mul(64) + 64 || start + inflated > MAX_INFLATED_BYTES {
        return Err(too_large());
    }
    records.resize(start + inflated, 0);
    snap::raw::Decoder::new().decompress(chunk, &mut records[start..])?;
    Ok(())
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
