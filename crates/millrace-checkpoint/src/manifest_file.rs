//! The bytes of a manifest file: the manifest as indented JSON, then one line of JSON with the
//! length and the CRC-32C of everything before it. A file that was cut off has no such line or too
//! much length in it, and a flipped bit shows in the checksum.

use millrace_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::manifest::{Manifest, VERSION};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Trailer {
    bytes: u64,
    crc32c: u32,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// The file's bytes.
pub(crate) fn encode(manifest: &Manifest) -> Result<Vec<u8>> {
    let unwritable = |cause| {
        Error::report(format!("the manifest of checkpoint {} is not JSON", manifest.checkpoint))
            .caused_by(cause)
    };
    let mut file = serde_json::to_vec_pretty(manifest).map_err(unwritable)?;
    file.push(b'\n');
    let trailer = Trailer { bytes: file.len() as u64, crc32c: crc32c::crc32c(&file) };
    serde_json::to_writer(&mut file, &trailer).map_err(unwritable)?;
    file.push(b'\n');
    Ok(file)
}

/// The manifest in a file's bytes.
///
/// # Errors
/// Of kind `Restore`, without the file's name, when the bytes are damaged or of a newer version.
pub(crate) fn decode(file: &[u8]) -> Result<Manifest> {
    let content = check(file)?;
    let unreadable =
        |cause| Error::restore("the manifest does not have the expected form").caused_by(cause);
    let VersionOnly { version } = serde_json::from_slice(content).map_err(unreadable)?;
    if version != VERSION {
        let error =
            Error::restore(format!("the manifest has version {version}, this program reads 1"));
        return Err(if version > VERSION {
            error.hint("it was written by a newer Millrace: run that one, or a newer one")
        } else {
            error
        });
    }
    serde_json::from_slice(content).map_err(unreadable)
}

/// The part that the trailer vouches for.
fn check(file: &[u8]) -> Result<&[u8]> {
    let damaged = |what: String| Err(Error::restore(what));
    let Some(body) = file.strip_suffix(b"\n") else {
        return damaged(format!("the manifest is cut off after {} bytes", file.len()));
    };
    let start = body.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let (content, trailer) = file.split_at(start);
    let Ok(trailer) = serde_json::from_slice::<Trailer>(trailer) else {
        return damaged("the manifest does not end in its checksum".to_owned());
    };
    let found = Trailer { bytes: content.len() as u64, crc32c: crc32c::crc32c(content) };
    if trailer.bytes != found.bytes {
        return damaged(format!(
            "the manifest has {} bytes instead of {}",
            found.bytes, trailer.bytes
        ));
    }
    if trailer != found {
        return damaged(format!(
            "the manifest's checksum is {:08x} instead of {:08x}",
            found.crc32c, trailer.crc32c
        ));
    }
    Ok(content)
}
