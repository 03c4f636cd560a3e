//! Reading a `.ttk` file, which may be anything.

use super::manifest::{Manifest, Section};
use super::{
    ALIGN, Artifact, ArtifactError, Cuda, CudaCode, HEADER, MAGIC, VERSION, Weight, section, weight_bytes,
};
use crate::memory::Buffer;
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

/// How much to check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// Whether weights are compared with their hash, for which they must be read.
    pub verify_weights: bool,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions { verify_weights: true }
    }
}

/// A manifest is not longer than this.
const MAX_MANIFEST: u64 = 256 << 20;

pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<Artifact, ArtifactError> {
    parse(Arc::new(map(path)?), options)
}

/// Names and sizes in bytes of a file's sections, in the order of the file. The sections themselves are not read.
///
/// # Errors
/// A file that cannot be read, or whose list of contents is damaged.
pub fn sections(path: &Path) -> Result<Vec<(String, u64)>, ArtifactError> {
    let bytes = map(path)?;
    let manifest = manifest(&bytes)?;
    layout(&bytes, &manifest)?;
    let mut list: Vec<Section> = manifest.sections;
    list.sort_by_key(|s| s.offset);
    Ok(list.into_iter().map(|s| (s.name, s.length)).collect())
}

fn map(path: &Path) -> Result<memmap2::Mmap, ArtifactError> {
    let refused = |e: std::io::Error| ArtifactError::Io {
        action: "read",
        path: path.display().to_string(),
        reason: e.to_string(),
    };
    let file = File::open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(refused(std::io::ErrorKind::InvalidInput.into()));
    }
    if metadata.len() < HEADER as u64 {
        return Err(ArtifactError::Magic);
    }
    // SAFETY: the mapping is private and read-only. That nobody cuts the file short meanwhile is what the
    // module's documentation asks for.
    unsafe { memmap2::Mmap::map(&file) }.map_err(refused)
}

pub(super) fn from_bytes(bytes: Vec<u8>, options: &ReadOptions) -> Result<Artifact, ArtifactError> {
    // Into memory that is aligned as a mapping is.
    let buffer = Buffer::from_slice(&bytes).map_err(|e| ArtifactError::Io {
        action: "read",
        path: String::new(),
        reason: e.to_string(),
    })?;
    parse(Arc::new(Held(buffer)), options)
}

struct Held(Buffer);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

fn parse<B: AsRef<[u8]> + Send + Sync + 'static>(
    owner: Arc<B>,
    options: &ReadOptions,
) -> Result<Artifact, ArtifactError> {
    let bytes: &[u8] = (*owner).as_ref();
    let manifest = manifest(bytes)?;
    layout(bytes, &manifest)?;
    let find = |name| {
        let found = manifest.sections.iter().find(|s| s.name == name);
        found.ok_or(ArtifactError::MissingSection { name })
    };
    let weights_section = find(section::WEIGHTS)?;
    for s in &manifest.sections {
        if !options.verify_weights && std::ptr::eq(s, weights_section) {
            continue;
        }
        if *blake3::hash(&bytes[range(s)]).as_bytes() != s.hash {
            return Err(ArtifactError::Hash { what: "section", name: s.name.clone() });
        }
    }

    let text = std::str::from_utf8(&bytes[range(find(section::GRAPH)?)]).map_err(|_| ArtifactError::Text)?;
    let graph = ttk_ir::text::parse(text).map_err(ArtifactError::Graph)?;
    ttk_ir::verify::verify(&graph).map_err(|e| ArtifactError::Verify(Box::new(e)))?;

    let mut cuda = Cuda::default();
    for s in &manifest.sections {
        if s.name == section::CUDA_SOURCE {
            let text = std::str::from_utf8(&bytes[range(s)]);
            let damaged = |_| ArtifactError::CudaCode { name: s.name.clone(), what: "its text is not UTF-8" };
            cuda.source = Some(text.map_err(damaged)?.to_string());
        } else {
            cuda.code.extend(CudaCode::decode(&s.name, &bytes[range(s)])?);
        }
    }

    let mut spans = Vec::with_capacity(manifest.weights.len());
    let mut names = BTreeSet::new();
    let mut weights = Vec::with_capacity(manifest.weights.len());
    for w in &manifest.weights {
        if !names.insert(&w.name) {
            return Err(ArtifactError::Duplicate { what: "weight", name: w.name.clone() });
        }
        let Some(length) = weight_bytes(&w.ty) else {
            return Err(ArtifactError::Weight {
                name: w.name.clone(),
                ty: Box::new(w.ty.clone()),
                bytes: weights_section.length,
            });
        };
        let end = w.offset.checked_add(length).filter(|&end| end <= weights_section.length);
        if w.offset % ALIGN != 0 || end.is_none() {
            let (offset, file) = (w.offset, weights_section.length);
            return Err(ArtifactError::Range { what: "a weight", offset, length, file });
        }
        spans.push((w.offset, length));
        let start = range(weights_section).start + w.offset as usize;
        let data = &bytes[start..start + length as usize];
        // SAFETY: the bytes live as long as their owner, are aligned (sections start at multiples of 64
        // of memory that does), and nobody writes to them.
        let data = unsafe {
            let ptr = NonNull::from(data).cast::<u8>();
            Buffer::from_foreign(ptr, data.len(), Box::new(owner.clone()))
        };
        weights.push(Weight { name: w.name.clone(), ty: w.ty.clone(), data });
    }
    apart("a weight", spans, weights_section.length)?;

    let (bindings, input_types): (Vec<_>, Vec<_>) = manifest.bindings.into_iter().unzip();
    let (outputs, output_types): (Vec<_>, Vec<_>) = manifest.outputs.into_iter().unzip();
    let (texts, producer) = (manifest.texts, manifest.producer);
    let artifact = Artifact { graph, bindings, outputs, weights, texts, cuda, producer };
    artifact.check()?;
    let g = &artifact.graph;
    let same = g.params().iter().map(|&p| g.ty(p)).eq(&input_types)
        && g.outputs.iter().map(|&o| g.ty(o)).eq(&output_types);
    if !same {
        return Err(ArtifactError::Signature { what: "types differ" });
    }
    Ok(artifact)
}

fn manifest(bytes: &[u8]) -> Result<Manifest, ArtifactError> {
    let file = bytes.len() as u64;
    let Some((header, _)) = bytes.split_at_checked(HEADER) else { return Err(ArtifactError::Magic) };
    if header[..8] != MAGIC {
        return Err(ArtifactError::Magic);
    }
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(word)
    };
    // Version and flags; a flag would change how the file is read.
    let found = word(8);
    if found != u64::from(VERSION) {
        return Err(ArtifactError::Version { found: found as u32 });
    }
    let (offset, length) = (word(16), word(24));
    let damaged = ArtifactError::Range { what: "the manifest", offset, length, file };
    // It is the last thing in the file.
    let whole = offset.checked_add(length).is_some_and(|end| end == file);
    if !whole || offset < HEADER as u64 || offset % ALIGN != 0 || length > MAX_MANIFEST {
        return Err(damaged);
    }
    let bytes = &bytes[offset as usize..];
    if header[32..] != *blake3::hash(bytes).as_bytes() {
        return Err(ArtifactError::Hash { what: "the", name: "manifest".into() });
    }
    let mut manifest = Manifest::decode(bytes)?;
    if manifest.file != file {
        return Err(damaged);
    }
    // So that the check of the layout knows where the sections must end.
    manifest.file = offset;
    Ok(manifest)
}

/// Sections are in the file one after the other, with less than 64 zeros between them.
fn layout(bytes: &[u8], manifest: &Manifest) -> Result<(), ArtifactError> {
    let mut names = BTreeSet::new();
    let mut sections: Vec<&Section> = manifest.sections.iter().collect();
    sections.sort_by_key(|s| s.offset);
    let mut at = HEADER as u64;
    for s in sections {
        if !names.insert(&s.name) {
            return Err(ArtifactError::Duplicate { what: "section", name: s.name.clone() });
        }
        let end = s.offset.checked_add(s.length).filter(|&end| end <= manifest.file);
        let Some(end) = end.filter(|_| s.offset % ALIGN == 0 && s.offset >= at) else {
            return Err(ArtifactError::Range {
                what: "a section",
                offset: s.offset,
                length: s.length,
                file: bytes.len() as u64,
            });
        };
        gap(bytes, at, s.offset)?;
        at = end;
    }
    gap(bytes, at, manifest.file)
}

fn gap(bytes: &[u8], from: u64, to: u64) -> Result<(), ArtifactError> {
    let zeros = bytes[from as usize..to as usize].iter().all(|&b| b == 0);
    if to - from >= ALIGN || !zeros { Err(ArtifactError::Stray) } else { Ok(()) }
}

fn apart(what: &'static str, mut spans: Vec<(u64, u64)>, file: u64) -> Result<(), ArtifactError> {
    spans.sort_unstable();
    for pair in spans.windows(2) {
        let ((a, n), (b, length)) = (pair[0], pair[1]);
        if a + n > b {
            return Err(ArtifactError::Range { what, offset: b, length, file });
        }
    }
    Ok(())
}

fn range(s: &Section) -> Range<usize> {
    s.offset as usize..(s.offset + s.length) as usize
}
