//! Which files a `path` means: a file, a directory, or a glob.

use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use millrace_core::{Error, Result};

use super::input::io_error;

/// The option `path`, understood.
#[derive(Clone, Debug)]
pub(crate) enum Listing {
    /// A file, or a directory with all below it.
    Tree(PathBuf),
    /// Files below `root` whose path matches.
    Glob { root: PathBuf, matcher: GlobMatcher, text: String },
}

impl Listing {
    /// # Errors
    /// `FixInput` for a malformed glob or a URI of another scheme.
    pub fn parse(path: &str) -> Result<Self> {
        let path = local_path(path)?;
        let text = path.to_string_lossy().into_owned();
        let is_glob = text.contains(['*', '?', '[', '{']);
        // A file may be called like a glob.
        if !is_glob || path.exists() {
            return Ok(Listing::Tree(path));
        }
        let matcher = GlobBuilder::new(&text)
            .literal_separator(true)
            .build()
            .map_err(|cause| {
                Error::fix_input(format!("option `path` is not a glob: `{text}`")).caused_by(cause)
            })?
            .compile_matcher();
        let plain = |part: &Component<'_>| {
            !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{', '}'])
        };
        let root: PathBuf = path.components().take_while(plain).collect();
        Ok(Listing::Glob { root, matcher, text })
    }

    /// All files, sorted by path. Names that begin with `.` or `_` are hidden, as in Flink.
    ///
    /// # Errors
    /// `FixInput` when there is no such file or directory, or nothing matches.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        match self {
            Listing::Tree(path) => {
                let metadata = fs::metadata(path).map_err(|cause| io_error("read", path, cause))?;
                if metadata.is_dir() {
                    collect(path, &mut files)?;
                } else {
                    files.push(path.clone());
                }
            }
            Listing::Glob { root, matcher, text } => {
                let start = if root.as_os_str().is_empty() { Path::new(".") } else { root };
                collect(start, &mut files)?;
                if root.as_os_str().is_empty() {
                    files = files.iter().map(|file| strip_current(file)).collect();
                }
                files.retain(|file| matcher.is_match(file));
                if files.is_empty() {
                    return Err(Error::fix_input(format!("no file matches `{text}`")));
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// A local path from a path or a `file:` URI, without `.` in it, so that one file has one name.
pub(crate) fn local_path(text: &str) -> Result<PathBuf> {
    let path = match text.split_once("://") {
        Some(("file", rest)) if rest.starts_with('/') => rest,
        Some((scheme, _)) => {
            return Err(Error::fix_input(format!("option `path` cannot be `{text}`"))
                .hint(format!("`{scheme}://` is not supported; use a local path or `file:///…`")));
        }
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        return Err(Error::fix_input("option `path` is empty"));
    }
    let cleaned = strip_current(Path::new(path));
    Ok(if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned })
}

fn strip_current(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).map_err(|cause| io_error("read", directory, cause))?;
    for entry in entries {
        let entry = entry.map_err(|cause| io_error("read", directory, cause))?;
        let name = entry.file_name();
        if matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_')) {
            continue;
        }
        let path = entry.path();
        // A file that is gone by now was renamed or removed while we looked.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
