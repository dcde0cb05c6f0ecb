//! `millrace log groups`.

use clap::{Args, Subcommand};

use super::ClusterArguments;
use crate::log::position::Position;

#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List consumer groups
    List(GroupsListArguments),
    /// Show members, committed offsets and lag of groups
    Describe(GroupsDescribeArguments),
    /// Delete groups with their committed offsets
    Delete(GroupsDeleteArguments),
    /// Move the committed offsets of a group without members
    Reset(GroupsResetArguments),
}

#[derive(Args, Debug)]
pub(crate) struct GroupsListArguments {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
pub(crate) struct GroupsDescribeArguments {
    #[arg(value_name = "GROUP", required = true)]
    pub(crate) groups: Vec<String>,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
pub(crate) struct GroupsDeleteArguments {
    #[arg(value_name = "GROUP", required = true)]
    pub(crate) groups: Vec<String>,

    /// Delete without asking
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

#[derive(Args, Debug)]
pub(crate) struct GroupsResetArguments {
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,

    /// The new position: `earliest`, `latest`, an offset, a time such as `2026-11-21T05:00:00Z`,
    /// or so long ago as `-1h`
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    pub(crate) to: Position,

    /// Only this topic, or this partition of it (`TOPIC:N`); may be repeated [default: all that the
    /// group has committed offsets of]
    #[arg(long = "topic", value_name = "TOPIC[:N]")]
    pub(crate) topics: Vec<String>,

    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}
