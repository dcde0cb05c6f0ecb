//! The files of a table as splits: each file is one.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::{Boundedness, Error, ReaderContext, Result, Source, Split, SplitReader};

use super::listing::Listing;
use super::partition_reader::PartitionedRead;
use super::record_reader::RecordReader;
use crate::format::parquet::ParquetReader;
use crate::format::{Format, raw_in_a_file};

/// Reads files below a path.
#[derive(Debug)]
pub(crate) struct FileSource {
    pub listing: Listing,
    pub format: Format,
    pub read: PartitionedRead,
    /// Look for new files so often; `None` reads what is there and ends.
    pub monitor_interval: Option<Duration>,
    pub max_record_bytes: usize,
}

#[async_trait]
impl Source for FileSource {
    fn boundedness(&self) -> Boundedness {
        match self.monitor_interval {
            None => Boundedness::Bounded,
            some => Boundedness::Unbounded { discovery_interval: some },
        }
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        let table = &self.read.file.table_name;
        let files = self
            .listing
            .files()
            .map_err(|error| error.context(format!("table `{table}` cannot be read")))?;
        files
            .iter()
            .map(|file| {
                let id = file.to_str().ok_or_else(|| {
                    Error::fix_input(format!("the name of `{}` is not UTF-8", file.display()))
                })?;
                Ok(Split::new(id))
            })
            .collect()
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let path = Path::new(split.id.as_str()).to_owned();
        let (rows, read) = (context.batch_rows, &self.read.file);
        let decoder = match &self.format {
            Format::Csv(csv) => csv.decoder(read),
            Format::Json(json) => json.decoder(read),
            Format::Raw(_) => return Err(raw_in_a_file()),
            Format::Parquet(_) => {
                let reader = ParquetReader::open(path.clone(), split, read, rows)?;
                return self.read.wrap(&path, Box::new(reader));
            }
        };
        let limit = self.max_record_bytes;
        let reader = RecordReader::open(path.clone(), split, decoder, rows, limit)?;
        self.read.wrap(&path, Box::new(reader))
    }
}
