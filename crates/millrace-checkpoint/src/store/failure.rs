//! From what storage says to what the caller must do.

use std::error::Error as StdError;
use std::io;

use millrace_core::{Error, ErrorKind};
use object_store::Error as StoreError;

/// An error that says what was being done (``write `ckpt/parts/…` ``), with the kind that fits its
/// cause: no room or no answer is worth another try, no permission is not.
pub(super) fn storage_error(doing: &str, cause: StoreError) -> Error {
    let (kind, hint) = classify(&cause);
    let error = Error::new(kind, format!("cannot {doing}"));
    let error = match innermost_io(&cause) {
        // The operating system's own words; what is wrapped around them repeats the path.
        Some(io) => error.caused_by(io.to_string()),
        // As text: each cause in the chain would repeat all those behind it.
        None => error.caused_by(cause.to_string()),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn classify(cause: &StoreError) -> (ErrorKind, Option<&'static str>) {
    match cause {
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            return (ErrorKind::FixInput, Some("check the credentials and what they allow"));
        }
        // Objects that may be missing are asked for elsewhere: here it is what should hold them.
        StoreError::NotFound { .. } => {
            return (ErrorKind::FixInput, Some("does the bucket or directory exist?"));
        }
        // What S3 answers to a listing; the storage client has no variant for it.
        StoreError::Generic { source, .. } if source.to_string().contains("NoSuchBucket") => {
            return (ErrorKind::FixInput, Some("does the bucket exist?"));
        }
        StoreError::UnknownConfigurationKey { .. } | StoreError::InvalidPath { .. } => {
            return (ErrorKind::FixInput, None);
        }
        _ => {}
    }
    match innermost_io(cause).map(io::Error::kind) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => (
            ErrorKind::Retry,
            Some("free some space; the job goes on from its last complete checkpoint"),
        ),
        Some(io::ErrorKind::FileTooLarge) => (
            ErrorKind::Retry,
            Some(
                "raise the limit on file sizes; the job goes on from its last complete checkpoint",
            ),
        ),
        Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            (ErrorKind::FixInput, Some("the checkpoint directory must be writable for this user"))
        }
        // A file is where a directory must be, or the other way round.
        Some(
            io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists,
        ) => (ErrorKind::FixInput, None),
        _ => (ErrorKind::Retry, None),
    }
}

fn innermost_io(cause: &StoreError) -> Option<&io::Error> {
    let mut error: &(dyn StdError + 'static) = cause;
    loop {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        error = error.source()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(io: io::ErrorKind) -> ErrorKind {
        let cause = StoreError::Generic { store: "test", source: Box::new(io::Error::from(io)) };
        storage_error("write `x`", cause).kind()
    }

    #[test]
    fn a_full_disk_is_worth_another_try_and_a_missing_permission_is_not() {
        assert_eq!(kind_of(io::ErrorKind::StorageFull), ErrorKind::Retry);
        assert_eq!(kind_of(io::ErrorKind::TimedOut), ErrorKind::Retry);
        assert_eq!(kind_of(io::ErrorKind::PermissionDenied), ErrorKind::FixInput);
        assert_eq!(kind_of(io::ErrorKind::ReadOnlyFilesystem), ErrorKind::FixInput);
    }
}
