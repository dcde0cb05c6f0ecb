//! Which operations a client may do, as bits of a number.

use crate::broker::Broker;
use crate::security::acl::{CLUSTER_NAME, Kind};
use crate::server::Peer;
use crate::server::access::Operation;

/// What stands for "not asked for".
pub(super) const NOT_ASKED: i32 = i32::MIN;

const READ: u32 = 3;
const WRITE: u32 = 4;
const CREATE: u32 = 5;
const DELETE: u32 = 6;
const ALTER: u32 = 7;
const DESCRIBE: u32 = 8;
const CLUSTER_ACTION: u32 = 9;
const DESCRIBE_CONFIGS: u32 = 10;
const ALTER_CONFIGS: u32 = 11;
const IDEMPOTENT_WRITE: u32 = 12;

/// All that can be done with a topic.
pub(super) const TOPIC: i32 =
    bits(&[READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);

/// All that can be done with a group.
pub(super) const GROUP: i32 = bits(&[READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);

/// All that can be done with a cluster.
const CLUSTER: i32 = bits(&[
    CREATE,
    ALTER,
    DESCRIBE,
    CLUSTER_ACTION,
    DESCRIBE_CONFIGS,
    ALTER_CONFIGS,
    IDEMPOTENT_WRITE,
]);

/// Those with the cluster that a client may do, if it may know: none else, as in Kafka.
pub(super) fn of_cluster(broker: &Broker, peer: &Peer) -> i32 {
    match peer.check_cluster(broker, Operation::Describe) {
        Ok(()) => peer.allowed_of(broker, CLUSTER, Kind::Cluster, CLUSTER_NAME),
        Err(_) => 0,
    }
}

const fn bits(operations: &[u32]) -> i32 {
    let mut bits = 0;
    let mut place = 0;
    while place < operations.len() {
        bits |= 1 << operations[place];
        place += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_that_clients_know() {
        assert_eq!(TOPIC, 0b1101_1111_1000);
        assert_eq!(GROUP, 0b1101_0100_1000);
        assert_eq!(CLUSTER, 0b1_1111_1010_0000);
    }
}
