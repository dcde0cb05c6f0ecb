//! `millrace log produce`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ClusterArguments;
use super::values::separator;
use crate::args::key_value;

/// How lines become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// The line is the value; --key-separator cuts a key off
    Raw,
    /// A JSON object with key, value, headers, partition, timestamp
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Whose acknowledgement a record needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acks {
    /// All replicas in sync
    All,
    /// The partition's leader
    #[value(name = "1")]
    Leader,
    /// Nobody: what gets lost is not noticed
    #[value(name = "0")]
    None,
}

#[derive(Args, Debug)]
pub(crate) struct ProduceArguments {
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,

    /// The lines; `-` reads standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,

    /// What a line holds
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = InputFormat::Raw)]
    pub(crate) format: InputFormat,

    /// What stands between key and value; `\t` is a tab
    #[arg(long, value_name = "TEXT", value_parser = separator)]
    pub(crate) key_separator: Option<String>,

    /// A value of this text is none at all: the key is deleted where a topic is compacted
    #[arg(long, value_name = "TEXT")]
    pub(crate) null_marker: Option<String>,

    /// A header of every record; may be repeated
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) headers: Vec<(String, String)>,

    /// Write to this partition [default: by key, or spread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,

    /// How batches are compressed
    #[arg(long, value_name = "CODEC", value_enum, default_value_t = Compression::None)]
    pub(crate) compression: Compression,

    /// Whose acknowledgement a record needs
    #[arg(long, value_name = "ACKS", value_enum, default_value_t = Acks::All)]
    pub(crate) acks: Acks,

    /// Write all lines in one transaction: those who read committed records see all or none
    #[arg(long)]
    pub(crate) transaction: bool,

    /// Nothing on standard error but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}
