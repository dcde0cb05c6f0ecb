//! Keyed state in memory: what the window operators stand on.
//!
//! State is kept in *dense tables*: a key gets the next free row number the first time it is seen,
//! a hash index finds the number again, and values lie side by side in the order of those numbers.
//! Dense rows make three things cheap: walking over all keys in a fixed order when a window fires,
//! noting what changed by chunks of rows ([`ChangedChunks`]), and copying only that for a
//! checkpoint.
//!
//! | part | what it does |
//! |---|---|
//! | [`hash`] | the one hash of keys, for exchange and tables alike |
//! | [`DenseIndex`], [`EntryTable`], [`ByteKeys`] | key → row number |
//! | [`PaneRegistry`] | tables by pane; which were dropped; when a snapshot is full, when a delta |
//! | [`KeyedRows`] | the newest row of each key, for changelogs |
//! | [`codec`] | bytes of snapshots, read with distrust |
//!
//! All of it is for one subtask, and single-threaded. The formats that are stored are versioned;
//! golden files under `tests/golden` keep them readable.

mod byte_keys;
mod changes;
pub mod codec;
mod dense_index;
mod entry_table;
pub mod hash;
mod keyed_rows;
mod panes;
mod row_table;
mod snapshot;

pub use byte_keys::{ByteKeys, ByteKeysCopy, read_byte_keys};
pub use changes::{CHUNK_ROWS, ChangedChunks};
pub use dense_index::DenseIndex;
pub use entry_table::{EntryCopy, EntryRows, EntryTable};
pub use keyed_rows::{KeyedRow, KeyedRows};
pub use panes::{PaneKey, PaneRegistry};
pub use snapshot::{PaneRows, PaneTable, RestoredPanes, read_chain};
