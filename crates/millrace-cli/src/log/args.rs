//! The grammar of `millrace log`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use millrace_log::{FsyncPolicy, SaslMechanism};

use super::position::Position;
use crate::args::{key_value, positive};
use crate::duration::parse_duration;

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

#[derive(Args, Debug)]
pub(crate) struct ServeArguments {
    /// Listen here; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9092")]
    pub(crate) listen: String,

    /// Keep topics here; made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,

    /// The host that clients are told to connect to [default: that of --listen]
    #[arg(long, value_name = "HOST")]
    pub(crate) advertised_host: Option<String>,

    /// When records are forced to the disk: `always` before they are acknowledged, `never` leaves
    /// it to the system, `1s` at most that long after
    #[arg(long, value_name = "POLICY", default_value = "1s", value_parser = fsync_policy)]
    pub(crate) fsync: FsyncPolicy,

    /// Refuse topics that nobody created
    #[arg(long)]
    pub(crate) no_auto_create: bool,

    /// Partitions of a topic whose creator names no number
    #[arg(long, value_name = "N", value_parser = partitions, default_value_t = 1)]
    pub(crate) partitions: i32,

    /// Connections beyond this number are closed at once
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) max_connections: Option<usize>,

    /// A larger request closes its connection, such as `100MiB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_request: Option<usize>,

    /// Requests and responses in work take no more memory than this, such as `512MiB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_in_flight: Option<usize>,

    /// Let nobody in who has not proved who they are, by one of these mechanisms [default: all];
    /// see `millrace log user`
    #[arg(long, value_name = "MECHANISMS", value_delimiter = ',', require_equals = true,
        num_args = 0.., default_missing_value = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512")]
    pub(crate) sasl: Vec<SaslMechanism>,

    /// Encrypt connections, with the certificates of this file (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Let clients do only what access control lists allow, which `kafka-acls` changes
    #[arg(long)]
    pub(crate) acls: bool,

    /// A user who may do everything, whatever the lists say; may be repeated
    #[arg(long = "super-user", value_name = "NAME", requires = "acls")]
    pub(crate) super_users: Vec<String>,
}

/// Users are kept in the data directory, which no server may have meanwhile.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or give one a new password: the first line of a file or of standard input
    Add(UserAddArguments),
    /// List users
    List(UserListArguments),
    /// Delete users
    Delete(UserDeleteArguments),
}

#[derive(Args, Debug)]
pub(crate) struct UserAddArguments {
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The file whose first line is the password; `-` reads standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) password_file: PathBuf,

    /// The data directory; made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct UserListArguments {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// The data directory
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct UserDeleteArguments {
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// The data directory
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,
}

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

fn partitions(text: &str) -> Result<i32, String> {
    i32::try_from(positive(text)?).map_err(|_| "it is too large".to_owned())
}

fn fsync_policy(text: &str) -> Result<FsyncPolicy, String> {
    match text {
        "always" => Ok(FsyncPolicy::Always),
        "never" => Ok(FsyncPolicy::Never),
        _ => parse_duration(text)
            .map(FsyncPolicy::Interval)
            .map_err(|reason| format!("{reason}, or `always`, or `never`")),
    }
}

/// Bytes from `64KiB`, `100MiB`, `1GiB`, `4096`.
fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = ["KiB", "MiB", "GiB"]
        .into_iter()
        .zip([10, 20, 30])
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), shift)))
        .unwrap_or((text, 0));
    match digits.parse::<usize>() {
        Ok(number) => number
            .checked_mul(1 << shift)
            .filter(|bytes| (1..=1 << 40).contains(bytes))
            .ok_or_else(|| "it must be between 1 byte and 1024 GiB".to_owned()),
        Err(_) => Err("write bytes, or a unit as in `64KiB`, `100MiB`, `1GiB`".to_owned()),
    }
}

fn separator(text: &str) -> Result<String, String> {
    match text.replace("\\t", "\t") {
        text if text.is_empty() => Err("it must not be empty".to_owned()),
        text => Ok(text),
    }
}

/// A regular expression for whole names.
fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(&format!("^(?:{text})$"))
        .map_err(|_| format!("`{text}` is not a regular expression; `.*` matches anything"))
}

fn mirror_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("up to 64 letters, digits, `.`, `-`, `_` are allowed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_records_are_forced_to_the_disk_is_a_word_or_a_time() {
        assert_eq!(fsync_policy("always"), Ok(FsyncPolicy::Always));
        assert_eq!(fsync_policy("never"), Ok(FsyncPolicy::Never));
        assert_eq!(fsync_policy("50ms"), Ok(FsyncPolicy::Interval(Duration::from_millis(50))));
        assert!(fsync_policy("sometimes").unwrap_err().contains("`always`"));
        assert!(fsync_policy("1").unwrap_err().contains("`1s`"));
    }

    #[test]
    fn sizes_have_units_and_do_not_overflow() {
        assert_eq!(size("4096"), Ok(4_096));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        for text in ["", "0", "-1", "1MB", "99999999999999999999", "18014398509481984KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let matches = |text: &str, name: &str| pattern(text).unwrap().is_match(name);
        assert!(matches("a|b", "a") && matches("a.*", "abc"));
        assert!(!matches("a|b", "ab") && !matches("a", "xa"));
        assert!(pattern("(").unwrap_err().contains("`(`"));
    }

    #[test]
    fn names_and_separators_are_checked() {
        assert_eq!(separator("\\t"), Ok("\t".to_owned()));
        assert!(separator("").is_err());
        assert!(mirror_name("to-b.2").is_ok());
        assert!(mirror_name("").is_err() && mirror_name("a b").is_err());
    }
}
