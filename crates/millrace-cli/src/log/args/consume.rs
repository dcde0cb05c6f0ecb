//! `millrace log consume`.

use clap::{Args, ValueEnum};

use super::ClusterArguments;
use super::values::pattern;
use crate::args::positive;
use crate::log::position::Position;

/// How a record is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConsumeOutput {
    /// The value
    Value,
    /// Key, tab, value
    KeyValue,
    /// A JSON object with all there is
    Json,
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationLevel {
    /// Those of committed transactions
    #[value(alias = "read_committed")]
    ReadCommitted,
    /// Those of open and aborted transactions too
    #[value(alias = "read_uncommitted")]
    ReadUncommitted,
}

#[derive(Args, Debug)]
pub(crate) struct ConsumeArguments {
    #[arg(value_name = "TOPIC", required_unless_present = "pattern", conflicts_with = "pattern")]
    pub(crate) topics: Vec<String>,

    /// Topics whose whole name matches this regular expression
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub(crate) pattern: Option<regex::Regex>,

    /// Where to begin: `earliest`, `latest`, an offset, a time such as `2026-11-21T05:00:00Z`, or
    /// so long ago as `-1h` [default: earliest]
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    pub(crate) from: Option<Position>,

    /// Where to end, exclusive: an offset or a time, as for --from
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    pub(crate) until: Option<Position>,

    /// This partition alone; may be repeated
    #[arg(long = "partition", value_name = "N", conflicts_with = "group",
        value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,

    /// End after so many records
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) max: Option<usize>,

    /// Do not end with what is there, wait for more
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Read as a member of this group, from its committed offsets on, and commit what was printed;
    /// --from then counts where the group has committed nothing
    #[arg(long, value_name = "GROUP", conflicts_with = "until")]
    pub(crate) group: Option<String>,

    /// How a record is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ConsumeOutput::Value)]
    pub(crate) output: ConsumeOutput,

    /// Which records of transactions are read
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = IsolationLevel::ReadCommitted)]
    pub(crate) isolation: IsolationLevel,

    /// Nothing on standard error but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}
