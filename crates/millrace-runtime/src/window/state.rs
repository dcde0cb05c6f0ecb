//! The panes of a window operator in event time: where rows go, which window is due, what may be
//! forgotten. Both window operators, typed and columnar, stand on it.
//!
//! # Lateness
//!
//! A row contributes to those of its windows that are open at the larger of its batch's bound and
//! the operator's watermark (`millrace_core::watermark` has the reasoning). Windows that the
//! operator's watermark has closed are gone anyway. But a bound may be ahead of the watermark: the
//! row's split is further than the others. Then some of the row's windows are closed to it though
//! the operator still fills them, and it is put in a pane apart, which remembers the first window
//! that it may contribute to ([`PaneKey::first`]).
//!
//! # The life of a window
//!
//! A window *fires* when the watermark reaches its last point. It is *open* for the allowed
//! lateness more. A pane is dropped when all windows that it is part of have fired and closed.

use millrace_core::{Error, Result, Snapshot, SnapshotRequest, Timestamp};
use millrace_state::{PaneKey, PaneRegistry, PaneRows, PaneTable, read_chain};

use super::WindowSpec;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is added to this pane. With `fires_again`, one of the windows that it contributes to has
    /// fired already, and owes an update.
    Pane {
        /// The pane.
        key: PaneKey,
        /// Whether a window of the pane has fired and is open still.
        fires_again: bool,
    },
    /// All its windows are closed.
    Late,
    /// It has no window.
    Gap,
}

/// A stretch of event time whose rows, in one batch, all have the same placement.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    start_ms: i64,
    length_ms: u64,
    /// What becomes of its rows.
    pub placement: Placement,
}

impl Stretch {
    /// Whether a row of this rowtime stands in the stretch.
    #[inline(always)]
    pub fn holds(&self, rowtime: Timestamp) -> bool {
        // A rowtime before the start wraps around to a large number.
        (rowtime.as_millis().wrapping_sub(self.start_ms) as u64) < self.length_ms
    }
}

/// The panes of one subtask, with a table of type `P` each, and its event time.
#[derive(Debug)]
pub struct WindowState<P> {
    spec: WindowSpec,
    panes: PaneRegistry<P>,
    watermark: Timestamp,
    /// The first window that has not fired; `None` when time is over.
    next: Option<i64>,
}

impl<P: PaneTable + 'static> WindowState<P> {
    /// No panes yet; `empty` makes the tables of panes.
    pub fn new(spec: WindowSpec, empty: impl Fn() -> P + Send + 'static) -> Self {
        WindowState {
            spec,
            panes: PaneRegistry::new(empty),
            watermark: Timestamp::MIN,
            next: Some(i64::MIN),
        }
    }

    /// The windows.
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// The operator's event time.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The panes' tables.
    pub fn panes(&self) -> &PaneRegistry<P> {
        &self.panes
    }

    /// The panes' tables, to be filled.
    pub fn panes_mut(&mut self) -> &mut PaneRegistry<P> {
        &mut self.panes
    }

    /// What becomes of a row of a batch with this bound, and of its neighbours in event time.
    pub fn place(&self, rowtime: Timestamp, bound: Timestamp) -> Stretch {
        let windows = self.spec.windows_at(rowtime);
        let Some(pane) = self.spec.pane_at(rowtime) else {
            // Between the end of the window before and the start of the one behind.
            let before = self.spec.window(windows.start.saturating_sub(1)).end;
            let behind = self.spec.window(windows.start).start;
            return stretch(before, behind, Placement::Gap);
        };
        let bounds = self.spec.pane(pane);
        stretch(bounds.start, bounds.end, self.placement(pane, windows, bound))
    }

    fn placement(&self, pane: i64, windows: std::ops::Range<i64>, bound: Timestamp) -> Placement {
        let opens = (self.spec.first_open(bound), self.spec.first_open(self.watermark));
        let (Some(for_batch), Some(for_operator)) = opens else { return Placement::Late };
        let first = windows.start.max(for_batch).max(for_operator);
        if first >= windows.end {
            return Placement::Late;
        }
        let restricted = for_batch > windows.start.max(for_operator);
        let key = PaneKey { pane, first: if restricted { for_batch } else { i64::MIN } };
        Placement::Pane { key, fires_again: self.next.is_none_or(|next| first < next) }
    }

    /// Event time has come to `watermark`; windows may be due.
    pub fn advance(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(watermark);
    }

    /// The next window that is due and holds rows. The caller puts it out, then says
    /// [`WindowState::fired`].
    pub fn due(&mut self) -> Option<i64> {
        let until = self.spec.first_unfired(self.watermark);
        let next = self.next?;
        match self.first_filled(next) {
            Some(window) if until.is_none_or(|until| window < until) => Some(window),
            _ => {
                self.next = until.map(|until| until.max(next));
                self.drop_closed();
                None
            }
        }
    }

    /// Window `window` has been put out.
    pub fn fired(&mut self, window: i64) {
        self.next = window.checked_add(1);
        self.drop_closed();
    }

    /// The slots of the panes that `window` is made of, in order.
    pub fn slots_of(&self, window: i64) -> impl Iterator<Item = usize> {
        let panes = self.spec.panes_of(window);
        self.panes
            .from(panes.start)
            .take_while(move |(key, _)| key.pane < panes.end)
            .filter(move |(key, _)| key.first <= window)
            .map(|(_, slot)| slot)
    }

    /// The windows that rows of the pane contribute to, that have fired and that are open still.
    pub fn fired_windows_of(&self, pane: PaneKey) -> std::ops::Range<i64> {
        let windows = self.spec.windows_of(pane.pane);
        let Some(open) = self.spec.first_open(self.watermark) else { return 0..0 };
        let end = self.next.map_or(windows.end, |next| windows.end.min(next));
        windows.start.max(pane.first).max(open)..end
    }

    /// The first window from number `from` on that has a pane.
    fn first_filled(&self, from: i64) -> Option<i64> {
        let mut first: Option<i64> = None;
        for (key, _) in self.panes.from(self.spec.panes_of(from).start) {
            let windows = self.spec.windows_of(key.pane);
            // Panes further on belong to no earlier window.
            if first.is_some_and(|first| windows.start >= first) {
                break;
            }
            let candidate = windows.start.max(key.first).max(from);
            if candidate < windows.end && first.is_none_or(|first| candidate < first) {
                first = Some(candidate);
            }
        }
        first
    }

    /// Drops the panes of which every window has fired and closed.
    fn drop_closed(&mut self) {
        let open = self.spec.first_open(self.watermark);
        let keep_from = match (open, self.next) {
            (Some(open), Some(next)) => Some(open.min(next)),
            (open, next) => open.or(next),
        };
        while let Some(key) = self.panes.first() {
            let last_done =
                keep_from.is_none_or(|keep_from| self.spec.windows_of(key.pane).end <= keep_from);
            if !last_done {
                break;
            }
            self.panes.drop_pane(key);
        }
    }

    /// Copies what a checkpoint needs. `layout` names what the tables hold.
    pub fn snapshot(&mut self, request: SnapshotRequest, layout: &str) -> Snapshot {
        self.panes.snapshot(request, layout, self.watermark)
    }

    /// Memory of the panes, in bytes.
    pub fn bytes(&self) -> usize {
        self.panes.bytes()
    }

    /// Takes over chains of any former parallelism. `keep` is given each pane's rows and the slot
    /// of the table to add to, and takes those whose keys this subtask owns.
    ///
    /// The subtasks of a checkpoint have the same watermark, since all senders tell it to all of
    /// them. Should they differ, time goes on from the smallest, and panes of subtasks that were
    /// ahead keep out of windows that these had fired: nothing is lost, nothing fires twice.
    ///
    /// # Errors
    /// `Restore` when a chain can't be read, and those of `keep`.
    pub fn restore<R: PaneRows>(
        &mut self,
        chains: &[Vec<Vec<u8>>],
        layout: &str,
        empty: impl Fn() -> R,
        mut keep: impl FnMut(&mut P, R) -> Result<()>,
    ) -> Result<()> {
        let mut restored = Vec::new();
        for chain in chains.iter().filter(|chain| !chain.is_empty()) {
            restored.push(read_chain(chain, layout, &empty)?);
        }
        let Some(watermark) = restored.iter().map(|chain| chain.watermark).min() else {
            return Ok(());
        };
        for chain in restored {
            let ahead = chain.watermark > watermark;
            let fired = self.spec.first_unfired(chain.watermark).filter(|_| ahead);
            for (mut key, rows) in chain.panes {
                key.first = key.first.max(fired.unwrap_or(i64::MIN));
                let slot = self.panes.slot(key);
                keep(self.panes.table_mut(slot), rows)?;
                if self.panes.table(slot).rows() == 0 {
                    self.panes.drop_pane(key);
                }
            }
        }
        self.watermark = watermark;
        self.next = self.spec.first_unfired(watermark);
        Ok(())
    }
}

fn stretch(start: Timestamp, end: Timestamp, placement: Placement) -> Stretch {
    // An end that saturated leaves `Timestamp::MAX` itself outside; such a row is placed by itself.
    let length_ms = end.as_millis().wrapping_sub(start.as_millis()) as u64;
    Stretch { start_ms: start.as_millis(), length_ms, placement }
}

/// The stretches that a batch has met lately: disorder goes back and forth between a few. For one
/// batch alone, since its bound decides on placements.
#[derive(Debug, Default)]
pub struct RecentStretches {
    stretches: [Option<(Stretch, usize)>; 4],
    next: usize,
}

impl RecentStretches {
    /// The stretch of a row and the slot of its pane, which is added to the state if it is new;
    /// there is no slot for late rows and gaps.
    ///
    /// # Errors
    /// `FixInput` for a row without event time.
    #[inline]
    pub fn locate<P: PaneTable + 'static>(
        &mut self,
        state: &mut WindowState<P>,
        rowtime: Timestamp,
        bound: Timestamp,
    ) -> Result<(Stretch, usize)> {
        let mut known = self.stretches.iter().flatten();
        if let Some(found) = known.find(|(stretch, _)| stretch.holds(rowtime)) {
            return Ok(*found);
        }
        if rowtime == Timestamp::MIN {
            return Err(Error::fix_input("a row without event time reached a window")
                .hint("assign timestamps and watermarks before the window"));
        }
        let stretch = state.place(rowtime, bound);
        let slot = match stretch.placement {
            Placement::Pane { key, .. } => state.panes_mut().slot(key),
            Placement::Late | Placement::Gap => usize::MAX,
        };
        self.stretches[self.next % self.stretches.len()] = Some((stretch, slot));
        self.next += 1;
        Ok((stretch, slot))
    }
}
