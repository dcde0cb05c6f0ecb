//! `millrace log topic`.

use clap::{Args, Subcommand};

use super::ClusterArguments;
use super::values::partitions;
use crate::args::key_value;

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create topics
    Create(TopicCreateArguments),
    /// List topics
    List(TopicListArguments),
    /// Show partitions, offsets and settings of topics
    Describe(TopicDescribeArguments),
    /// Delete topics with all their records
    Delete(TopicDeleteArguments),
    /// Add partitions, change settings
    Alter(TopicAlterArguments),
}

#[derive(Args, Debug)]
pub(crate) struct TopicCreateArguments {
    #[arg(value_name = "TOPIC", required = true)]
    pub(crate) topics: Vec<String>,

    /// Partitions of each [default: what the log has as default]
    #[arg(long, value_name = "N", value_parser = partitions)]
    pub(crate) partitions: Option<i32>,

    /// Copies of each partition on a cluster [default: what the log has as default]
    #[arg(long, value_name = "N", value_parser = partitions)]
    pub(crate) replication: Option<i32>,

    /// A setting of the topic, such as `retention.ms=86400000`; may be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) configs: Vec<(String, String)>,

    /// Leave topics that exist already as they are
    #[arg(long)]
    pub(crate) if_not_exists: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
pub(crate) struct TopicListArguments {
    /// Also topics that the log keeps for itself
    #[arg(long)]
    pub(crate) internal: bool,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
pub(crate) struct TopicDescribeArguments {
    #[arg(value_name = "TOPIC", required = true)]
    pub(crate) topics: Vec<String>,

    /// Also settings that have their default values
    #[arg(long)]
    pub(crate) all: bool,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
pub(crate) struct TopicDeleteArguments {
    #[arg(value_name = "TOPIC", required = true)]
    pub(crate) topics: Vec<String>,

    /// Delete without asking
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["partitions", "configs", "resets"]))]
pub(crate) struct TopicAlterArguments {
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,

    /// The new number of partitions, more than there are; keys then move to other partitions
    #[arg(long, value_name = "N", value_parser = partitions)]
    pub(crate) partitions: Option<i32>,

    /// Change a setting; may be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) configs: Vec<(String, String)>,

    /// Give a setting its default value again; may be repeated
    #[arg(long = "reset-config", value_name = "KEY")]
    pub(crate) resets: Vec<String>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}
