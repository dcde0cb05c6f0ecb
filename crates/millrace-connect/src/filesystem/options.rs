//! The options of a file table. Source and sink know the same ones, so that one table can be both.

use std::path::PathBuf;
use std::time::Duration;

use millrace_core::{BadRecordPolicy, Error, Result};

use super::listing::local_path;
use super::rolling::RollingPolicy;
use crate::dead_letter::bad_record_policy;
use crate::format::{Format, raw_in_a_file};
use crate::{Options, TableSpec, duration};

/// Flink's name of the partition for NULL.
const DEFAULT_PARTITION: &str = "__DEFAULT_PARTITION__";
/// The default of `max-record-bytes`.
const MAX_RECORD_BYTES: usize = 16 << 20;
/// A record and what is read beyond it must be addressable with 32 bits.
const LARGEST_RECORD_BYTES: usize = 1 << 29;

/// All options, read and checked.
#[derive(Debug)]
pub(crate) struct FileOptions {
    pub path: String,
    pub format: Format,
    pub monitor_interval: Option<Duration>,
    pub max_record_bytes: usize,
    pub bad_records: BadRecordPolicy,
    /// With `bad-records` = `dead-letter`.
    pub dead_letters: Option<PathBuf>,
    pub rolling: RollingPolicy,
    pub default_partition: String,
}

impl FileOptions {
    /// # Errors
    /// `FixInput` naming an option that is missing, unknown, or wrong.
    pub fn of(table: &TableSpec) -> Result<Self> {
        let options = &table.options;
        let format = Format::from_options(options)?;
        if matches!(format, Format::Raw(_)) {
            return Err(raw_in_a_file());
        }
        let bad_records = bad_record_policy(options, format.ignores_parse_errors())?;
        let parsed = FileOptions {
            path: options.required("path")?,
            monitor_interval: monitor_interval(options)?,
            max_record_bytes: max_record_bytes(options)?,
            dead_letters: dead_letter_directory(options, bad_records)?,
            rolling: RollingPolicy::from_options(options)?,
            default_partition: options
                .text("partition.default-name")
                .unwrap_or(DEFAULT_PARTITION)
                .to_owned(),
            bad_records,
            format,
        };
        options.finish(&table.name)?;
        Ok(parsed)
    }
}

fn monitor_interval(options: &Options) -> Result<Option<Duration>> {
    const NAME: &str = "source.monitor-interval";
    let interval = options.text(NAME).map(|text| duration::parse(NAME, text)).transpose()?;
    if interval == Some(Duration::ZERO) {
        return Err(Error::fix_input(format!("option `{NAME}` has to be positive")));
    }
    Ok(interval)
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

fn dead_letter_directory(options: &Options, policy: BadRecordPolicy) -> Result<Option<PathBuf>> {
    let path = options.text("bad-records.path");
    match (policy, path) {
        (BadRecordPolicy::DeadLetter, Some(path)) => Ok(Some(local_path(path)?)),
        (BadRecordPolicy::DeadLetter, None) => {
            Err(Error::fix_input("option `bad-records.path` is missing")
                .hint("`bad-records` = `dead-letter` needs a directory to write to"))
        }
        (_, Some(_)) => {
            Err(Error::fix_input("option `bad-records.path` needs `bad-records` = `dead-letter`"))
        }
        (_, None) => Ok(None),
    }
}
