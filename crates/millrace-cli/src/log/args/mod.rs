//! The grammar of `millrace log`.

mod consume;
mod groups;
mod mirror;
mod produce;
mod serve;
mod topic;
mod user;
mod values;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) use self::consume::{ConsumeArguments, ConsumeOutput, IsolationLevel};
pub(crate) use self::groups::{
    GroupsCommand, GroupsDeleteArguments, GroupsDescribeArguments, GroupsListArguments,
    GroupsResetArguments,
};
pub(crate) use self::mirror::MirrorArguments;
pub(crate) use self::produce::{Acks, Compression, InputFormat, ProduceArguments};
pub(crate) use self::serve::ServeArguments;
pub(crate) use self::topic::{
    TopicAlterArguments, TopicCommand, TopicCreateArguments, TopicDeleteArguments,
    TopicDescribeArguments, TopicListArguments,
};
pub(crate) use self::user::UserCommand;
use crate::args::key_value;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Serve the embedded log to Kafka clients, until it is stopped
    Serve(ServeArguments),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Write records to a topic, one for each line of a file or of standard input
    Produce(ProduceArguments),
    /// Print the records of topics
    Consume(ConsumeArguments),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Add, list and delete the users of an embedded log
    #[command(subcommand)]
    User(UserCommand),
    /// Copy topics and consumer groups from one log to another
    Mirror(MirrorArguments),
}

/// Which log a command talks to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterArguments {
    /// The log's address: `millrace log serve`, Kafka, or what else speaks its protocol; several
    /// are separated by commas [env: MILLRACE_BOOTSTRAP] [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data")]
    pub(crate) bootstrap: Option<String>,

    /// The data directory of an embedded log that no server needs to run for
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Set a property of the Kafka client (librdkafka), such as `client.id=me`; may be repeated
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) properties: Vec<(String, String)>,
}
