//! The files of a table as splits: each file is one.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::{Boundedness, Error, ReaderContext, Result, Source, Split, SplitReader};

use super::listing::Listing;
use super::record_reader::RecordReader;
use crate::format::{Format, ReadSchema};

/// Reads files below a path.
#[derive(Debug)]
pub(crate) struct FileSource {
    pub listing: Listing,
    pub format: Format,
    pub read: ReadSchema,
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
        let table = &self.read.table_name;
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
        match &self.format {
            Format::Csv(csv) => {
                let decoder = csv.decoder(&self.read)?;
                let (rows, limit) = (context.batch_rows, self.max_record_bytes);
                Ok(Box::new(RecordReader::open(path, split, decoder, rows, limit)?))
            }
        }
    }
}
