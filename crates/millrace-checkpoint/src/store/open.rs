//! From a URI to a store.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use millrace_core::{CheckpointId, Error, Result};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use super::failure::storage_error;
use super::local::DurableFileSystem;
use super::{CheckpointStore, layout};

const SUPPORTED: &str =
    "supported are a local path, `file:///path`, `s3://bucket/prefix` and `memory:`";

/// Cuts the URI of a manifest into that of its checkpoint directory and the checkpoint's number;
/// any other URI is a directory's, and comes back as it is.
///
/// ```
/// use millrace_checkpoint::split_manifest_uri;
/// use millrace_core::CheckpointId;
///
/// assert_eq!(split_manifest_uri("ckpt/manifests/7.json"), ("ckpt", Some(CheckpointId(7))));
/// assert_eq!(split_manifest_uri("s3://bucket/job"), ("s3://bucket/job", None));
/// ```
pub fn split_manifest_uri(uri: &str) -> (&str, Option<CheckpointId>) {
    let split = || {
        let (folder, file) = uri.rsplit_once('/')?;
        let checkpoint = layout::manifest_id(file)?;
        let directory = match folder.strip_suffix(layout::MANIFESTS)? {
            "" => ".",
            "/" => "/",
            above => above.strip_suffix('/')?,
        };
        Some((directory, checkpoint))
    };
    split().map_or((uri, None), |(directory, checkpoint)| (directory, Some(checkpoint)))
}

enum Location {
    Local(PathBuf),
    Memory,
    S3(Url),
}

fn locate(uri: &str) -> Result<Location> {
    let refuse = |why: &str| {
        Error::fix_input(format!("cannot keep checkpoints at `{uri}`: {why}")).hint(SUPPORTED)
    };
    if uri.trim().is_empty() {
        return Err(refuse("it is empty"));
    }
    if matches!(uri, "memory:" | "memory:/" | "memory://" | "memory:///") {
        return Ok(Location::Memory);
    }
    let Some((scheme, rest)) = uri.split_once("://") else {
        // `file:x` would be taken for `/x` by the rules of URLs, and for a folder `file:x` by a
        // shell: neither is a safe guess.
        return match ["file:", "s3:", "memory:"].iter().any(|prefix| uri.starts_with(prefix)) {
            true => Err(refuse("it is not a complete URI")),
            false => Ok(Location::Local(PathBuf::from(uri))),
        };
    };
    match scheme {
        "file" => {
            let path = Url::parse(uri).ok().and_then(|url| url.to_file_path().ok());
            path.filter(|_| rest.starts_with('/'))
                .map(Location::Local)
                .ok_or_else(|| refuse("it is not a `file:///` URI of this machine"))
        }
        "s3" => match Url::parse(uri) {
            Ok(url) if url.host_str().is_some_and(|bucket| !bucket.is_empty()) => {
                Ok(Location::S3(url))
            }
            _ => Err(refuse("it names no bucket")),
        },
        other => Err(refuse(&format!("there is no storage `{other}`"))),
    }
}

impl CheckpointStore {
    /// The checkpoint directory at a local path (absolute, or relative to the working directory),
    /// `file:///path`, `s3://bucket/prefix` (feature `aws`; options from the environment's
    /// `AWS_*` variables, such as `AWS_REGION`, `AWS_ENDPOINT` and `AWS_ALLOW_HTTP`) or `memory:`.
    /// A local directory is created when it is missing.
    ///
    /// # Errors
    /// `FixInput` for a URI that is not supported and for a directory that cannot be used.
    pub fn open(uri: &str) -> Result<Self> {
        Self::open_at(uri, true)
    }

    /// As [`CheckpointStore::open`], but a local directory must be there already: for reading what
    /// a job has left.
    ///
    /// # Errors
    /// As for `open`; `FixInput` when there is no such directory.
    pub fn open_existing(uri: &str) -> Result<Self> {
        Self::open_at(uri, false)
    }

    fn open_at(uri: &str, create: bool) -> Result<Self> {
        let shown = uri.trim_end_matches('/');
        let shown = if shown.is_empty() { uri } else { shown }.to_owned();
        match locate(uri)? {
            Location::Local(path) => Self::open_local(&path, shown, create),
            Location::Memory => {
                let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
                Ok(CheckpointStore { durable: false, ..Self::with_object_store(memory, shown) })
            }
            Location::S3(url) => open_s3(&url, shown),
        }
    }

    fn open_local(path: &FilePath, uri: String, create: bool) -> Result<Self> {
        if !create && !path.is_dir() {
            return Err(Error::fix_input(format!(
                "there is no checkpoint directory `{}`",
                path.display()
            )));
        }
        let failed = |cause: std::io::Error| {
            let cause = object_store::Error::Generic { store: "local", source: cause.into() };
            storage_error(&format!("open checkpoint directory `{}`", path.display()), cause)
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        // Absolute, so that a change of the working directory changes nothing.
        let root = path.canonicalize().map_err(failed)?;
        let files = DurableFileSystem::new(&root).map_err(|cause| {
            storage_error(&format!("open checkpoint directory `{}`", path.display()), cause)
        })?;
        Ok(CheckpointStore { local: Some(root), ..Self::with_object_store(Arc::new(files), uri) })
    }

    /// A store in the given object store, at its root. It counts as durable.
    pub fn with_object_store(store: Arc<dyn ObjectStore>, uri: String) -> Self {
        CheckpointStore { store, root: Path::default(), uri, durable: true, local: None }
    }
}

#[cfg(feature = "aws")]
fn open_s3(url: &Url, uri: String) -> Result<CheckpointStore> {
    use object_store::aws::AmazonS3Builder;

    let failed = |cause| storage_error(&format!("open checkpoint directory `{uri}`"), cause);
    let root = Path::from_url_path(url.path())
        .map_err(|cause| failed(object_store::Error::InvalidPath { source: cause }))?;
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(url.host_str().unwrap_or_default())
        .build()
        .map_err(failed)?;
    Ok(CheckpointStore { root, ..CheckpointStore::with_object_store(Arc::new(store), uri) })
}

#[cfg(not(feature = "aws"))]
fn open_s3(_url: &Url, uri: String) -> Result<CheckpointStore> {
    Err(Error::fix_input(format!(
        "cannot keep checkpoints at `{uri}`: this build has no support for S3"
    ))
    .hint("build with the feature `aws`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_that_are_not_supported_are_refused_with_those_that_are() {
        for uri in
            ["", "gs://bucket/x", "file:x", "file://host/x", "s3:bucket", "s3:///x", "memory:x"]
        {
            let error = CheckpointStore::open(uri).map(|store| store.uri().to_owned()).unwrap_err();
            assert_eq!(error.kind(), millrace_core::ErrorKind::FixInput, "{uri}");
            assert!(error.message().contains(&format!("`{uri}`")), "{error}");
            assert_eq!(error.hint_text(), Some(SUPPORTED), "{uri}");
        }
    }

    #[cfg(not(feature = "aws"))]
    #[test]
    fn s3_without_its_feature_is_refused_with_a_hint() {
        let error = CheckpointStore::open("s3://bucket/x").unwrap_err();
        assert!(error.hint_text().unwrap().contains("aws"), "{error}");
    }

    #[test]
    fn a_manifest_uri_is_told_from_a_directory() {
        assert_eq!(split_manifest_uri("manifests/3.json"), (".", Some(CheckpointId(3))));
        assert_eq!(split_manifest_uri("/manifests/3.json"), ("/", Some(CheckpointId(3))));
        for directory in ["a/b", "x.json", "xmanifests/3.json", "a/manifests/x.json"] {
            assert_eq!(split_manifest_uri(directory), (directory, None));
        }
    }
}
