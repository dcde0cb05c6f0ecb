//! The connector `upsert-kafka`: a topic that holds the newest row of each key.

use millrace_core::{Error, Result};

use super::metadata;
use super::options::TableOptions;
use super::sink::table_sink;
use crate::{Connector, MetadataKey, SinkTable, SourceTable, TableSpec};

/// Topics as tables with a primary key.
///
/// A message's key is the primary key, its value the row: each row takes the place of the one
/// before it with the same key. Compaction keeps a topic of them small.
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

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        Err(Error::fix_input(format!(
            "table `{}` cannot be read: a topic of upserts is a changelog, and queries over \
             changelogs are not supported yet",
            table.name
        ))
        .hint("to read its messages as they come, declare a table with 'connector' = 'kafka'"))
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        if table.primary_key.is_empty() {
            return Err(Error::fix_input(format!(
                "table `{}` has no primary key, which connector `upsert-kafka` takes for the key \
                 of messages",
                table.name
            ))
            .hint("add PRIMARY KEY (…) NOT ENFORCED"));
        }
        if let Some(partitioner) = table.options.text("sink.partitioner") {
            return Err(Error::fix_input(format!(
                "option `sink.partitioner` cannot be `{partitioner}` for connector `upsert-kafka`: \
                 the rows of a key have to stay in one partition"
            )));
        }
        let sink = table_sink(table, TableOptions::of_upserts(table)?)?;
        table.options.finish(&table.name)?;
        Ok(sink)
    }
}
