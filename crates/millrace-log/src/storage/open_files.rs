//! The files of closed segments that are open: a bounded number.
//!
//! A log may have many more segments than a process may have open files. A closed segment's file
//! and index are opened by whoever reads it, and closed when too many others were read since. Who
//! holds one meanwhile goes on reading it. The segment that is written to stays open.

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::disk::Disk;
use super::index::Index;
use super::lock;

/// Lets the process have as many files open as the system allows it: what it starts with is often
/// 1,024, and each partition has one open.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(limit = ?limit.current, %error, "the limit of open files was not raised");
    }
}

/// The file of a segment and where its batches are.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub file: File,
    pub index: RwLock<Index>,
}

/// The files that are open, over any number of partitions.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    limit: usize,
    disk: Arc<dyn Disk>,
    next_id: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// By segment, each with the moment of its last use.
    segments: HashMap<u64, (Arc<OpenSegment>, u64)>,
    uses: u64,
}

impl OpenFiles {
    /// At most this many, but at least one.
    pub fn new(limit: usize, disk: Arc<dyn Disk>) -> Arc<Self> {
        let limit = limit.max(1);
        Arc::new(OpenFiles { limit, disk, next_id: AtomicU64::new(0), open: Mutex::default() })
    }

    /// Where the files are.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// A number that no other segment has.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// A segment's file, if it is open.
    pub(super) fn get(&self, id: u64) -> Option<Arc<OpenSegment>> {
        let mut open = lock::mutex(&self.open);
        open.uses += 1;
        let uses = open.uses;
        let (segment, used) = open.segments.get_mut(&id)?;
        *used = uses;
        Some(segment.clone())
    }

    /// Keeps a segment's file open; the one that was not used for longest gives way.
    pub(super) fn insert(&self, id: u64, segment: Arc<OpenSegment>) {
        let mut closed = Vec::new();
        {
            let mut open = lock::mutex(&self.open);
            open.uses += 1;
            let uses = open.uses;
            open.segments.insert(id, (segment, uses));
            while open.segments.len() > self.limit {
                let oldest = open.segments.iter().min_by_key(|(_, (_, used))| *used);
                let Some(oldest) = oldest.map(|(id, _)| *id) else { break };
                closed.extend(open.segments.remove(&oldest));
            }
        }
        // Closing files is left to the end of this, where nobody waits for it.
        drop(closed);
    }

    /// The segment is gone.
    pub(super) fn remove(&self, id: u64) {
        let closed = lock::mutex(&self.open).segments.remove(&id);
        drop(closed);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock::mutex(&self.open).segments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::SystemDisk;
    use super::*;

    fn segment() -> Arc<OpenSegment> {
        let file = File::open("/dev/null").unwrap();
        Arc::new(OpenSegment { file, index: RwLock::default() })
    }

    #[test]
    fn the_process_may_have_as_many_files_as_the_system_allows() {
        raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn the_file_that_was_not_used_for_longest_gives_way() {
        let files = OpenFiles::new(2, Arc::new(SystemDisk));
        files.insert(1, segment());
        files.insert(2, segment());
        assert!(files.get(1).is_some());
        files.insert(3, segment());
        assert_eq!(files.count(), 2);
        assert!(files.get(2).is_none());
        assert!(files.get(1).is_some() && files.get(3).is_some());
        files.remove(1);
        assert!(files.get(1).is_none());
    }
}
