//! Operators over columns, one a file or folder.

pub mod key_hash;
pub mod window_aggregate;
