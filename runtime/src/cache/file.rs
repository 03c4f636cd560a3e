//! One entry as a file: a header with a checksum, then the payload.

use super::Key;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

const MAGIC: [u8; 8] = *b"TTKCODE\x01";

/// Magic, key, length of the payload, BLAKE3 of the payload.
const HEADER: usize = 8 + 32 + 8 + 32;

/// The extension of files that are being written.
pub(super) const TEMPORARY: &str = "part";

/// Makes the directory if it is not there; whether it can be used.
pub(super) fn prepare(directory: &Path) -> bool {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.is_ok() && is_private(directory)
}

/// Whether the directory is there and belongs to this user (or root), with nobody else in the world
/// allowed to write to it: the code in it will be run.
pub(super) fn is_private(directory: &Path) -> bool {
    let Ok(metadata) = fs::metadata(directory) else { return false };
    // SAFETY: asks for a number.
    let me = unsafe { libc::geteuid() };
    metadata.is_dir() && (metadata.uid() == me || metadata.uid() == 0) && metadata.mode() & 0o002 == 0
}

/// Writes an entry so that whoever looks sees all of it or nothing.
pub(super) fn write(directory: &Path, path: &Path, key: &Key, payload: &[u8]) -> io::Result<()> {
    let suffix = format!(".{TEMPORARY}");
    let mut file = tempfile::Builder::new().prefix(".").suffix(&suffix).tempfile_in(directory)?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(key.bytes());
    header.extend((payload.len() as u64).to_le_bytes());
    header.extend(blake3::hash(payload).as_bytes());
    file.write_all(&header)?;
    file.write_all(payload)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// The payload of an entry's file, if the file is whole and the entry that of the key.
pub(super) fn payload<'a>(bytes: &'a [u8], key: &Key) -> Option<&'a [u8]> {
    let (header, payload) = bytes.split_at_checked(HEADER)?;
    let good = header[..8] == MAGIC
        && header[8..40] == *key.bytes()
        && header[40..48] == (payload.len() as u64).to_le_bytes()
        && header[48..] == *blake3::hash(payload).as_bytes();
    good.then_some(payload)
}
