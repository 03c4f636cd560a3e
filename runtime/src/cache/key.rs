//! What names an entry.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;
use ttk_ir::Graph;

/// The name of an entry: BLAKE3 of everything that the compiled code depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of what depends on nothing but these bytes, each list with its length.
    pub(crate) fn of(parts: &[&[u8]]) -> Key {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Key(*hasher.finalize().as_bytes())
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Collects what a key depends on; a [`Hasher`], so that anything that can be hashed can be put in.
///
/// The version of this library, and the file it is loaded from, are in every key: another build of it may
/// compile the same graph differently.
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    bytes: Vec<u8>,
}

impl Default for KeyBuilder {
    fn default() -> KeyBuilder {
        let mut new = KeyBuilder { bytes: Vec::with_capacity(1 << 14) };
        BUILD.hash(&mut new);
        new
    }
}

impl KeyBuilder {
    /// Puts in a graph: operations, types, symbols, outputs, source lines.
    pub fn graph(&mut self, graph: &Graph) {
        graph.name.hash(self);
        graph.symbols.len().hash(self);
        graph.symbols.iter().for_each(|s| s.name.hash(self));
        graph.len().hash(self);
        for node in graph.nodes() {
            node.op.hash(self);
            node.inputs.hash(self);
            node.loc.hash(self);
        }
        graph.outputs.hash(self);
        graph.locs().hash(self);
    }

    pub fn finish(&self) -> Key {
        Key(*blake3::hash(&self.bytes).as_bytes())
    }
}

impl Hasher for KeyBuilder {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Not what a key is made of; it satisfies the trait.
    fn finish(&self) -> u64 {
        let hash = blake3::hash(&self.bytes);
        hash.as_bytes().iter().take(8).fold(0, |h, &b| h << 8 | u64::from(b))
    }
}

/// Version of this library, and size and age of the file it was loaded from.
static BUILD: LazyLock<(&str, u64, u128)> = LazyLock::new(|| {
    let metadata = loaded_from().and_then(|path| std::fs::metadata(path).ok());
    let age = metadata.as_ref().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    (env!("CARGO_PKG_VERSION"), metadata.map_or(0, |m| m.len()), age.map_or(0, |d| d.as_nanos()))
});

/// The shared library or program that this function is in.
fn loaded_from() -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the address is one of our own code; `info` is filled in when the result is not zero, and
    // its name then lives as long as the library.
    let name = unsafe {
        if libc::dladdr(loaded_from as *const libc::c_void, &raw mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        std::ffi::CStr::from_ptr(info.dli_fname)
    };
    Some(std::ffi::OsStr::from_bytes(name.to_bytes()).into())
}
