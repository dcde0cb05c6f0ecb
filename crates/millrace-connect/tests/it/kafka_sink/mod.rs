//! Tables written to a Kafka cluster: whichever `MILLRACE_KAFKA_BOOTSTRAP` names.

mod cluster;
mod delivery;
mod exactly_once;
mod options;
mod typed;
mod upsert;
