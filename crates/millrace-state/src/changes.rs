//! Which rows of a dense table changed since the last snapshot.

use std::ops::Range;

/// Rows of a chunk: the grain of change tracking. Smaller chunks copy less for a checkpoint, larger
/// ones cost less to note; at 256 rows of 16 bytes a chunk is a page of memory.
pub const CHUNK_ROWS: usize = 256;

/// A mark for each chunk of [`CHUNK_ROWS`] rows.
///
/// ```
/// use millrace_state::ChangedChunks;
///
/// let mut changes = ChangedChunks::default();
/// changes.grow(1_000);
/// changes.clear();
/// changes.mark(300);
/// assert_eq!(changes.ranges(1_000).collect::<Vec<_>>(), [256..512]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChangedChunks {
    /// One byte a chunk: a store without a read, unlike bits.
    marks: Vec<bool>,
}

impl ChangedChunks {
    /// There are `rows` rows now; chunks that are new count as changed.
    #[inline]
    pub fn grow(&mut self, rows: usize) {
        let chunks = rows.div_ceil(CHUNK_ROWS);
        if chunks > self.marks.len() {
            self.marks.resize(chunks, true);
        }
    }

    /// Row `row`, one of those announced by `grow`, changed.
    #[inline]
    pub fn mark(&mut self, row: usize) {
        self.marks[row / CHUNK_ROWS] = true;
    }

    /// Whether any row changed.
    pub fn any(&self) -> bool {
        self.marks.contains(&true)
    }

    /// How many rows stand in changed chunks, the last one counted whole.
    pub fn changed_rows(&self) -> usize {
        self.marks.iter().filter(|&&mark| mark).count() * CHUNK_ROWS
    }

    /// The changed chunks of a table of `rows` rows, ascending, as ranges of rows.
    pub fn ranges(&self, rows: usize) -> impl Iterator<Item = Range<usize>> {
        let chunks = self.marks.iter().enumerate().filter(|&(_, &mark)| mark);
        chunks.map(move |(chunk, _)| range_of(chunk, rows)).filter(|range| !range.is_empty())
    }

    /// Nothing has changed, from now on.
    pub fn clear(&mut self) {
        self.marks.fill(false);
    }

    /// Forgets all rows.
    pub fn reset(&mut self) {
        self.marks.clear();
    }

    /// Memory that the marks take, in bytes.
    pub fn bytes(&self) -> usize {
        self.marks.capacity()
    }
}

/// The rows of chunk `chunk` in a table of `rows` rows.
pub(crate) fn range_of(chunk: usize, rows: usize) -> Range<usize> {
    let start = chunk.saturating_mul(CHUNK_ROWS).min(rows);
    start..start.saturating_add(CHUNK_ROWS).min(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_rows_count_as_changed_and_old_ones_only_when_marked() {
        let mut changes = ChangedChunks::default();
        changes.grow(300);
        assert_eq!(changes.ranges(300).collect::<Vec<_>>(), [0..256, 256..300]);
        changes.clear();
        assert!(!changes.any());
        changes.mark(0);
        changes.grow(600);
        assert_eq!(changes.ranges(600).collect::<Vec<_>>(), [0..256, 512..600]);
    }

    #[test]
    fn rows_added_to_a_chunk_that_exists_must_be_marked() {
        let mut changes = ChangedChunks::default();
        changes.grow(10);
        changes.clear();
        changes.grow(20);
        assert!(!changes.any());
        changes.mark(10);
        assert_eq!(changes.ranges(20).map(|range| range.end).collect::<Vec<_>>(), [20]);
    }
}
