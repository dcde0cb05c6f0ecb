use std::collections::BTreeSet;
use std::io::{self, BufWriter, Stdout, Write};

use rdkafka::message::{BorrowedMessage, Message};

use crate::failure::Failure;
use crate::log::args::ConsumeOutput;
use crate::log::record::to_json;
use crate::stdout::failure;

/// Bytes of output that wait for the ones behind them.
const BUFFER_BYTES: usize = 64 << 10;

/// What stands for a key or value that a record does not have, outside of JSON.
const NONE: &[u8] = b"null";

/// What was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) records: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
    /// Partitions that had any.
    pub(super) partitions: usize,
}

/// Prints records to standard output.
pub(super) struct Printer {
    out: BufWriter<Stdout>,
    format: ConsumeOutput,
    left: Option<usize>,
    records: u64,
    bytes: u64,
    partitions: BTreeSet<(String, i32)>,
    last: Option<(String, i32)>,
}

impl Printer {
    pub(super) fn new(format: ConsumeOutput, max: Option<usize>) -> Self {
        Printer {
            out: BufWriter::with_capacity(BUFFER_BYTES, io::stdout()),
            format,
            left: max,
            records: 0,
            bytes: 0,
            partitions: BTreeSet::new(),
            last: None,
        }
    }

    /// Whether as many were printed as were wanted.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints a record.
    pub(super) fn print(&mut self, record: &BorrowedMessage<'_>) -> Result<(), Failure> {
        self.count(record);
        self.write(record).map_err(failure)
    }

    /// Hands over what was printed so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(failure)
    }

    /// What was printed so far.
    pub(super) fn printed(&self) -> Printed {
        Printed { records: self.records, bytes: self.bytes, partitions: self.partitions.len() }
    }

    fn count(&mut self, record: &BorrowedMessage<'_>) {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.records += 1;
        let size = record.key().map_or(0, <[u8]>::len) + record.payload().map_or(0, <[u8]>::len);
        self.bytes += size as u64;
        // Records come in runs of one partition: it is looked up once a run.
        let known = self.last.as_ref().is_some_and(|(topic, partition)| {
            *partition == record.partition() && topic == record.topic()
        });
        if !known {
            let place = (record.topic().to_owned(), record.partition());
            self.partitions.insert(place.clone());
            self.last = Some(place);
        }
    }

    fn write(&mut self, record: &BorrowedMessage<'_>) -> io::Result<()> {
        match self.format {
            ConsumeOutput::Json => self.out.write_all(to_json(record).as_bytes())?,
            ConsumeOutput::Value => self.out.write_all(record.payload().unwrap_or(NONE))?,
            ConsumeOutput::KeyValue => {
                self.out.write_all(record.key().unwrap_or(NONE))?;
                self.out.write_all(b"\t")?;
                self.out.write_all(record.payload().unwrap_or(NONE))?;
            }
        }
        self.out.write_all(b"\n")
    }
}
