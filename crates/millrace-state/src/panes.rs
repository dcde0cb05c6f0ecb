//! The panes of a window operator.
//!
//! The registry owns a table for each pane, hands out slots that stay valid while the pane lives
//! (so that a hot loop looks a pane up once a batch and not once a row), remembers which panes were
//! dropped since the last snapshot, and decides whether a snapshot is full or a difference.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeFrom;

use millrace_core::{Snapshot, SnapshotRequest, Timestamp};

use crate::snapshot::{PaneTable, Part};

/// Which rows a pane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaneKey {
    /// The pane's number in event time.
    pub pane: i64,
    /// The first window that the rows may contribute to; [`PaneKey::UNRESTRICTED`] unless windows
    /// before it had closed for these rows and not for others.
    pub first: i64,
}

impl PaneKey {
    /// No window is closed to the rows.
    pub const UNRESTRICTED: i64 = i64::MIN;

    /// The pane of rows that contribute to all its windows.
    pub fn unrestricted(pane: i64) -> Self {
        PaneKey { pane, first: Self::UNRESTRICTED }
    }
}

/// A chain longer than this begins anew, whatever its size: each part is a file to open.
const MOST_PARTS: usize = 64;

/// Panes in the order of event time, each with a table.
pub struct PaneRegistry<T> {
    empty: Box<dyn Fn() -> T + Send>,
    order: BTreeMap<PaneKey, usize>,
    slots: Vec<Slot<T>>,
    /// Slots without a pane; their tables take no memory.
    free: Vec<usize>,
    /// An emptied table, kept for its memory.
    spare: Option<T>,
    chain: Chain,
}

#[derive(Debug)]
struct Slot<T> {
    table: T,
    /// Whether the chain of snapshots knows the pane.
    stored: bool,
}

#[derive(Debug, Default)]
struct Chain {
    parts: usize,
    delta_bytes: usize,
    dropped: Vec<PaneKey>,
    watermark: Option<Timestamp>,
}

impl<T: PaneTable> PaneRegistry<T> {
    /// No panes; `empty` makes their tables, which must take no memory until they have rows.
    pub fn new(empty: impl Fn() -> T + Send + 'static) -> Self {
        PaneRegistry {
            empty: Box::new(empty),
            order: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            spare: None,
            chain: Chain::default(),
        }
    }

    /// The slot of the pane, which is added if it is new. A dropped pane's table is used again,
    /// with its memory, when there is one.
    pub fn slot(&mut self, key: PaneKey) -> usize {
        if let Some(&slot) = self.order.get(&key) {
            return slot;
        }
        let table = self.spare.take().unwrap_or_else(&self.empty);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot].table = table;
                slot
            }
            None => {
                self.slots.push(Slot { table, stored: false });
                self.slots.len() - 1
            }
        };
        self.order.insert(key, slot);
        slot
    }

    /// The table at a slot.
    #[inline]
    pub fn table(&self, slot: usize) -> &T {
        &self.slots[slot].table
    }

    /// The table at a slot, to be changed.
    #[inline]
    pub fn table_mut(&mut self, slot: usize) -> &mut T {
        &mut self.slots[slot].table
    }

    /// The panes from number `pane` on, in order, with their slots.
    pub fn from(&self, pane: i64) -> impl Iterator<Item = (PaneKey, usize)> {
        let range: RangeFrom<PaneKey> = PaneKey::unrestricted(pane)..;
        self.order.range(range).map(|(&key, &slot)| (key, slot))
    }

    /// The first pane.
    pub fn first(&self) -> Option<PaneKey> {
        self.order.first_key_value().map(|(&key, _)| key)
    }

    /// How many panes there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are no panes.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Forgets a pane. One emptied table is kept for the next pane, if it was well filled; the
    /// memory of all others is freed.
    pub fn drop_pane(&mut self, key: PaneKey) {
        let Some(slot) = self.order.remove(&key) else { return };
        let Slot { table, stored } = &mut self.slots[slot];
        if std::mem::take(stored) {
            self.chain.dropped.push(key);
        }
        let mut table = std::mem::replace(table, (self.empty)());
        self.free.push(slot);
        if self.spare.is_none() && !table.spare() {
            table.clear();
            self.spare = Some(table);
        }
        if self.order.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Memory of all tables, in bytes.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.iter().map(|slot| &slot.table);
        let tables = slots.chain(&self.spare).map(T::bytes).sum::<usize>();
        tables + self.slots.capacity() * size_of::<Slot<T>>()
    }

    /// Copies what a checkpoint needs: everything, or what changed since the last one. Encoding is
    /// left to whoever runs the answer.
    pub fn snapshot(
        &mut self,
        request: SnapshotRequest,
        layout: &str,
        watermark: Timestamp,
    ) -> Snapshot
    where
        T: 'static,
    {
        if self.order.is_empty() && watermark == Timestamp::MIN {
            self.chain = Chain::default();
            return Snapshot::Empty;
        }
        let full = request.full || self.full_is_cheaper();
        let mut panes = Vec::new();
        let mut delta_bytes = 0;
        for (&key, &slot) in &self.order {
            let slot = &mut self.slots[slot];
            // A pane that the chain does not know is new to it as a whole.
            let whole = full || !slot.stored;
            delta_bytes += slot.table.copied_bytes(whole);
            if let Some(copied) = slot.table.copy(whole) {
                panes.push((key, copied));
            }
            slot.stored = true;
        }
        let dropped = std::mem::take(&mut self.chain.dropped);
        let unchanged = panes.is_empty() && dropped.is_empty();
        if !full && unchanged && self.chain.watermark == Some(watermark) {
            return Snapshot::Unchanged;
        }
        self.chain.watermark = Some(watermark);
        let dropped = if full { Vec::new() } else { dropped };
        let part = Part { full, layout: layout.to_owned(), watermark, dropped, panes };
        let encode = Box::new(move || part.encode(T::encode));
        if full {
            self.chain.parts = 1;
            self.chain.delta_bytes = 0;
            Snapshot::Full(encode)
        } else {
            self.chain.parts += 1;
            self.chain.delta_bytes += delta_bytes;
            Snapshot::Delta(encode)
        }
    }

    /// Whether there is no chain, or its differences have outgrown the state, so that reading them
    /// would take longer than writing all of it anew.
    fn full_is_cheaper(&self) -> bool {
        if self.chain.parts == 0 || self.chain.parts >= MOST_PARTS {
            return true;
        }
        let tables = || self.order.values().map(|&slot| &self.slots[slot]);
        let full: usize = tables().map(|slot| slot.table.copied_bytes(true)).sum();
        let delta: usize = tables().map(|slot| slot.table.copied_bytes(!slot.stored)).sum();
        delta > 0 && self.chain.delta_bytes + delta > full
    }
}

impl<T> fmt::Debug for PaneRegistry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.order.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntryRows, EntryTable, RestoredPanes, read_chain};
    use millrace_core::{CheckpointId, ErrorKind};
    use proptest::prelude::*;

    type Table = EntryTable<u32, u64>;
    const LAYOUT: &str = "test";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn add(panes: &mut PaneRegistry<Table>, pane: i64, key: u32, by: u64) {
        let slot = panes.slot(PaneKey::unrestricted(pane));
        *panes.table_mut(slot).upsert(key, || 0) += by;
    }

    fn take(panes: &mut PaneRegistry<Table>, full: bool, watermark: i64) -> Snapshot {
        let request = SnapshotRequest { checkpoint: CheckpointId(1), full };
        panes.snapshot(request, LAYOUT, at(watermark))
    }

    fn read(chain: &[Vec<u8>]) -> millrace_core::Result<RestoredPanes<EntryRows<u32, u64>>> {
        read_chain(chain, LAYOUT, EntryRows::default)
    }

    fn bytes(snapshot: Snapshot) -> Vec<u8> {
        match snapshot {
            Snapshot::Full(encode) | Snapshot::Delta(encode) => encode().unwrap(),
            other => panic!("{other:?} has no bytes"),
        }
    }

    fn contents(panes: &PaneRegistry<Table>) -> Vec<(PaneKey, Vec<(u32, u64)>)> {
        panes
            .from(i64::MIN)
            .map(|(key, slot)| (key, panes.table(slot).entries().to_vec()))
            .collect()
    }

    proptest! {
        #[test]
        fn a_chain_of_any_snapshots_holds_the_panes(
            rounds in proptest::collection::vec(
                (
                    proptest::collection::vec((0i64..6, 0u32..800, 1u64..9), 0..80),
                    proptest::collection::vec(0i64..6, 0..3),
                    prop::bool::weighted(0.1),
                    0i64..3,
                ),
                1..10,
            ),
        ) {
            let mut panes = PaneRegistry::new(Table::default);
            let mut chain: Vec<Vec<u8>> = Vec::new();
            let mut watermark = 0;
            for (updates, dropped, full, later) in rounds {
                for (pane, key, by) in updates {
                    add(&mut panes, pane, key, by);
                }
                for pane in dropped {
                    panes.drop_pane(PaneKey::unrestricted(pane));
                }
                watermark += later;
                match take(&mut panes, full, watermark) {
                    Snapshot::Empty => chain.clear(),
                    Snapshot::Unchanged => prop_assert!(!full),
                    Snapshot::Full(encode) => chain = vec![encode().unwrap()],
                    Snapshot::Delta(encode) => {
                        prop_assert!(!full);
                        chain.push(encode().unwrap());
                    }
                }
                let restored = read(&chain).unwrap();
                prop_assert_eq!(restored.watermark, at(watermark));
                let restored: Vec<_> = restored
                    .panes
                    .into_iter()
                    .map(|(key, rows)| (key, rows.into_entries().collect::<Vec<_>>()))
                    .collect();
                prop_assert_eq!(restored, contents(&panes));
            }
        }

        #[test]
        fn a_damaged_chain_is_a_restore_error_even_with_a_right_checksum(
            at_byte in 0usize..400, value: u8, cut in 0usize..400, second: bool,
        ) {
            let mut panes = PaneRegistry::new(Table::default);
            (0..40).for_each(|n| add(&mut panes, n % 3, n as u32, 7));
            let mut chain = vec![bytes(take(&mut panes, true, 5))];
            add(&mut panes, 1, 99, 1);
            panes.drop_pane(PaneKey::unrestricted(0));
            chain.push(bytes(take(&mut panes, false, 6)));
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
    fn a_flipped_bit_anywhere_is_found() {
        let mut panes = PaneRegistry::new(Table::default);
        (0..5).for_each(|n| add(&mut panes, n, n as u32, 7));
        let whole = bytes(take(&mut panes, true, 5));
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&[damaged]).unwrap_err().kind(), ErrorKind::Restore, "bit {bit}");
        }
    }

    #[test]
    fn state_of_another_operator_is_refused_by_name() {
        let mut panes = PaneRegistry::new(Table::default);
        add(&mut panes, 0, 1, 1);
        let part = bytes(take(&mut panes, true, 0));
        let rows = EntryRows::<u32, u64>::default;
        let error = read_chain(&[part], "another", rows).unwrap_err();
        assert!(error.message().contains("`test`") && error.message().contains("`another`"));
    }

    #[test]
    fn nothing_new_is_unchanged_and_much_new_is_full() {
        let mut panes = PaneRegistry::new(Table::default);
        assert!(matches!(take(&mut panes, false, i64::MIN), Snapshot::Empty));
        (0..1_000).for_each(|key| add(&mut panes, 0, key, 1));
        assert!(matches!(take(&mut panes, false, 0), Snapshot::Full(_)));
        assert!(matches!(take(&mut panes, false, 0), Snapshot::Unchanged));
        add(&mut panes, 0, 5, 1);
        assert!(matches!(take(&mut panes, false, 0), Snapshot::Delta(_)));
        (0..1_000).for_each(|key| add(&mut panes, 0, key, 1));
        assert!(matches!(take(&mut panes, false, 0), Snapshot::Delta(_)));
        (0..1_000).for_each(|key| add(&mut panes, 0, key, 1));
        assert!(matches!(take(&mut panes, false, 0), Snapshot::Full(_)), "two deltas outgrow it");
    }

    #[test]
    fn the_memory_of_dropped_panes_is_freed_but_for_one_table() {
        let mut panes = PaneRegistry::new(Table::default);
        for pane in 0..10 {
            (0..1_000).for_each(|key| add(&mut panes, pane, key, 1));
        }
        let ten = panes.bytes();
        (0..10).for_each(|pane| panes.drop_pane(PaneKey::unrestricted(pane)));
        assert!(panes.bytes() < ten / 5, "{} of {ten} bytes", panes.bytes());
        add(&mut panes, 11, 0, 1);
        panes.drop_pane(PaneKey::unrestricted(11));
        assert!(panes.bytes() < ten / 50, "a large table is not kept for small panes");
    }

    #[test]
    fn stored_chains_of_version_1_stay_readable() {
        let full = include_bytes!("../tests/golden/panes-v1-full.bin").to_vec();
        let delta = include_bytes!("../tests/golden/panes-v1-delta.bin").to_vec();
        let mut panes = golden();
        assert_eq!(bytes(take(&mut panes, true, 1_000)), full);
        change_golden(&mut panes);
        assert_eq!(bytes(take(&mut panes, false, 2_000)), delta);
        let restored = read(&[full, delta]).unwrap();
        assert_eq!(restored.watermark, at(2_000));
        let first = PaneKey { pane: 4, first: 5 };
        assert_eq!(
            restored.panes.keys().copied().collect::<Vec<_>>(),
            [PaneKey::unrestricted(2), PaneKey::unrestricted(4), first]
        );
    }

    fn golden() -> PaneRegistry<Table> {
        let mut panes = PaneRegistry::new(Table::default);
        (0..600).for_each(|key| add(&mut panes, 2, key, 1));
        add(&mut panes, 1, 7, 7);
        let slot = panes.slot(PaneKey { pane: 4, first: 5 });
        *panes.table_mut(slot).upsert(1, || 0) += 3;
        panes
    }

    fn change_golden(panes: &mut PaneRegistry<Table>) {
        add(panes, 2, 300, 1_000);
        add(panes, 2, 600, 1);
        add(panes, 4, 9, 9);
        panes.drop_pane(PaneKey::unrestricted(1));
    }

    #[test]
    #[ignore = "writes the golden files of a new version"]
    fn write_golden_files() {
        let mut panes = golden();
        std::fs::write("tests/golden/panes-v1-full.bin", bytes(take(&mut panes, true, 1_000)))
            .unwrap();
        change_golden(&mut panes);
        std::fs::write("tests/golden/panes-v1-delta.bin", bytes(take(&mut panes, false, 2_000)))
            .unwrap();
    }
}
