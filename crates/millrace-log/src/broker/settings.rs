//! The broker's settings as clients are shown them, under Kafka's names.

use super::{Broker, NODE_ID};
use crate::limits::LIMITS;
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
        settings.extend(LIMITS.iter().map(|limit| BrokerSetting {
            name: limit.name,
            value: config.limits.get(limit.name).to_string(),
            kind: limit.kind,
            given: config.limits.is_set(limit.name),
            doc: limit.doc,
        }));
        let defaults = KNOWN_CONFIGS.iter().filter_map(|known| {
            Some(fixed(known.broker_name?, known.default, known.kind, known.doc))
        });
        settings.extend(defaults);
        settings.sort_by_key(|setting| setting.name);
        settings
    }
}
