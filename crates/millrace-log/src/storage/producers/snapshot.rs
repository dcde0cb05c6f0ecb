//! What a partition knows about its producers, in a file.
//!
//! The file stands for all batches before its offset, which is its name. It outlives them: a
//! producer that sends again what retention or compaction has dropped since is still known.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};

use super::{Producer, Producers, REMEMBERED_BATCHES, Sent};
use crate::storage::disk::Disk;
use crate::{LogError, Result};

const VERSION: u8 = 1;

/// A snapshot of producers and the offset that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct ProducerSnapshot {
    pub offset: i64,
    pub producers: Producers,
}

impl ProducerSnapshot {
    pub fn path(dir: &Path, offset: i64) -> PathBuf {
        dir.join(format!("{offset:020}.snapshot"))
    }

    /// Writes encoded producers, whole or not at all.
    pub fn write(
        dir: &Path,
        offset: i64,
        encoded: &[u8],
        sync: bool,
        disk: &dyn Disk,
    ) -> io::Result<()> {
        let path = Self::path(dir, offset);
        let temporary = path.with_extension("snapshot.tmp");
        let file = File::create(&temporary)?;
        disk.write(&file, &mut [IoSlice::new(encoded)])?;
        if sync {
            disk.sync(&file)?;
        }
        std::fs::rename(&temporary, &path)
    }

    /// The offsets for which there are files, newest first.
    pub fn list(dir: &Path) -> Result<Vec<i64>> {
        let mut offsets = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(LogError::io("list", dir))? {
            let path = entry.map_err(LogError::io("list", dir))?.path();
            if path.extension().is_some_and(|extension| extension == "snapshot") {
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                offsets.extend(stem.parse::<i64>().ok().filter(|offset| *offset >= 0));
            }
        }
        offsets.sort_unstable_by(|one, other| other.cmp(one));
        Ok(offsets)
    }

    /// Removes one that is of no more use.
    pub fn remove(dir: &Path, offset: i64) -> Result<()> {
        let path = Self::path(dir, offset);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LogError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Reads one; what is wrong with it, when it can't be used.
    pub fn read(dir: &Path, offset: i64) -> Result<Self, String> {
        let bytes = std::fs::read(Self::path(dir, offset)).map_err(|error| error.to_string())?;
        let snapshot = Self::decode(&bytes).ok_or("it is torn, or of another version")?;
        if snapshot.offset != offset {
            return Err(format!("it stands for offset {}", snapshot.offset));
        }
        Ok(snapshot)
    }

    /// What is written for producers that have seen all below the offset.
    pub fn encode(offset: i64, producers: &Producers) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + 64 * producers.producers.len());
        bytes.put_u8(VERSION);
        bytes.put_i64(offset);
        bytes.put_u64(producers.producers.len() as u64);
        for (id, producer) in &producers.producers {
            bytes.put_i64(*id);
            bytes.put_i16(producer.epoch);
            bytes.put_i32(producer.coordinator_epoch);
            bytes.put_i64(producer.open_since.unwrap_or(-1));
            bytes.put_i64(producer.last_timestamp_ms);
            bytes.put_i64(producer.heard_ms);
            // At most five are remembered.
            bytes.put_u8(producer.sent.len() as u8);
            for sent in &producer.sent {
                bytes.put_i32(sent.first_sequence);
                bytes.put_i32(sent.last_sequence);
                bytes.put_i64(sent.base_offset);
                bytes.put_i64(sent.last_offset);
                bytes.put_i64(sent.timestamp_ms);
            }
        }
        bytes.put_u32(crc32c::crc32c(&bytes));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(content).to_be_bytes() != *crc {
            return None;
        }
        let mut bytes = content;
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let offset = bytes.try_get_i64().ok()?;
        let count = bytes.try_get_u64().ok()?;
        let mut producers = Producers::default();
        for _ in 0..count {
            let id = bytes.try_get_i64().ok()?;
            let producer = decode_producer(&mut bytes)?;
            if let Some(first_offset) = producer.open_since {
                producers.open.insert(first_offset, id);
            }
            producers.producers.insert(id, producer);
        }
        bytes.is_empty().then_some(ProducerSnapshot { offset, producers })
    }
}

fn decode_producer(bytes: &mut &[u8]) -> Option<Producer> {
    let mut producer = Producer {
        epoch: bytes.try_get_i16().ok()?,
        coordinator_epoch: bytes.try_get_i32().ok()?,
        open_since: Some(bytes.try_get_i64().ok()?).filter(|offset| *offset >= 0),
        last_timestamp_ms: bytes.try_get_i64().ok()?,
        heard_ms: bytes.try_get_i64().ok()?,
        sent: VecDeque::new(),
    };
    let sent = usize::from(bytes.try_get_u8().ok()?);
    if sent > REMEMBERED_BATCHES {
        return None;
    }
    for _ in 0..sent {
        producer.sent.push_back(Sent {
            first_sequence: bytes.try_get_i32().ok()?,
            last_sequence: bytes.try_get_i32().ok()?,
            base_offset: bytes.try_get_i64().ok()?,
            last_offset: bytes.try_get_i64().ok()?,
            timestamp_ms: bytes.try_get_i64().ok()?,
        });
    }
    Some(producer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producers() -> Producers {
        let mut producers = Producers::default();
        let sent = Sent {
            first_sequence: 3,
            last_sequence: 4,
            base_offset: 10,
            last_offset: 11,
            timestamp_ms: 12,
        };
        let known = Producer {
            epoch: 2,
            coordinator_epoch: -1,
            sent: VecDeque::from([sent]),
            open_since: Some(10),
            last_timestamp_ms: 12,
            heard_ms: 13,
        };
        let silent = Producer { sent: VecDeque::new(), open_since: None, ..known.clone() };
        producers.producers.extend([(7, known), (8, silent)]);
        producers.open.insert(10, 7);
        producers
    }

    #[test]
    fn producers_are_read_as_they_were_written_and_no_other_bytes_are() {
        let bytes = ProducerSnapshot::encode(12, &producers());
        let snapshot = ProducerSnapshot { offset: 12, producers: producers() };
        assert_eq!(ProducerSnapshot::decode(&bytes), Some(snapshot));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(ProducerSnapshot::decode(&flipped), None, "byte {at}");
            assert_eq!(ProducerSnapshot::decode(&bytes[..at]), None);
        }
    }

    #[test]
    fn version_1_stays_readable() {
        let mut stored = vec![1];
        stored.extend(12i64.to_be_bytes());
        stored.extend(2u64.to_be_bytes());
        for (id, open_since, sent) in [(7i64, 10i64, 1), (8, -1, 0)] {
            stored.extend(id.to_be_bytes());
            stored.extend([0, 2, 255, 255, 255, 255]);
            for number in [open_since, 12, 13] {
                stored.extend(number.to_be_bytes());
            }
            stored.push(sent);
            if sent == 1 {
                stored.extend([0, 0, 0, 3, 0, 0, 0, 4]);
                for number in [10i64, 11, 12] {
                    stored.extend(number.to_be_bytes());
                }
            }
        }
        stored.extend(crc32c::crc32c(&stored).to_be_bytes());
        let snapshot = ProducerSnapshot { offset: 12, producers: producers() };
        assert_eq!(ProducerSnapshot::decode(&stored), Some(snapshot));
    }
}
