//! One file for each request: `handle` takes the request and gives the response. The table that
//! names them all is in `dispatch`.

pub(super) mod alter_configs;
pub(super) mod api_versions;
pub(super) mod create_partitions;
pub(super) mod create_topics;
pub(super) mod delete_topics;
pub(super) mod describe_cluster;
pub(super) mod describe_configs;
pub(super) mod describe_log_dirs;
pub(super) mod describe_topic_partitions;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod incremental_alter_configs;
pub(super) mod list_offsets;
pub(super) mod list_partition_reassignments;
pub(super) mod metadata;
pub(super) mod offset_for_leader_epoch;
mod operations;
mod partition;
pub(super) mod produce;
mod resource;
mod topic_configs;
