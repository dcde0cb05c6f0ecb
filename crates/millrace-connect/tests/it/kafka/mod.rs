//! The connector `kafka` against a broker: that at `MILLRACE_KAFKA_BOOTSTRAP`, if it is set.

mod cluster;
mod offsets;
mod rows;
mod transactions;
