//! The broker's settings as clients are shown them, under Kafka's names.

use super::{Broker, NODE_ID};
use crate::group::GroupConfig;
use crate::server::{FETCH_MAX_BYTES, IDLE_TIMEOUT};
use crate::storage::{ConfigType, KNOWN_CONFIGS};

/// A setting of the broker. None can be changed while it runs.
pub(crate) struct BrokerSetting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) kind: ConfigType,
    /// It was given when the broker was started, rather than being always so.
    pub(crate) given: bool,
    pub(crate) doc: &'static str,
}

/// The longest transaction that a producer may ask for: Kafka's `transaction.max.timeout.ms`.
pub(crate) const MAX_TRANSACTION_TIMEOUT_MS: i32 = 900_000;

impl Broker {
    /// All settings, by name.
    pub(crate) fn settings(&self) -> Vec<BrokerSetting> {
        use ConfigType::{Boolean, Int, Long, String as Text};
        let config = self.config();
        let given = |name, value, kind, doc| BrokerSetting { name, value, kind, given: true, doc };
        let fixed = |name, value: &str, kind, doc| BrokerSetting {
            name,
            value: value.to_owned(),
            kind,
            given: false,
            doc,
        };
        let node = NODE_ID.to_string();
        let protocol = self.security().protocol();
        let listener = self.address().map_or(String::new(), |at| format!("{protocol}://{at}"));
        let super_users = config.super_users.iter().map(|name| format!("User:{name}"));
        let super_users = super_users.collect::<Vec<_>>().join(";");
        let mechanisms = config.sasl_mechanisms.iter().map(ToString::to_string);
        let mechanisms = mechanisms.collect::<Vec<_>>().join(",");
        let mut settings = vec![
            given("log.dirs", config.data_dir.display().to_string(), Text, "The data directory."),
            given("listeners", listener, Text, "Where the log listens."),
            given(
                "auto.create.topics.enable",
                config.auto_create_topics.to_string(),
                Boolean,
                "Whether a topic that a client asks for comes into being.",
            ),
            given(
                "num.partitions",
                config.default_partitions.to_string(),
                Int,
                "Partitions of a topic whose creator names no number.",
            ),
            given(
                "max.connections",
                config.max_connections.to_string(),
                Int,
                "Connections beyond this number are closed at once.",
            ),
            given(
                "socket.request.max.bytes",
                config.max_request_bytes.to_string(),
                Int,
                "A request of more bytes closes its connection.",
            ),
            given(
                "queued.max.request.bytes",
                config.max_in_flight_bytes.to_string(),
                Long,
                "Bytes of requests and responses in work; reading waits beyond.",
            ),
            given(
                "sasl.enabled.mechanisms",
                mechanisms,
                ConfigType::List,
                "How clients prove who they are; empty: they need not.",
            ),
            given(
                "authorizer.class.name",
                if config.acls { "acls" } else { "" }.to_owned(),
                Text,
                "Whether clients may do only what access control lists allow.",
            ),
            given(
                "super.users",
                super_users,
                Text,
                "Who may do everything, whatever the lists say.",
            ),
            fixed("node.id", &node, Int, "The id of the only node."),
            fixed("broker.id", &node, Int, "The id of the only node."),
            fixed("default.replication.factor", "1", Int, "There is one node."),
            fixed("offsets.topic.num.partitions", "1", Int, "Groups have one coordinator."),
            fixed("offsets.topic.replication.factor", "1", Int, "There is one node."),
            fixed(
                "transaction.state.log.num.partitions",
                "1",
                Int,
                "Transactions have one coordinator.",
            ),
            fixed("transaction.state.log.replication.factor", "1", Int, "There is one node."),
            fixed("transaction.state.log.min.isr", "1", Int, "There is one node."),
            fixed(
                "transaction.max.timeout.ms",
                &MAX_TRANSACTION_TIMEOUT_MS.to_string(),
                Int,
                "The longest transaction that a producer may ask for.",
            ),
            fixed("delete.topic.enable", "true", Boolean, "Topics can be deleted."),
            fixed(
                "fetch.max.bytes",
                &FETCH_MAX_BYTES.to_string(),
                Int,
                "No answer to a fetch is larger, whatever the client takes.",
            ),
            fixed(
                "connections.max.idle.ms",
                &IDLE_TIMEOUT.as_millis().to_string(),
                Long,
                "A connection without requests is closed after this time.",
            ),
        ];
        settings.extend(group_settings());
        let defaults = KNOWN_CONFIGS.iter().filter_map(|known| {
            Some(fixed(known.broker_name?, known.default, known.kind, known.doc))
        });
        settings.extend(defaults);
        settings.sort_by_key(|setting| setting.name);
        settings
    }
}

/// The limits of groups, which are always the same.
fn group_settings() -> Vec<BrokerSetting> {
    use ConfigType::{Int, Long};
    let limits = GroupConfig::default();
    let minutes = limits.offsets_retention_ms / 60_000;
    let fixed = |name, value: i64, kind, doc| BrokerSetting {
        name,
        value: value.to_string(),
        kind,
        given: false,
        doc,
    };
    vec![
        fixed(
            "group.min.session.timeout.ms",
            limits.min_session_timeout_ms.into(),
            Int,
            "The shortest session that a member may ask for.",
        ),
        fixed(
            "group.max.session.timeout.ms",
            limits.max_session_timeout_ms.into(),
            Int,
            "The longest session that a member may ask for.",
        ),
        fixed(
            "group.initial.rebalance.delay.ms",
            limits.initial_rebalance_delay_ms,
            Int,
            "How long the first members of an empty group wait for others.",
        ),
        fixed(
            "offset.metadata.max.bytes",
            i64::try_from(limits.max_offset_metadata_bytes).unwrap_or(i64::MAX),
            Int,
            "Bytes of metadata that a committed offset may carry.",
        ),
        fixed("offsets.retention.minutes", minutes, Int, "How long unused offsets are kept."),
        fixed(
            "offsets.retention.check.interval.ms",
            limits.retention_check_interval_ms,
            Long,
            "How often unused offsets are looked for.",
        ),
    ]
}
