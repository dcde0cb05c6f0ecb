//! Storage that fails.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use millrace_core::seam::{Clock, yield_now};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::random::SimRandom;

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing is written.
    Fail,
    /// It fails for want of space, and nothing is written.
    NoSpace,
    /// It is written, and yet reported as failed: the answer got lost.
    AnswerLost,
    /// Only this many thousandths of it are written, and it is reported as failed.
    Torn {
        /// Of 1,000.
        per_mille: u16,
    },
    /// One bit of it is flipped, and it is reported as written.
    Corrupt,
    /// It is written after this time.
    Delay(Duration),
}

/// Which writes meet which fault. Clones share their count of writes.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    nth: BTreeMap<u64, Fault>,
    writes: u64,
    /// With how many thousandths of writes something goes wrong, and the kinds to choose from.
    random: Option<(SimRandom, u64, Vec<Fault>)>,
}

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// The `nth` write from now on, counted from 1, meets `fault`.
    #[must_use]
    pub fn on_write(self, nth: u64, fault: Fault) -> Self {
        {
            let mut plan = self.plan();
            let write = plan.writes + nth;
            plan.nth.insert(write, fault);
        }
        self
    }

    /// About `per_mille` of 1,000 writes meet one of `kinds`, as `seed` will have it.
    #[must_use]
    pub fn at_random(self, seed: u64, per_mille: u64, kinds: &[Fault]) -> Self {
        assert!(!kinds.is_empty(), "random faults need kinds to choose from");
        self.plan().random = Some((SimRandom::new(seed, "faults"), per_mille, kinds.to_vec()));
        self
    }

    /// How many writes there have been.
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    fn next(&self) -> Option<Fault> {
        let mut plan = self.plan();
        plan.writes += 1;
        let write = plan.writes;
        plan.nth.remove(&write).or_else(|| {
            let (random, per_mille, kinds) = plan.random.as_ref()?;
            let hit = random.chance(*per_mille);
            hit.then(|| kinds[random.below(kinds.len() as u64) as usize])
        })
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object store that takes its time and shows faults.
///
/// Each access waits for a few milliseconds of the given clock, as the seed will have it, so that
/// other tasks run in between.
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    latency: SimRandom,
}

impl FaultyStore {
    /// Wraps `inner`.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        seed: u64,
        faults: Faults,
    ) -> Self {
        let latency = SimRandom::new(seed, "latency");
        FaultyStore { inner, clock, faults, latency }
    }

    async fn take_time(&self) {
        match self.latency.below(8) {
            0 => yield_now().await,
            millis => self.clock.sleep(Duration::from_millis(millis)).await,
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

fn failed(cause: impl Into<io::Error>) -> Error {
    Error::Generic { store: "simulated storage", source: Box::new(cause.into()) }
}

fn joined(payload: &PutPayload) -> Vec<u8> {
    payload.iter().flat_map(|chunk| chunk.to_vec()).collect()
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.faults.next();
        self.take_time().await;
        match fault {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Fault::Fail) => Err(failed(io::ErrorKind::ConnectionReset)),
            Some(Fault::NoSpace) => Err(failed(io::ErrorKind::StorageFull)),
            Some(Fault::AnswerLost) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(failed(io::ErrorKind::TimedOut))
            }
            Some(Fault::Torn { per_mille }) => {
                let mut bytes = joined(&payload);
                bytes.truncate(bytes.len() * usize::from(per_mille.min(999)) / 1_000);
                self.inner.put_opts(location, bytes.into(), options).await?;
                Err(failed(io::ErrorKind::BrokenPipe))
            }
            Some(Fault::Corrupt) => {
                let mut bytes = joined(&payload);
                let bits = bytes.len() as u64 * 8;
                if bits > 0 {
                    let bit = self.latency.below(bits);
                    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                }
                self.inner.put_opts(location, bytes.into(), options).await
            }
            Some(Fault::Delay(time)) => {
                self.clock.sleep(time).await;
                self.inner.put_opts(location, payload, options).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.take_time().await;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.take_time().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.take_time().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.take_time().await;
        self.inner.copy_opts(from, to, options).await
    }
}
