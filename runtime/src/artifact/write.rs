//! Writing a `.ttk` file.

use super::manifest::{Manifest, Section, WeightEntry};
use super::{ALIGN, Artifact, ArtifactError, HEADER, MAGIC, VERSION, section};
use crate::atomic::AtomicFile;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

pub(super) fn write(a: &Artifact, path: &Path) -> Result<(), ArtifactError> {
    a.check()?;
    let refused = |e: io::Error| ArtifactError::Io {
        action: "write",
        path: path.display().to_string(),
        reason: e.to_string(),
    };
    let mut file = AtomicFile::create(path).map_err(refused)?;
    contents(a, file.file()).map_err(|e| match e {
        Failure::Io(e) => refused(e),
        Failure::Artifact(e) => e,
    })?;
    file.commit().map_err(refused)
}

enum Failure {
    Io(io::Error),
    Artifact(ArtifactError),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::Io(e)
    }
}

fn contents(a: &Artifact, file: &mut File) -> Result<(), Failure> {
    let mut out =
        Output { file: BufWriter::with_capacity(1 << 20, file), at: 0, hash: blake3::Hasher::new() };
    out.put(&[0; HEADER])?;

    let graph = ttk_ir::text::print(&a.graph);
    let start = out.begin()?;
    out.put(graph.as_bytes())?;
    let mut sections = vec![out.section(section::GRAPH, start)];

    let start = out.begin()?;
    let mut weights = Vec::with_capacity(a.weights.len());
    for w in &a.weights {
        out.align()?;
        weights.push(WeightEntry { name: w.name.clone(), ty: w.ty.clone(), offset: out.at - start });
        out.put(w.data.bytes())?;
    }
    sections.push(out.section(section::WEIGHTS, start));

    if let Some(source) = &a.cuda.source {
        let start = out.begin()?;
        out.put(source.as_bytes())?;
        sections.push(out.section(section::CUDA_SOURCE, start));
    }
    for code in &a.cuda.code {
        let name = code.section();
        if sections.iter().any(|s| s.name == name) {
            return Err(Failure::Artifact(ArtifactError::Duplicate { what: "section", name }));
        }
        let start = out.begin()?;
        out.put(&code.encode())?;
        sections.push(out.section(&name, start));
    }

    let types = a.graph.params().iter().map(|&p| a.graph.ty(p).clone());
    let output_types = a.graph.outputs.iter().map(|&o| a.graph.ty(o).clone());
    let mut manifest = Manifest {
        file: 0,
        producer: super::producer(),
        sections,
        bindings: a.bindings.iter().cloned().zip(types).collect(),
        outputs: a.outputs.iter().cloned().zip(output_types).collect(),
        weights,
        texts: a.texts.clone(),
    };
    let offset = out.begin()?;
    // The manifest holds the length of the file, which depends on its own: by no more than a few bytes
    // of a number, so a second or third try fits.
    let mut bytes = manifest.encode();
    while manifest.file != offset + bytes.len() as u64 {
        manifest.file = offset + bytes.len() as u64;
        bytes = manifest.encode();
    }
    // What could not be read again must not be written.
    Manifest::decode(&bytes).map_err(Failure::Artifact)?;
    out.put(&bytes)?;

    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(0u32.to_le_bytes());
    header.extend(offset.to_le_bytes());
    header.extend((bytes.len() as u64).to_le_bytes());
    header.extend(blake3::hash(&bytes).as_bytes());
    let file = out.file.into_inner().map_err(|e| e.into_error())?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header)?;
    Ok(())
}

struct Output<'a> {
    file: BufWriter<&'a mut File>,
    at: u64,
    /// Of the section under way.
    hash: blake3::Hasher,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn align(&mut self) -> io::Result<()> {
        let gap = self.at.next_multiple_of(ALIGN) - self.at;
        self.put(&[0; ALIGN as usize][..gap as usize])
    }

    /// Starts a section; gives its offset.
    fn begin(&mut self) -> io::Result<u64> {
        self.align()?;
        self.hash.reset();
        Ok(self.at)
    }

    fn section(&self, name: &str, start: u64) -> Section {
        let hash = *self.hash.finalize().as_bytes();
        Section { name: name.into(), offset: start, length: self.at - start, hash }
    }
}
