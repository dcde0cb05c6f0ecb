//! The settings that a topic can have: Kafka's names, types and defaults.

/// The type of a setting, as Kafka's clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Long,
    /// A number with a fraction.
    Double,
    /// Words with commas between them.
    List,
}

impl ConfigType {
    /// The number that stands for the type in a DescribeConfigs response.
    pub fn id(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
        }
    }
}

/// Which values a setting may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Allowed {
    /// All of its type.
    Any,
    /// This number or more.
    AtLeast(i64),
    /// From the first number to the second.
    Between(i64, i64),
    /// -1, or from the first number to the second.
    DefaultOrBetween(i64, i64),
    /// One of these words; for a list, each of its words, of which there may be none.
    OneOf(&'static [&'static str]),
    /// `*`, or pairs of a partition and a broker such as `0:1`.
    Replicas,
}

/// A setting that a topic can have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownConfig {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// What holds when nothing is set.
    pub default: &'static str,
    /// The broker setting that Kafka has for the same thing.
    pub broker_name: Option<&'static str>,
    /// What it does here.
    pub doc: &'static str,
    pub(super) allowed: Allowed,
}

const fn config(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    broker_name: &'static str,
    allowed: Allowed,
    doc: &'static str,
) -> KnownConfig {
    let broker_name = if broker_name.is_empty() { None } else { Some(broker_name) };
    KnownConfig { name, kind, default, broker_name, doc, allowed }
}

use Allowed::{Any, AtLeast, Between, DefaultOrBetween, OneOf, Replicas};
use ConfigType::{Boolean, Double, Int, List, Long, String};

const LONG_MAX: &str = "9223372036854775807";
const NO_EFFECT: &str = "Has no effect on a single node; kept and shown.";

/// All settings that a topic can have, by name.
#[rustfmt::skip]
pub const KNOWN_CONFIGS: &[KnownConfig] = &[
    config("cleanup.policy", List, "delete", "log.cleanup.policy", OneOf(&["compact", "delete"]),
        "`delete` drops old segments, `compact` keeps the newest record of each key; both may be set, or neither."),
    config("compression.gzip.level", Int, "-1", "compression.gzip.level", DefaultOrBetween(1, 9),
        "The level of gzip, where the log compresses itself."),
    config("compression.lz4.level", Int, "9", "compression.lz4.level", Between(1, 17),
        "The level of lz4, where the log compresses itself."),
    config("compression.type", String, "producer", "compression.type",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "The codec of stored batches; `producer` keeps what the producer chose."),
    config("compression.zstd.level", Int, "3", "compression.zstd.level", Between(-131_072, 22),
        "The level of zstd, where the log compresses itself."),
    config("delete.retention.ms", Long, "86400000", "log.cleaner.delete.retention.ms", AtLeast(0),
        "How long compaction keeps tombstones and transaction markers."),
    config("file.delete.delay.ms", Long, "60000", "log.segment.delete.delay.ms", AtLeast(0),
        "Has no effect: files are removed at once, and who still reads one goes on reading."),
    config("flush.messages", Long, LONG_MAX, "log.flush.interval.messages", AtLeast(1),
        "Has no effect: the broker's fsync policy says when data is forced to the disk."),
    config("flush.ms", Long, LONG_MAX, "log.flush.interval.ms", AtLeast(0),
        "Has no effect: the broker's fsync policy says when data is forced to the disk."),
    config("follower.replication.throttled.replicas", List, "", "", Replicas, NO_EFFECT),
    config("index.interval.bytes", Int, "4096", "log.index.interval.bytes", AtLeast(0),
        "Bytes of records between two entries of the offset index."),
    config("internal.segment.bytes", Int, "", "", Any,
        "In place of `segment.bytes`, without its lower bound: for tests. Shown only where it is set."),
    config("leader.replication.throttled.replicas", List, "", "", Replicas, NO_EFFECT),
    config("local.retention.bytes", Long, "-2", "log.local.retention.bytes", AtLeast(-2), NO_EFFECT),
    config("local.retention.ms", Long, "-2", "log.local.retention.ms", AtLeast(-2), NO_EFFECT),
    config("max.compaction.lag.ms", Long, LONG_MAX, "log.cleaner.max.compaction.lag.ms", AtLeast(1),
        "A record waits at most this long until compaction may take it, however clean the log is."),
    config("max.message.bytes", Int, "1048588", "message.max.bytes", AtLeast(0),
        "The largest batch that is taken, in bytes, as it comes from the producer."),
    config("message.timestamp.after.max.ms", Long, "3600000", "log.message.timestamp.after.max.ms", AtLeast(0),
        "Records stamped further in the future are refused."),
    config("message.timestamp.before.max.ms", Long, LONG_MAX, "log.message.timestamp.before.max.ms", AtLeast(0),
        "Records stamped further in the past are refused."),
    config("message.timestamp.type", String, "CreateTime", "log.message.timestamp.type",
        OneOf(&["CreateTime", "LogAppendTime"]),
        "Whether records keep their producer's time stamp or get the log's."),
    config("min.cleanable.dirty.ratio", Double, "0.5", "log.cleaner.min.cleanable.ratio", Between(0, 1),
        "The share of the log not yet compacted from which on compaction is worth it."),
    config("min.compaction.lag.ms", Long, "0", "log.cleaner.min.compaction.lag.ms", AtLeast(0),
        "Compaction leaves records alone that are younger."),
    config("min.insync.replicas", Int, "1", "min.insync.replicas", AtLeast(1), NO_EFFECT),
    config("preallocate", Boolean, "false", "log.preallocate", Any,
        "Has no effect: segments grow as they are written."),
    config("remote.log.copy.disable", Boolean, "false", "", Any, NO_EFFECT),
    config("remote.log.delete.on.disable", Boolean, "false", "", Any, NO_EFFECT),
    config("remote.storage.enable", Boolean, "false", "", OneOf(&["false"]),
        "There is no remote storage, so that only `false` is taken."),
    config("retention.bytes", Long, "-1", "log.retention.bytes", Any,
        "The partition's size from which on old segments are dropped; -1 for no limit."),
    config("retention.ms", Long, "604800000", "log.retention.ms", AtLeast(-1),
        "The age from which on segments are dropped; -1 for no limit."),
    config("segment.bytes", Int, "1073741824", "log.segment.bytes", AtLeast(1 << 20),
        "The size at which a segment is closed and another begun."),
    config("segment.index.bytes", Int, "10485760", "log.index.size.max.bytes", AtLeast(4),
        "Has no effect: an index is as large as its segment needs."),
    config("segment.jitter.ms", Long, "0", "log.roll.jitter.ms", AtLeast(0),
        "Segments are closed earlier than `segment.ms` by up to this time, so that not all are at once."),
    config("segment.ms", Long, "604800000", "log.roll.ms", AtLeast(1),
        "The time after which a segment is closed even if it is not full."),
    config("unclean.leader.election.enable", Boolean, "false", "unclean.leader.election.enable", Any, NO_EFFECT),
];

impl KnownConfig {
    /// Whether it is shown only where it is set.
    pub fn is_internal(&self) -> bool {
        self.name.starts_with("internal.")
    }
}

/// The setting of this name.
pub fn known_config(name: &str) -> Option<&'static KnownConfig> {
    KNOWN_CONFIGS.iter().find(|config| config.name == name)
}
