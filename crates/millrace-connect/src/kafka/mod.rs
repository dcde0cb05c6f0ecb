//! The connector `kafka`: topics as tables, of Apache Kafka or of the embedded log.
//!
//! It is the only part of the crate that knows librdkafka (feature `kafka`).

mod client;
mod options;
mod properties;
mod sink;
mod upsert;
mod wire;

use millrace_core::{Error, Result};

use self::options::TableOptions;
pub use self::sink::{DeliveryGuarantee, KafkaSink, KafkaSinkBuilder};
pub use self::upsert::UpsertKafka;
use crate::{Connector, SinkTable, SourceTable, TableSpec};

/// Topics of Apache Kafka or of the embedded log.
#[derive(Debug)]
pub struct Kafka;

impl Connector for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        TableOptions::of(table)?;
        Err(Error::fix_input(format!(
            "table `{}` cannot be read: connector `kafka` only knows its options so far",
            table.name
        )))
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        let common = TableOptions::of(table)?;
        let sink = sink::table_sink(table, common)?;
        table.options.finish(&table.name)?;
        Ok(sink)
    }
}
