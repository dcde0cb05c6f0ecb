//! Tables written to a Kafka cluster: the one that `MILLRACE_KAFKA_BOOTSTRAP` names (it has to make
//! topics of three partitions by itself), or else an embedded log.

pub mod cluster;
mod delivery;
mod exactly_once;
mod options;
mod typed;
mod upsert;
