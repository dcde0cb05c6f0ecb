//! The connector `filesystem`: files as tables.

mod committable;
pub(crate) mod input;
mod listing;
mod options;
mod part_file;
mod partition;
mod partition_reader;
pub(crate) mod position;
mod record_reader;
mod rolling;
mod sink;
mod source;
mod sweep;

use std::sync::Arc;

use millrace_core::{Result, Sink};

use self::listing::Listing;
pub(crate) use self::listing::local_path;
use self::options::FileOptions;
pub(crate) use self::partition::Partitioning;
use self::partition_reader::PartitionedRead;
pub(crate) use self::rolling::RollingPolicy;
pub(crate) use self::sink::{FileSink, FileSinkWriter};
use self::source::FileSource;
use crate::dead_letter::DeadLetterSink;
use crate::format::ReadSchema;
use crate::{Connector, SinkTable, SourceTable, TableSpec};

/// Reads and writes local files.
#[derive(Debug)]
pub struct Filesystem;

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        let options = FileOptions::of(table)?;
        let (names, default_name) = (&table.partitioned_by, options.default_partition);
        let read = PartitionedRead::new(ReadSchema::new(table)?, names, default_name)?;
        options.format.check_readable(&read.file.table)?;
        let dead_letters = options
            .dead_letters
            .map(|directory| DeadLetterSink::new(&table.name, directory, options.rolling))
            .transpose()?
            .map(|sink| Arc::new(sink) as Arc<dyn Sink>);
        let source = FileSource {
            listing: Listing::parse(&options.path)?,
            read,
            format: options.format,
            monitor_interval: options.monitor_interval,
            max_record_bytes: options.max_record_bytes,
        };
        Ok(SourceTable { source: Arc::new(source), bad_records: options.bad_records, dead_letters })
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        let options = FileOptions::of(table)?;
        let partitioning =
            Partitioning::new(&table.schema, &table.partitioned_by, options.default_partition)?;
        options.format.check_writable(&table.schema)?;
        let sink = FileSink {
            directory: local_path(&options.path)?,
            file_schema: Arc::new(partitioning.file_schema(&table.schema)),
            format: options.format,
            partitioning,
            rolling: options.rolling,
        };
        Ok(SinkTable { sink: Arc::new(sink), single_writer: false, parallelism: None })
    }
}
