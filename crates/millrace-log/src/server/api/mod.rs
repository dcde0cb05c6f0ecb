//! One file for each request: `handle` takes the request and gives the response. The table that
//! names them all is in `dispatch`.

pub(super) mod api_versions;
pub(super) mod create_partitions;
pub(super) mod create_topics;
pub(super) mod delete_topics;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod list_offsets;
pub(super) mod metadata;
pub(super) mod offset_for_leader_epoch;
mod partition;
pub(super) mod produce;
mod topic_configs;
