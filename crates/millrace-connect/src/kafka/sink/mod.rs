//! Writing to topics.

mod dead_letter;
mod guarantee;
mod outbox;
mod outgoing;
mod plain_writer;
mod table;
mod topic_sink;
mod transaction;
mod typed;

use std::sync::Arc;

use millrace_core::{Error, Result};

pub(crate) use self::dead_letter::dead_letter_topic;
pub use self::guarantee::DeliveryGuarantee;
use self::table::{Partitioning, TableSerialization};
use self::topic_sink::TopicSink;
pub use self::typed::{KafkaSink, KafkaSinkBuilder};
use super::options::{TableOptions, Topics};
use crate::{SinkTable, TableSpec};

/// Opens a table for writing. `common` are the options that reading and writing share; with
/// `upserts` it takes changes of rows, by their primary key.
///
/// # Errors
/// `FixInput` naming what cannot be written to, and options that are missing, unknown or wrong.
pub(crate) fn table_sink(
    table: &TableSpec,
    common: TableOptions,
    upserts: bool,
) -> Result<SinkTable> {
    let options = &table.options;
    let topic = match &common.topics {
        Topics::List(names) => match names.as_slice() {
            [name] => name.clone(),
            names => {
                return Err(Error::fix_input(format!(
                    "table `{}` cannot be written to: option `topic` names {} topics, and rows go \
                     to one",
                    table.name,
                    names.len()
                )));
            }
        },
        Topics::Pattern(_) => {
            return Err(Error::fix_input(format!(
                "table `{}` cannot be written to: rows go to one `topic`, not to a `topic-pattern`",
                table.name
            )));
        }
    };
    let partitioning = partitioning(table, common.key.is_some())?;
    let guarantee = options.get("sink.delivery-guarantee")?.unwrap_or_default();
    let prefix = options.text("sink.transactional-id-prefix").map(str::to_owned);
    let parallelism = options.get::<usize>("sink.parallelism")?;
    if parallelism == Some(0) {
        return Err(Error::fix_input("option `sink.parallelism` has to be at least 1"));
    }
    let serialization =
        TableSerialization::new(table, common.key, common.value, partitioning, upserts)?;
    let sink = TopicSink::new(&topic, common.client, guarantee, prefix, Arc::new(serialization))?;
    Ok(SinkTable { sink: Arc::new(sink), single_writer: false, parallelism })
}

fn partitioning(table: &TableSpec, has_key: bool) -> Result<Partitioning> {
    match table.options.text("sink.partitioner").unwrap_or("default") {
        "default" => Ok(Partitioning::ByKey),
        "fixed" => Ok(Partitioning::Fixed),
        "round-robin" if has_key => Err(Error::fix_input(
            "option `sink.partitioner` cannot be `round-robin` for a table with a key",
        )
        .hint("records with the same key would lose their order; use `default`")),
        "round-robin" => Ok(Partitioning::RoundRobin),
        other => Err(Error::fix_input(format!("option `sink.partitioner` cannot be `{other}`"))
            .hint("use `default`, `fixed` or `round-robin`; classes of Java are not supported")),
    }
}
