//! The list of contents of a `.ttk` file.

use super::{ArtifactError, Binding};
use crate::encode::{DecodeError, Reader, Writer};
use std::collections::BTreeMap;
use ttk_ir::Type;

/// Limits that no honest file comes near.
const MAX_SECTIONS: usize = 1 << 10;
const MAX_LIST: usize = 1 << 20;
const MAX_RANK: usize = 64;
const MAX_NAME: usize = 1 << 12;
const MAX_TEXT: usize = 1 << 24;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) hash: [u8; 32],
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct WeightEntry {
    pub(super) name: String,
    pub(super) ty: Type,
    /// From the start of the section of weights.
    pub(super) offset: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Manifest {
    /// Bytes of the whole file.
    pub(super) file: u64,
    pub(super) producer: String,
    pub(super) sections: Vec<Section>,
    /// The signature, so that it can be shown without reading the graph: what each input of the graph
    /// is bound to with its type, and name and type of each output.
    pub(super) bindings: Vec<(Binding, Type)>,
    pub(super) outputs: Vec<(String, Type)>,
    pub(super) weights: Vec<WeightEntry>,
    pub(super) texts: BTreeMap<String, String>,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.number(self.file);
        w.bytes(self.producer.as_bytes());
        w.list(&self.sections, |w, s| {
            w.bytes(s.name.as_bytes());
            w.number(s.offset);
            w.number(s.length);
            w.bytes(&s.hash);
        });
        w.list(&self.bindings, |w, (binding, ty)| {
            match binding {
                Binding::Input { name } => {
                    w.byte(0);
                    w.bytes(name.as_bytes());
                }
                Binding::Weight { index } => {
                    w.byte(1);
                    w.number((*index).into());
                }
            }
            w.ty(ty);
        });
        w.list(&self.outputs, |w, (name, ty)| {
            w.bytes(name.as_bytes());
            w.ty(ty);
        });
        w.list(&self.weights, |w, e| {
            w.bytes(e.name.as_bytes());
            w.ty(&e.ty);
            w.number(e.offset);
        });
        w.number(self.texts.len() as u64);
        for (name, text) in &self.texts {
            w.bytes(name.as_bytes());
            w.bytes(text.as_bytes());
        }
        w.finish()
    }

    /// Reads a manifest; only its own form is checked here.
    pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ArtifactError> {
        let mut r = Reader::new(bytes);
        let manifest = Manifest::read(&mut r).map_err(ArtifactError::Manifest)?;
        r.finish().map_err(ArtifactError::Manifest)?;
        manifest.limits()?;
        Ok(manifest)
    }

    fn read(r: &mut Reader<'_>) -> Result<Manifest, DecodeError> {
        Ok(Manifest {
            file: r.number()?,
            producer: r.string()?,
            sections: r.list(|r| {
                Ok(Section { name: r.string()?, offset: r.number()?, length: r.number()?, hash: r.array()? })
            })?,
            bindings: r.list(|r| {
                let binding = if r.bool()? {
                    Binding::Weight { index: r.u32("a weight")? }
                } else {
                    Binding::Input { name: r.string()? }
                };
                Ok((binding, r.ty()?))
            })?,
            outputs: r.list(|r| Ok((r.string()?, r.ty()?)))?,
            weights: r.list(|r| Ok(WeightEntry { name: r.string()?, ty: r.ty()?, offset: r.number()? }))?,
            texts: r.list(|r| Ok((r.string()?, r.string()?)))?.into_iter().collect(),
        })
    }

    fn limits(&self) -> Result<(), ArtifactError> {
        let limit = |what, value: usize, limit: usize| {
            let (value, limit) = (value as u64, limit as u64);
            if value > limit { Err(ArtifactError::Limit { what, value, limit }) } else { Ok(()) }
        };
        limit("sections", self.sections.len(), MAX_SECTIONS)?;
        limit("inputs", self.bindings.len(), MAX_LIST)?;
        limit("outputs", self.outputs.len(), MAX_LIST)?;
        limit("weights", self.weights.len(), MAX_LIST)?;
        let types = self.bindings.iter().map(|b| &b.1).chain(self.outputs.iter().map(|o| &o.1));
        for ty in types.chain(self.weights.iter().map(|w| &w.ty)) {
            limit("axes of a tensor", ty.rank(), MAX_RANK)?;
        }
        let names = self.sections.iter().map(|s| &s.name).chain(self.weights.iter().map(|w| &w.name));
        let names = names.chain(self.outputs.iter().map(|o| &o.0)).chain(self.texts.keys());
        let inputs = self.bindings.iter().filter_map(|(b, _)| match b {
            Binding::Input { name } => Some(name),
            Binding::Weight { .. } => None,
        });
        for name in names.chain(inputs).chain([&self.producer]) {
            limit("bytes of a name", name.len(), MAX_NAME)?;
        }
        self.texts.values().try_for_each(|text| limit("bytes of a text", text.len(), MAX_TEXT))
    }
}
