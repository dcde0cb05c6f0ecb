//! The newest row of each key, as operators of changelogs keep it.

use millrace_core::{Result, Snapshot, SnapshotRequest, Timestamp};

use crate::row_table::{RowTable, StoredRows};
use crate::snapshot::{PaneTable, read_chain};
use crate::{PaneKey, PaneRegistry};

/// The one pane: changelogs know no windows.
const ALL: PaneKey = PaneKey { pane: 0, first: PaneKey::UNRESTRICTED };

/// A key and its row.
pub type KeyedRow = (Box<[u8]>, Box<[u8]>);

/// A row of bytes for each key of bytes, with snapshots that hold what changed.
///
/// Callers bring the hashes of keys, which have to be equal for equal keys. Nothing is stored of
/// them.
///
/// ```
/// use millrace_core::{CheckpointId, Snapshot, SnapshotRequest};
/// use millrace_state::{KeyedRows, hash::hash_bytes};
///
/// let mut rows = KeyedRows::default();
/// rows.insert(hash_bytes(b"graz"), b"graz", b"18 degrees")?;
/// rows.insert(hash_bytes(b"graz"), b"graz", b"19 degrees")?;
/// assert_eq!(rows.get(hash_bytes(b"graz"), b"graz"), Some(&b"19 degrees"[..]));
///
/// let request = SnapshotRequest { checkpoint: CheckpointId(1), full: true };
/// let Snapshot::Full(encode) = rows.snapshot(request, "weather") else { panic!() };
/// let stored = KeyedRows::read(&[encode()?], "weather")?;
/// assert_eq!(stored.collect::<Vec<_>>(), [(b"graz"[..].into(), b"19 degrees"[..].into())]);
/// # Ok::<(), millrace_core::Error>(())
/// ```
#[derive(Debug)]
pub struct KeyedRows {
    panes: PaneRegistry<RowTable>,
}

impl Default for KeyedRows {
    fn default() -> Self {
        KeyedRows { panes: PaneRegistry::new(RowTable::default) }
    }
}

impl KeyedRows {
    /// The row of a key, if it is there.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        self.table()?.get(hash, key)
    }

    /// Sets the row of a key.
    ///
    /// # Errors
    /// `FixInput` for a row that is longer than 4 GiB.
    pub fn insert(&mut self, hash: u64, key: &[u8], row: &[u8]) -> Result<()> {
        let slot = self.panes.slot(ALL);
        self.panes.table_mut(slot).insert(hash, key, row)
    }

    /// Removes a key and its row, if it is there.
    pub fn remove(&mut self, hash: u64, key: &[u8]) {
        let slot = self.panes.slot(ALL);
        let table = self.panes.table_mut(slot);
        table.remove(hash, key);
        if table.is_worn() {
            self.make_anew(slot);
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.table().map_or(0, RowTable::len)
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.panes.bytes()
    }

    /// Copies all, or what changed since the last copy. `layout` says what keys and rows are made
    /// of, so that what is stored is not taken for something else.
    pub fn snapshot(&mut self, request: SnapshotRequest, layout: &str) -> Snapshot {
        self.panes.snapshot(request, layout, Timestamp::MIN)
    }

    /// The keys and rows that the chain of one former subtask holds.
    ///
    /// # Errors
    /// `Restore` when the bytes are damaged, of a later version or of another layout.
    pub fn read(chain: &[Vec<u8>], layout: &str) -> Result<impl Iterator<Item = KeyedRow> + use<>> {
        let stored = read_chain(chain, layout, StoredRows::default)?;
        Ok(stored.panes.into_values().flat_map(StoredRows::into_entries))
    }

    fn table(&self) -> Option<&RowTable> {
        let (_, slot) = self.panes.from(ALL.pane).next()?;
        Some(self.panes.table(slot))
    }

    /// Leaves out the removed keys. The rest gets other numbers, so that the next snapshot has to
    /// hold all of it.
    fn make_anew(&mut self, slot: usize) {
        let mut table = RowTable::default();
        for (hash, key, row) in self.panes.table(slot).iter() {
            table.insert(hash, key, row).expect("it was inserted before");
        }
        self.panes.drop_pane(ALL);
        if table.rows() > 0 {
            let slot = self.panes.slot(ALL);
            *self.panes.table_mut(slot) = table;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millrace_core::{CheckpointId, ErrorKind};
    use proptest::prelude::*;

    use super::*;
    use crate::hash::hash_bytes;

    const LAYOUT: &str = "test";

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn key_of(number: u16) -> Vec<u8> {
        number.to_string().into_bytes()
    }

    /// Sets the key's row to so many bytes of one value, or removes it.
    fn change(rows: &mut KeyedRows, model: &mut Model, number: u16, row: Option<(u8, usize)>) {
        let key = key_of(number);
        let hash = hash_bytes(&key);
        match row {
            Some((byte, length)) => {
                rows.insert(hash, &key, &vec![byte; length]).unwrap();
                model.insert(key, vec![byte; length]);
            }
            None => {
                rows.remove(hash, &key);
                model.remove(&key);
            }
        }
    }

    fn read(chain: &[Vec<u8>]) -> Result<Model> {
        let stored = KeyedRows::read(chain, LAYOUT)?;
        Ok(stored.map(|(key, row)| (key.into(), row.into())).collect())
    }

    fn take(rows: &mut KeyedRows, full: bool) -> Snapshot {
        rows.snapshot(SnapshotRequest { checkpoint: CheckpointId(1), full }, LAYOUT)
    }

    fn bytes(snapshot: Snapshot) -> Vec<u8> {
        match snapshot {
            Snapshot::Full(encode) | Snapshot::Delta(encode) => encode().unwrap(),
            other => panic!("{other:?} has no bytes"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_chain_of_any_snapshots_holds_the_rows(
            rounds in proptest::collection::vec(
                (
                    proptest::collection::vec(
                        (0u16..3_000, prop::option::weighted(0.6, (any::<u8>(), 0usize..200))),
                        0..200,
                    ),
                    // A whole range at once, so that removed keys come to be most of all.
                    prop::option::weighted(0.4, (0u16..2, any::<bool>())),
                    prop::bool::weighted(0.1),
                ),
                1..8,
            ),
        ) {
            let (mut rows, mut model) = (KeyedRows::default(), Model::new());
            let mut chain: Vec<Vec<u8>> = Vec::new();
            for (changes, range, full) in rounds {
                if let Some((part, there)) = range {
                    for number in part * 1_500..(part + 1) * 1_500 {
                        change(&mut rows, &mut model, number, there.then_some((7, 60)));
                    }
                }
                for (number, row) in changes {
                    change(&mut rows, &mut model, number, row);
                }
                for number in 0..3_000 {
                    let key = key_of(number);
                    let found = rows.get(hash_bytes(&key), &key);
                    prop_assert_eq!(found, model.get(&key).map(Vec::as_slice));
                }
                prop_assert_eq!(rows.len(), model.len());
                match take(&mut rows, full) {
                    Snapshot::Empty => chain.clear(),
                    Snapshot::Unchanged => prop_assert!(!full),
                    Snapshot::Full(encode) => chain = vec![encode().unwrap()],
                    Snapshot::Delta(encode) => {
                        prop_assert!(!full);
                        chain.push(encode().unwrap());
                    }
                }
                prop_assert_eq!(&read(&chain).unwrap(), &model);
            }
        }

        #[test]
        fn a_damaged_chain_is_a_restore_error_even_with_a_right_checksum(
            at_byte in 0usize..600, value: u8, cut in 0usize..600, second: bool,
        ) {
            let (mut rows, mut model) = (KeyedRows::default(), Model::new());
            (0..20).for_each(|number| change(&mut rows, &mut model, number, Some((1, 9))));
            let mut chain = vec![bytes(take(&mut rows, true))];
            change(&mut rows, &mut model, 3, None);
            change(&mut rows, &mut model, 30, Some((2, 4)));
            chain.push(bytes(take(&mut rows, false)));
            let part = &mut chain[usize::from(second)];
            part.truncate(part.len() - cut.min(part.len()));
            if let Some(byte) = part.get_mut(at_byte) {
                *byte = value;
            }
            if let Some(content) = part.len().checked_sub(4) {
                let crc = crc32c::crc32c(&part[..content]);
                part[content..].copy_from_slice(&crc.to_le_bytes());
            }
            if let Err(error) = read(&chain) {
                prop_assert_eq!(error.kind(), ErrorKind::Restore);
            }
        }
    }

    #[test]
    fn a_snapshot_holds_only_what_changed() {
        let (mut rows, mut model) = (KeyedRows::default(), Model::new());
        (0..1_000).for_each(|number| change(&mut rows, &mut model, number, Some((1, 50))));
        let full = bytes(take(&mut rows, false)).len();
        assert!(matches!(take(&mut rows, false), Snapshot::Unchanged));
        change(&mut rows, &mut model, 500, Some((2, 50)));
        let delta = bytes(take(&mut rows, false)).len();
        assert!(delta < 200 && full > 50_000, "{delta} of {full} bytes");
    }

    #[test]
    fn keys_that_come_and_go_take_no_more_memory_than_those_that_are_there() {
        let (mut rows, mut model) = (KeyedRows::default(), Model::new());
        let mut most = 0;
        for number in 0..60_000u32 {
            let number = (number % 50_000) as u16;
            change(&mut rows, &mut model, number, Some((1, 50)));
            if number >= 100 {
                change(&mut rows, &mut model, number - 100, None);
            }
            most = most.max(rows.bytes());
        }
        assert!(most < 1 << 20, "{most} bytes for {} rows", rows.len());
    }

    #[test]
    fn stored_chains_of_version_1_stay_readable() {
        let full = include_bytes!("../tests/golden/keyed-rows-v1-full.bin").to_vec();
        let delta = include_bytes!("../tests/golden/keyed-rows-v1-delta.bin").to_vec();
        let (mut rows, mut model) = golden();
        assert_eq!(bytes(take(&mut rows, true)), full);
        change_golden(&mut rows, &mut model);
        assert_eq!(bytes(take(&mut rows, false)), delta);
        assert_eq!(read(&[full, delta]).unwrap(), model);
    }

    fn golden() -> (KeyedRows, Model) {
        let (mut rows, mut model) = (KeyedRows::default(), Model::new());
        (0..40).for_each(|n| change(&mut rows, &mut model, n, Some((n as u8, n as usize % 7))));
        change(&mut rows, &mut model, 11, None);
        (rows, model)
    }

    fn change_golden(rows: &mut KeyedRows, model: &mut Model) {
        change(rows, model, 5, None);
        change(rows, model, 6, Some((9, 30)));
        change(rows, model, 11, Some((1, 1)));
        change(rows, model, 99, Some((2, 2)));
    }

    #[test]
    #[ignore = "writes the golden files; only for a new version of the format"]
    fn write_golden_files() {
        let (mut rows, mut model) = golden();
        std::fs::write("tests/golden/keyed-rows-v1-full.bin", bytes(take(&mut rows, true)))
            .unwrap();
        change_golden(&mut rows, &mut model);
        std::fs::write("tests/golden/keyed-rows-v1-delta.bin", bytes(take(&mut rows, false)))
            .unwrap();
    }
}
