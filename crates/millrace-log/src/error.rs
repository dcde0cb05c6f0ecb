//! The errors of the log, and the codes that clients see for them.

use std::io;
use std::path::PathBuf;

use kafka_protocol::error::ResponseError;

/// A result with the [`LogError`] of this crate.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// Why the log could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The request can't be served, for a reason that the protocol has a code for. Nothing was
    /// written.
    #[error("{0}")]
    Refused(ResponseError),
    /// As [`LogError::Refused`], with what the client is told beside the code.
    #[error("{message}")]
    Rejected {
        /// The protocol's code.
        code: ResponseError,
        /// The reason, for whoever reads the client's error.
        message: String,
    },
    /// As [`LogError::Rejected`], because of some records of a batch. None of it was written.
    #[error("{}", .records.first().map_or("", |first| first.message.as_str()))]
    RejectedRecords {
        /// The protocol's code.
        code: ResponseError,
        /// The first of them, in their order.
        records: Vec<RejectedRecord>,
    },
    /// A file can't be read or written. A write that failed so may have happened in part; the next
    /// start cuts off what is torn.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried: `open`, `write`, `sync`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A stored file is damaged where a torn write cannot explain it.
    #[error("`{path}` is damaged at byte {position}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The data directory is in use by another process.
    #[error("`{path}` is in use by another process{}", .holder.as_ref().map(|h| format!(" ({h})")).unwrap_or_default())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// What the holder wrote about itself: its process id and address.
        holder: Option<String>,
    },
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its place in its batch, from 0 on.
    pub index: i32,
    /// The reason, for whoever reads the client's error.
    pub message: String,
}

impl LogError {
    /// An [`LogError::Io`] for `map_err`.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> LogError {
        let path = path.into();
        move |source| LogError::Io { action, path, source }
    }

    /// A [`LogError::Rejected`].
    pub fn rejected(code: ResponseError, message: impl Into<String>) -> LogError {
        LogError::Rejected { code, message: message.into() }
    }

    /// The code that a client gets.
    pub fn code(&self) -> ResponseError {
        match self {
            LogError::Refused(code)
            | LogError::Rejected { code, .. }
            | LogError::RejectedRecords { code, .. } => *code,
            LogError::Io { .. } | LogError::Damaged { .. } => ResponseError::KafkaStorageError,
            LogError::InUse { .. } | LogError::Config(_) => ResponseError::UnknownServerError,
        }
    }
}

impl From<ResponseError> for LogError {
    fn from(code: ResponseError) -> Self {
        LogError::Refused(code)
    }
}
