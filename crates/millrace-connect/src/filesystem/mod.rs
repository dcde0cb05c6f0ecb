//! The connector `filesystem`: files as tables.

mod input;
mod listing;
mod position;
mod record_reader;
mod source;

use std::sync::Arc;
use std::time::Duration;

use millrace_core::{BadRecordPolicy, Error, Result};

use self::listing::Listing;
use self::source::FileSource;
use crate::format::{Format, ReadSchema};
use crate::{Connector, Options, SinkTable, SourceTable, TableSpec};

/// Reads and writes local files.
#[derive(Debug)]
pub struct Filesystem;

/// The default of `max-record-bytes`.
const MAX_RECORD_BYTES: usize = 16 << 20;
/// A record and what is read beyond it must be addressable with 32 bits.
const LARGEST_RECORD_BYTES: usize = 1 << 29;

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        let options = &table.options;
        if !table.partitioned_by.is_empty() {
            return Err(Error::fix_input(format!(
                "table `{}` cannot be read: PARTITIONED BY is not supported here yet",
                table.name
            )));
        }
        let path: String = options.required("path")?;
        let format = Format::from_options(options)?;
        let monitor_interval = options
            .text("source.monitor-interval")
            .map(|text| crate::duration::parse("source.monitor-interval", text))
            .transpose()?;
        if monitor_interval == Some(Duration::ZERO) {
            return Err(Error::fix_input("option `source.monitor-interval` has to be positive"));
        }
        let bad_records = bad_record_policy(options, &format)?;
        let source = FileSource {
            listing: Listing::parse(&path)?,
            read: ReadSchema::new(table)?,
            format,
            monitor_interval,
            max_record_bytes: max_record_bytes(options)?,
        };
        options.finish(&table.name)?;
        Ok(SourceTable { source: Arc::new(source), bad_records, dead_letters: None })
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        Err(Error::fix_input(format!("table `{}` cannot be written to yet", table.name)))
    }
}

fn max_record_bytes(options: &Options) -> Result<usize> {
    match options.get("max-record-bytes")?.unwrap_or(MAX_RECORD_BYTES) {
        bytes @ 1..=LARGEST_RECORD_BYTES => Ok(bytes),
        bytes => Err(Error::fix_input(format!(
            "option `max-record-bytes` cannot be `{bytes}`: it has to be from 1 to \
             {LARGEST_RECORD_BYTES}"
        ))),
    }
}

fn bad_record_policy(options: &Options, format: &Format) -> Result<BadRecordPolicy> {
    let given: Option<BadRecordPolicy> = match options.text("bad-records") {
        Some(text) => Some(text.parse()?),
        None => None,
    };
    match (given, format.ignores_parse_errors()) {
        (None, true) => Ok(BadRecordPolicy::Skip),
        (Some(BadRecordPolicy::Fail), true) => Err(Error::fix_input(
            "options `bad-records` = `fail` and `ignore-parse-errors` = `true` exclude each other",
        )),
        (Some(BadRecordPolicy::DeadLetter), _) => {
            Err(Error::fix_input("option `bad-records` = `dead-letter` is not supported yet"))
        }
        (given, _) => Ok(given.unwrap_or_default()),
    }
}
