//! A local directory as an object store whose writes survive a power cut.
//!
//! `object_store`'s `LocalFileSystem` writes to a temporary file and renames it, but calls `fsync`
//! neither on the file nor on the directory: after a power cut a manifest could be there while the
//! parts that it names are empty. So writing is done here, in the order *file content, file name*,
//! each made durable before the next: write in `staging/`, `fsync` the file, link or rename it to
//! its place, `fsync` the directory. Reading, listing and deleting are `LocalFileSystem`'s.
//!
//! Like there, blocking work goes to tokio's blocking threads if there is a tokio runtime, and is
//! done in place if there is none, so that the store works on any executor.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use futures::stream::BoxStream;
use millrace_core::{Error, Result};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

const STAGING: &str = "staging";

/// A local directory; its writes are atomic and durable.
#[derive(Clone, Debug)]
pub(super) struct DurableFileSystem {
    root: Arc<FilePath>,
    files: LocalFileSystem,
    staged: Arc<AtomicU64>,
}

impl DurableFileSystem {
    /// The directory at `root`, which must exist.
    pub(super) fn new(root: &FilePath) -> object_store::Result<Self> {
        let files = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true);
        Ok(DurableFileSystem { root: root.into(), files, staged: Arc::default() })
    }

    fn staging_path(&self) -> PathBuf {
        let number = self.staged.fetch_add(1, Relaxed);
        self.root.join(STAGING).join(format!("{}-{number}", std::process::id()))
    }
}

impl std::fmt::Display for DurableFileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableFileSystem({})", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableFileSystem {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("conditional updates")),
        };
        let target = self.files.path_to_filesystem(location)?;
        let staged = self.staging_path();
        let root = Arc::clone(&self.root);
        off_thread(move || {
            let result = write_durably(&root, &staged, &target, &payload, create);
            if result.is_err() {
                // What remains is only a nuisance, and swept when the directory is next locked.
                let _ = fs::remove_file(&staged);
            }
            result.map_err(|source| store_error(&target, source))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(unsupported("writing in parts"))
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        _from: &Path,
        _to: &Path,
        _options: CopyOptions,
    ) -> object_store::Result<()> {
        Err(unsupported("copying"))
    }
}

fn unsupported(what: &str) -> StoreError {
    StoreError::NotSupported { source: format!("checkpoint directories do without {what}").into() }
}

fn store_error(target: &FilePath, source: io::Error) -> StoreError {
    let path = target.display().to_string();
    match source.kind() {
        io::ErrorKind::AlreadyExists => StoreError::AlreadyExists { path, source: source.into() },
        _ => StoreError::Generic { store: "local directory", source: source.into() },
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> object_store::Result<T> + Send + 'static,
) -> object_store::Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

fn write_durably(
    root: &FilePath,
    staged: &FilePath,
    target: &FilePath,
    payload: &PutPayload,
    create: bool,
) -> io::Result<()> {
    create_dir_durably(root, staged.parent().unwrap_or(root))?;
    let folder = target.parent().unwrap_or(root);
    let mut file = File::create(staged)?;
    for chunk in payload {
        file.write_all(chunk)?;
    }
    file.sync_all()?;
    // Deleting the last file of a folder removes the folder, possibly between these two steps.
    for attempt in 0.. {
        create_dir_durably(root, folder)?;
        let placed =
            if create { fs::hard_link(staged, target) } else { fs::rename(staged, target) };
        match placed {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 3 => {}
            other => {
                other?;
                break;
            }
        }
    }
    sync_dir(folder)?;
    if create {
        fs::remove_file(staged)?;
    }
    Ok(())
}

/// Creates `folder` below `root`, with each new name made durable in the directory above it.
fn create_dir_durably(root: &FilePath, folder: &FilePath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent()
        && folder != root
    {
        create_dir_durably(root, parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => return sync_dir(parent),
        }
    }
    fs::create_dir_all(folder)
}

fn sync_dir(folder: &FilePath) -> io::Result<()> {
    // Only Unix can open a directory to make its entries durable.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Keeps a second process out of a checkpoint directory for as long as it lives. The operating
/// system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(Option<File>);

impl Lock {
    /// For stores that other processes cannot reach or that have no locks.
    pub(super) fn none() -> Self {
        Lock(None)
    }

    /// Locks the directory and sweeps away what a crashed process was writing.
    pub(super) fn acquire(root: &FilePath) -> Result<Self> {
        let path = root.join("LOCK");
        let failed = |cause: io::Error| {
            let cause = StoreError::Generic { store: "local directory", source: cause.into() };
            super::failure::storage_error(&format!("lock `{}`", path.display()), cause)
        };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held_by_another(root, &mut file)),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        file.set_len(0).map_err(failed)?;
        // Only for the message that another process would give; it is not what locks.
        let _ = writeln!(file, "{}", std::process::id());
        match fs::remove_dir_all(root.join(STAGING)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed(cause)),
            _ => Ok(Lock(Some(file))),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            // Closing the file unlocks it as well.
            let _ = file.unlock();
        }
    }
}

fn held_by_another(root: &FilePath, file: &mut File) -> Error {
    let mut holder = String::new();
    let _ = file.rewind().and_then(|()| file.take(20).read_to_string(&mut holder));
    let holder = match holder.trim().parse::<u32>() {
        Ok(process) => format!("process {process}"),
        Err(_) => "another process".to_owned(),
    };
    Error::fix_input(format!("checkpoint directory `{}` is in use by {holder}", root.display()))
        .hint("one job at a time may write there: stop the other one, or name another directory")
}
