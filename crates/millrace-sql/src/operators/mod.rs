//! Operators over columns, one a file or folder.

pub(crate) mod calc;
pub(crate) mod changelog_normalize;
pub(crate) mod evaluate;
pub(crate) mod event_time;
pub(crate) mod exchange;
pub mod key_hash;
pub(crate) mod row_layout;
pub mod window_aggregate;
