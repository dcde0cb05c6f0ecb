//! The bytes of a file, decompressed where its name says so.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flate2::read::MultiGzDecoder;
use millrace_core::{Error, Result};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the file's extension.
    ///
    /// # Errors
    /// `FixInput` for the compressions that Flink knows and we do not: their bytes would be taken
    /// for text.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Ok(Compression::Gzip),
            "zst" | "zstd" => Ok(Compression::Zstd),
            "bz2" | "xz" | "deflate" => Err(Error::fix_input(format!(
                "`{}` is compressed as `.{extension}`",
                path.display()
            ))
            .hint("compressed input has to be `.gz` or `.zst`")),
            _ => Ok(Compression::None),
        }
    }
}

/// A file that is read from front to back.
pub(crate) struct Input {
    path: PathBuf,
    stream: Stream,
    /// The file's length when it was opened; what is appended later is not read.
    length: u64,
    /// How many bytes of the file were read, before decompression.
    read: Arc<AtomicU64>,
}

enum Stream {
    Plain(Counting),
    Gzip(Box<MultiGzDecoder<Counting>>),
    Zstd(Box<zstd::Decoder<'static, io::BufReader<Counting>>>),
}

/// Counts what is read.
struct Counting {
    file: Take<File>,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

impl Input {
    /// Opens the file at its beginning.
    ///
    /// # Errors
    /// `FixInput` when it cannot be opened, `Retry` when it cannot now.
    pub fn open(path: &Path) -> Result<Self> {
        let compression = Compression::of(path)?;
        let file = File::open(path).map_err(|cause| io_error("open", path, cause))?;
        let length = file.metadata().map_err(|cause| io_error("open", path, cause))?.len();
        let read = Arc::new(AtomicU64::new(0));
        let counting = Counting { file: file.take(length), read: read.clone() };
        let stream = match compression {
            Compression::None => Stream::Plain(counting),
            Compression::Gzip => Stream::Gzip(Box::new(MultiGzDecoder::new(counting))),
            Compression::Zstd => Stream::Zstd(Box::new(
                zstd::Decoder::new(counting).map_err(|cause| io_error("open", path, cause))?,
            )),
        };
        Ok(Input { path: path.to_owned(), stream, length, read })
    }

    /// The file's length when it was opened, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes of the file were read so far, before decompression.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Appends up to `count` decompressed bytes to `buffer`; returns how many, 0 at the end.
    ///
    /// # Errors
    /// `FixInput` naming the file when it is damaged or became shorter, `Retry` when it cannot be
    /// read now.
    pub fn read_into(&mut self, buffer: &mut Vec<u8>, count: usize) -> Result<usize> {
        let before = buffer.len();
        buffer.resize(before + count, 0);
        let result = loop {
            let target = &mut buffer[before..];
            let result = match &mut self.stream {
                Stream::Plain(file) => file.read(target),
                Stream::Gzip(decoder) => decoder.read(target),
                Stream::Zstd(decoder) => decoder.read(target),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = result.map_err(|cause| io_error("read", &self.path, cause))?;
        buffer.truncate(before + count);
        if count == 0 {
            self.check_whole()?;
        }
        Ok(count)
    }

    fn check_whole(&self) -> Result<()> {
        match &self.stream {
            Stream::Plain(file) if file.file.limit() > 0 => Err(Error::fix_input(format!(
                "`{}` became shorter while it was being read",
                self.path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Goes to the byte at `offset` of the decompressed content; only forward.
    ///
    /// # Errors
    /// `Restore` when there are not so many; else as for reading.
    pub fn skip_to(&mut self, offset: u64, here: u64) -> Result<()> {
        let path = self.path.clone();
        let too_short = || {
            Error::restore(format!(
                "`{}` no longer has the byte at which reading is to go on ({offset})",
                path.display()
            ))
        };
        if let Stream::Plain(counting) = &mut self.stream {
            let rest = self.length.checked_sub(offset).ok_or_else(too_short)?;
            counting
                .file
                .get_mut()
                .seek(SeekFrom::Start(offset))
                .map_err(|cause| io_error("read", &self.path, cause))?;
            counting.file.set_limit(rest);
            return Ok(());
        }
        let mut left = offset.checked_sub(here).ok_or_else(too_short)?;
        let mut scratch = Vec::new();
        while left > 0 {
            scratch.clear();
            let step = left.min(128 << 10) as usize;
            match self.read_into(&mut scratch, step)? {
                0 => return Err(too_short()),
                count => left -= count as u64,
            }
        }
        Ok(())
    }
}

/// What went wrong with a file, as the caller has to treat it.
pub(crate) fn io_error(doing: &str, path: &Path, cause: io::Error) -> Error {
    use io::ErrorKind as K;
    let message = format!("cannot {doing} `{}`", path.display());
    match cause.kind() {
        K::NotFound
        | K::PermissionDenied
        | K::NotADirectory
        | K::IsADirectory
        | K::ReadOnlyFilesystem
        | K::InvalidFilename => Error::fix_input(message).caused_by(cause),
        // A file stands where the directory should be.
        K::AlreadyExists if doing == "create the directory" => {
            Error::fix_input(message).caused_by(cause)
        }
        K::InvalidData | K::InvalidInput | K::UnexpectedEof => {
            Error::fix_input(format!("{message}: it is damaged or incomplete")).caused_by(cause)
        }
        K::StorageFull | K::QuotaExceeded => Error::retry(message)
            .caused_by(cause)
            .hint("free some space; the job resumes from its last checkpoint"),
        // What zstd finds wrong with its input has no kind of its own.
        K::Other if doing == "read" => Error::fix_input(message).caused_by(cause),
        _ => Error::retry(message).caused_by(cause),
    }
}
