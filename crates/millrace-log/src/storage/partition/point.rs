//! The recovery point: up to where a partition is known to be on the disk.
//!
//! It is written after each sync, in place and without a sync of its own: a few bytes in the page
//! cache. A process that dies leaves it exact. A loss of power may leave an older one, or none that
//! can be read; both say less, never too much.
//!
//! What is broken before the point was acknowledged, and is damage. What is broken behind it is the
//! end of an unfinished write, if the machine has run since: the page cache lost nothing, so only
//! the very end can be unfinished. If the machine was started anew, a loss of power took what the
//! fsync policy had left to it, and the log ends there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{LogError, Result};

/// Where the system says which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Version, four numbers and a checksum.
const POINT_BYTES: usize = 1 + 4 * 8 + 4;

const VERSION: u8 = 1;

/// Up to where a partition is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecoveryPoint {
    /// All records below.
    pub offset: i64,
    /// The segment that was written to,
    pub segment: i64,
    /// and so many of its bytes. All before it are on the disk whole.
    pub position: u64,
    /// Which start of the machine it was; 0 when the system does not say.
    pub boot: u64,
}

impl RecoveryPoint {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("recovery-point")
    }

    /// The file to write it to.
    pub fn open(dir: &Path) -> Result<File> {
        let path = Self::path(dir);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        options.open(&path).map_err(LogError::io("open", path))
    }

    /// Reads it; `None` when there is none that can be trusted.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("read", path)(error)),
        }
    }

    pub fn write(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.encode(), 0)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POINT_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes.extend_from_slice(&self.segment.to_be_bytes());
        bytes.extend_from_slice(&self.position.to_be_bytes());
        bytes.extend_from_slice(&self.boot.to_be_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; POINT_BYTES] = bytes.try_into().ok()?;
        let (content, crc) = bytes.split_at(POINT_BYTES - 4);
        if content[0] != VERSION || crc32c::crc32c(content).to_be_bytes() != *crc {
            return None;
        }
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&content[1 + 8 * at..9 + 8 * at]);
            u64::from_be_bytes(number)
        };
        Some(RecoveryPoint {
            offset: number(0) as i64,
            segment: number(1) as i64,
            position: number(2),
            boot: number(3),
        })
    }

    /// Whether a byte was on the disk.
    pub fn covers(&self, segment: i64, position: u64) -> bool {
        segment < self.segment || (segment == self.segment && position < self.position)
    }

    /// Whether the machine has run ever since, so that its page cache lost nothing.
    pub fn same_start(&self) -> bool {
        self.boot != 0 && self.boot == this_boot()
    }

    /// Whether the machine was started anew since.
    pub fn before_restart(&self) -> bool {
        let boot = this_boot();
        self.boot != 0 && boot != 0 && self.boot != boot
    }
}

/// Which start of the machine this is; 0 when the system does not say.
pub(super) fn this_boot() -> u64 {
    let Ok(id) = std::fs::read(BOOT_ID) else { return 0 };
    let low = u64::from(crc32c::crc32c(&id));
    let high = u64::from(crc32c::crc32c_append(1, &id));
    ((high << 32) | low).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_as_it_was_written_and_no_other_bytes_are() {
        let point = RecoveryPoint { offset: 7, segment: 3, position: 900, boot: 5 };
        let bytes = point.encode();
        assert_eq!(RecoveryPoint::decode(&bytes), Some(point));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(RecoveryPoint::decode(&flipped), None, "byte {at}");
            assert_eq!(RecoveryPoint::decode(&bytes[..at]), None);
        }
    }

    #[test]
    fn version_1_stays_readable() {
        let stored = [
            1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 3, 132, 0, 0, 0,
            0, 0, 0, 0, 5,
        ];
        let mut bytes = stored.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&stored).to_be_bytes());
        let point = RecoveryPoint { offset: 7, segment: 3, position: 900, boot: 5 };
        assert_eq!(RecoveryPoint::decode(&bytes), Some(point));
    }
}
