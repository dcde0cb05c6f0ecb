//! The connector `upsert-kafka`: a topic that holds the newest row of each key.

use millrace_core::{Error, Result};

use super::metadata;
use super::offsets::Bounds;
use super::options::TableOptions;
use super::rows::Reading;
use super::sink::table_sink;
use super::{SOURCE_OPTIONS, pass_over, table_source};
use crate::{ChangelogMode, Connector, MetadataKey, SinkTable, SourceTable, TableSpec};

/// Topics as tables with a primary key.
///
/// A message's key is the primary key, its value the row: each row takes the place of the one
/// before it with the same key, and a message without a value deletes it. Compaction keeps a topic
/// of them small.
#[derive(Debug)]
pub struct UpsertKafka;

impl Connector for UpsertKafka {
    fn name(&self) -> &'static str {
        "upsert-kafka"
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        metadata::keys()
    }

    fn missing_metadata(&self, key: &str) -> Option<&'static str> {
        metadata::why_missing(key)
    }

    fn gives(&self) -> ChangelogMode {
        ChangelogMode::Upsert
    }

    fn takes(&self) -> ChangelogMode {
        ChangelogMode::Upsert
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        check_primary_key(table)?;
        let options = &table.options;
        if let Some(option) = options.names_under("scan.startup.").first() {
            return Err(Error::fix_input(format!(
                "option `{option}` cannot be set for connector `upsert-kafka`: a table is made of \
                 all its changes, which are read from the first one on"
            )));
        }
        let common = TableOptions::of_upserts(table)?;
        let bounds = Bounds::from_the_beginning(options, &common.topics, &common.client)?;
        table_source(table, common, bounds, Reading::Upserts)
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        check_primary_key(table)?;
        if let Some(partitioner) = table.options.text("sink.partitioner") {
            return Err(Error::fix_input(format!(
                "option `sink.partitioner` cannot be `{partitioner}` for connector `upsert-kafka`: \
                 the rows of a key have to stay in one partition"
            )));
        }
        let sink = table_sink(table, TableOptions::of_upserts(table)?, true)?;
        let of_reading = SOURCE_OPTIONS.iter().filter(|name| !name.starts_with("scan.startup."));
        pass_over(&table.options, of_reading);
        table.options.finish(&table.name)?;
        Ok(sink)
    }
}

fn check_primary_key(table: &TableSpec) -> Result<()> {
    if !table.primary_key.is_empty() {
        return Ok(());
    }
    Err(Error::fix_input(format!(
        "table `{}` has no primary key, which connector `upsert-kafka` takes for the key of messages",
        table.name
    ))
    .hint("add PRIMARY KEY (…) NOT ENFORCED"))
}
