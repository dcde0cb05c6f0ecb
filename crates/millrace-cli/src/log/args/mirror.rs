//! `millrace log mirror`.

use std::time::Duration;

use clap::Args;

use super::values::{mirror_name, pattern};
use crate::args::key_value;
use crate::duration::parse_duration;

#[derive(Args, Debug)]
pub(crate) struct MirrorArguments {
    /// The log to copy from
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: String,

    /// The log to copy to
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: String,

    /// Topics whose whole name matches this regular expression
    #[arg(long, value_name = "REGEX", value_parser = pattern, default_value = ".*")]
    pub(crate) topics: regex::Regex,

    /// Consumer groups whose whole name matches this regular expression
    #[arg(long, value_name = "REGEX", value_parser = pattern, default_value = ".*")]
    pub(crate) groups: regex::Regex,

    /// The name of this mirror, under which the target remembers how far it is
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = mirror_name)]
    pub(crate) name: String,

    /// Copy up to the present end, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// How often groups and new topics are looked for
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    pub(crate) interval: Duration,

    /// Set a property of the client of --from; may be repeated
    #[arg(long = "from-property", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) from_properties: Vec<(String, String)>,

    /// Set a property of the clients of --to; may be repeated
    #[arg(long = "to-property", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) to_properties: Vec<(String, String)>,

    /// Nothing on standard error but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
