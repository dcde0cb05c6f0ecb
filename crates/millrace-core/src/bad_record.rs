//! Records that could not be decoded.

use std::fmt;
use std::str::FromStr;

use crate::{Error, SplitId};

/// A record that a format could not decode: what it was, where it stood, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// The split that it came from, such as a file's path.
    pub split: SplitId,
    /// Its line within the split, from 1; records that span lines name their first.
    pub line: Option<u64>,
    /// Where in the line the trouble is, in bytes from 1.
    pub column: Option<u64>,
    /// Where the record begins in the (decompressed) split, in bytes or log offsets from 0.
    pub offset: u64,
    /// What is wrong, lower-case and without a full stop.
    pub cause: String,
    /// The record's bytes, without the line end.
    pub raw: Vec<u8>,
}

/// `flights.csv:17:4: `abc` is not a BIGINT`, as compilers print it.
impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.split)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
        }
        write!(f, " {}", self.cause)
    }
}

/// What happens to a job when a record cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRecordPolicy {
    /// The job fails with the record's position and cause, and commits nothing after the last
    /// checkpoint.
    #[default]
    Fail,
    /// The record is left out and counted.
    Skip,
    /// The record goes to the source's dead-letter output and is counted.
    DeadLetter,
}

impl FromStr for BadRecordPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            "dead-letter" => Ok(Self::DeadLetter),
            other => Err(Error::fix_input(format!("`{other}` is not a way to treat bad records"))
                .hint("use `fail`, `skip` or `dead-letter`")),
        }
    }
}
