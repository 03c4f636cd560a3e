//! Compiled programs on disk, so that the next process neither optimises nor compiles.
//!
//! An entry is one file, named by its key, written under another name and renamed, with a checksum over
//! all of it. Whatever is wrong with the directory or a file makes a miss, never an error: the caller
//! compiles. Any number of processes may share a directory.

mod file;
mod key;

pub use key::{Key, KeyBuilder};

use crate::code::KernelCode;
use crate::encode::{DecodeError, Reader, Writer, read_program, write_program};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use ttk_ir::program::Program;

/// What is kept of a compiled graph.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub program: Program,
    /// The code of each of the program's kernels.
    pub kernels: Vec<KernelCode>,
    /// Whatever else the caller needs to skip compilation.
    pub extra: Vec<u8>,
}

/// What has happened so far, in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    pub hits: usize,
    /// No entry, or none that can be used.
    pub misses: usize,
    /// Misses because the entry was damaged; it has been removed.
    pub damaged: usize,
    pub stores: usize,
    /// Entries that could not be written.
    pub store_failures: usize,
}

/// A directory of entries.
#[derive(Debug)]
pub struct CodeCache {
    directory: PathBuf,
    /// Bytes that entries may take.
    limit: u64,
    hits: AtomicUsize,
    misses: AtomicUsize,
    damaged: AtomicUsize,
    stores: AtomicUsize,
    store_failures: AtomicUsize,
}

/// Bytes that a cache may take by default.
pub(crate) const LIMIT: u64 = 1 << 30;

/// An entry read is marked as used when it was not for so long.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);

/// Files that a process left half written are removed after so long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The directory's size is looked at on the first store and on every one of so many.
const SWEEP_EVERY: usize = 32;

impl CodeCache {
    /// The cache in `TTK_CACHE_DIR`, or in the user's cache directory; `None` when that variable is set
    /// to nothing, or there is no such directory.
    pub fn open() -> Option<CodeCache> {
        Some(CodeCache::at(&default_directory()?, LIMIT))
    }

    /// The cache in a directory, which is made when the first entry is stored.
    pub fn at(directory: &Path, limit: u64) -> CodeCache {
        CodeCache::named(directory, "code-1", limit)
    }

    /// A cache of another kind beside it; `name` says the kind and its version.
    pub(crate) fn named(directory: &Path, name: &str, limit: u64) -> CodeCache {
        CodeCache {
            directory: directory.join(name),
            limit,
            hits: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
            damaged: AtomicUsize::new(0),
            stores: AtomicUsize::new(0),
            store_failures: AtomicUsize::new(0),
        }
    }

    pub fn stats(&self) -> CacheStats {
        let get = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        CacheStats {
            hits: get(&self.hits),
            misses: get(&self.misses),
            damaged: get(&self.damaged),
            stores: get(&self.stores),
            store_failures: get(&self.store_failures),
        }
    }

    /// The entry of a key.
    ///
    /// Its code may be run: it was stored under this key by a process of this user (a directory that
    /// others may write to is not used).
    pub fn load(&self, key: &Key) -> Option<Entry> {
        self.load_with(key, |payload| decode(payload).ok())
    }

    /// What `decode` makes of the payload of a key.
    pub(crate) fn load_with<T>(&self, key: &Key, decode: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let entry = self.read(key, decode);
        let counter = if entry.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        entry
    }

    /// Stores an entry; whether that succeeded.
    pub fn store(&self, key: &Key, entry: &Entry) -> bool {
        self.store_bytes(key, &encode(entry))
    }

    /// Stores a payload; whether that succeeded.
    pub(crate) fn store_bytes(&self, key: &Key, payload: &[u8]) -> bool {
        let stored = file::prepare(&self.directory)
            && file::write(&self.directory, &self.path(key), key, payload).is_ok();
        if !stored {
            self.store_failures.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if self.stores.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
        true
    }

    /// Removes every entry.
    pub fn clear(&self) {
        for (path, _, _) in self.files() {
            let _ = fs::remove_file(path);
        }
    }

    fn read<T>(&self, key: &Key, decode: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        if !file::is_private(&self.directory) {
            return None;
        }
        let path = self.path(key);
        let bytes = fs::read(&path).ok()?;
        let entry = file::payload(&bytes, key).and_then(decode);
        if entry.is_none() {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            let _ = fs::remove_file(&path);
            return None;
        }
        self.touch(&path);
        entry
    }

    /// Marks an entry as used, now and then.
    fn touch(&self, path: &Path) {
        let now = SystemTime::now();
        let modified = fs::metadata(path).and_then(|m| m.modified());
        let age = modified.ok().and_then(|t| now.duration_since(t).ok());
        if age.is_some_and(|age| age > TOUCH_AFTER)
            && let Ok(file) = fs::File::options().append(true).open(path)
        {
            let _ = file.set_modified(now);
        }
    }

    /// Brings the directory down to four fifths of its limit when it is above it, the least recently
    /// used entries first, and removes what was abandoned.
    fn sweep(&self) {
        let mut files = self.files();
        let now = SystemTime::now();
        files.retain(|(path, _, time)| {
            let old = now.duration_since(*time).is_ok_and(|age| age > ABANDONED);
            let temporary = path.extension().is_some_and(|e| e == file::TEMPORARY);
            if temporary && old {
                let _ = fs::remove_file(path);
            }
            !temporary
        });
        let mut total: u64 = files.iter().map(|f| f.1).sum();
        if total <= self.limit {
            return;
        }
        files.sort_by_key(|f| f.2);
        for (path, size, _) in files {
            if total <= self.limit / 5 * 4 {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= size;
            }
        }
    }

    /// Path, size and time of last use of everything in the directory.
    fn files(&self) -> Vec<(PathBuf, u64, SystemTime)> {
        let Ok(list) = fs::read_dir(&self.directory) else { return Vec::new() };
        list.filter_map(|e| {
            let e = e.ok()?;
            let m = e.metadata().ok()?;
            m.is_file().then(|| (e.path(), m.len(), m.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
        })
        .collect()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.directory.join(key.to_string())
    }
}

/// Where caches are unless the caller says otherwise; `None` when there is to be none.
pub(crate) fn default_directory() -> Option<PathBuf> {
    match std::env::var_os("TTK_CACHE_DIR") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(PathBuf::from(path)),
        None => Some(user_cache()?.join("tiny-torch")),
    }
}

fn user_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if cfg!(target_os = "macos") {
        return Some(set("HOME")?.join("Library/Caches"));
    }
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut w = Writer::default();
    write_program(&mut w, &entry.program);
    w.list(&entry.kernels, |w, k| {
        w.number(k.entry.into());
        w.bytes(&k.code);
        w.bytes(&k.constants);
    });
    w.bytes(&entry.extra);
    w.finish()
}

fn decode(bytes: &[u8]) -> Result<Entry, DecodeError> {
    let mut r = Reader::new(bytes);
    let program = read_program(&mut r)?;
    let kernels = r.list(|r| {
        Ok(KernelCode {
            entry: r.u32("an entry point")?,
            code: r.bytes()?.to_vec(),
            constants: r.bytes()?.to_vec(),
        })
    })?;
    let extra = r.bytes()?.to_vec();
    r.finish()?;
    Ok(Entry { program, kernels, extra })
}
