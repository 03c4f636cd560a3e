//! Files that take their place only when all of them is written.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file under way: beside its place, under a name of its own, which goes when this is dropped.
///
/// What is no regular file (a terminal, a pipe, `/dev/null`) cannot be replaced and is written to as it is.
#[derive(Debug)]
pub(crate) enum AtomicFile {
    Beside { temporary: NamedTempFile, place: PathBuf },
    Direct(File),
}

impl AtomicFile {
    /// Starts a file for `path`. Symbolic links are followed, so that a link stays one.
    ///
    /// # Errors
    /// When the file could not be put there: no such directory, no right to write to it or to the file
    /// that is there.
    pub(crate) fn create(path: &Path) -> io::Result<AtomicFile> {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mode = match fs::metadata(&place) {
            // Renaming would replace a file that must not be written to.
            Ok(there) => {
                let old = OpenOptions::new().write(true).open(&place)?;
                if !there.is_file() {
                    return Ok(AtomicFile::Direct(old));
                }
                Some(there.permissions().mode() & 0o7777)
            }
            Err(_) => None,
        };
        let directory = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Part of its name says what it will be; all of it could be as long as names get.
        let name: String = place.file_name().unwrap_or_default().to_string_lossy().chars().take(32).collect();
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            // As any file that the user makes, and not only for the user's eyes.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)?;
        if let Some(mode) = mode {
            temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(AtomicFile::Beside { temporary, place })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        match self {
            AtomicFile::Beside { temporary, .. } => temporary.as_file_mut(),
            AtomicFile::Direct(file) => file,
        }
    }

    /// Puts the file in its place, all of it on disk.
    ///
    /// # Errors
    /// When the file system refuses; what was there before stays.
    pub(crate) fn commit(self) -> io::Result<()> {
        let AtomicFile::Beside { temporary, place } = self else { return Ok(()) };
        temporary.as_file().sync_all()?;
        temporary.persist(&place).map_err(|e| e.error)?;
        // The rename itself is on disk when the directory is; a file system that cannot say so is no error.
        if let Some(directory) = place.parent().and_then(|d| File::open(d).ok()) {
            let _ = directory.sync_all();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    fn write(path: &Path, text: &str) -> io::Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.file().write_all(text.as_bytes())?;
        file.commit()
    }

    #[test]
    fn a_file_appears_whole_and_keeps_mode_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = AtomicFile::create(&path).unwrap();
        file.file().write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of a file given up");

        write(&path, "one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        write(Path::new("/dev/null"), "gone").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let full = write(Path::new("/dev/full"), "no room");
        assert!(full.is_err() && fs::metadata("/dev/full").unwrap().file_type().is_char_device());
        let dir = tempfile::tempdir().unwrap();
        assert!(write(dir.path(), "a directory").is_err());
        assert!(write(&dir.path().join("no/such/place"), "nowhere").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
