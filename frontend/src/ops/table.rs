//! Rows of the operator table.

use super::call::{Call, Returned};
use super::signature::Signature;
use crate::error::Result;
use rustc_hash::FxHashMap;
use std::sync::{LazyLock, OnceLock};

mod conversion;
mod copies;
mod creation;
mod factorizations;
mod indexing;
mod linalg;
mod loss;
mod nn;
mod normalization;
mod pointwise;
mod random;
mod recurrent;
mod reduction;
mod shape;
mod special;
mod statistics;
mod support;
mod systems;
mod windows;

/// Where the function form of an operator is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Space {
    /// `torch.name`
    Torch,
    /// `torch.nn.functional.name`
    Nn,
    /// `torch.linalg.name`
    Linalg,
    /// `torch.special.name`
    Special,
    /// `torch.fft.name`
    Fft,
}

/// The forms an operator comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variants {
    /// `torch.name(x)`
    pub function: bool,
    /// `x.name()`
    pub method: bool,
    /// `x.name_()`
    pub in_place: bool,
    /// `torch.name(x, out=y)`
    pub out: bool,
}

impl Variants {
    /// From letters: `f`unction, `m`ethod, `i`n-place, `o`ut.
    pub const fn from_letters(letters: &str) -> Variants {
        let mut v = Variants { function: false, method: false, in_place: false, out: false };
        let bytes = letters.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            match bytes[i] {
                b'f' => v.function = true,
                b'm' => v.method = true,
                b'i' => v.in_place = true,
                b'o' => v.out = true,
                _ => panic!("a variant is one of the letters f, m, i, o"),
            }
            i += 1;
        }
        v
    }
}

/// What PyTorch keeps of a call for its derivative; modifying that in place before the backward pass is
/// an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saves {
    Nothing,
    Inputs,
    Output,
}

/// An operator.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub space: Space,
    pub variants: Variants,
    pub saves: Saves,
    /// One text for each overload, tried in order; see [`super::signature`].
    pub signatures: &'static [&'static str],
    pub doc: &'static str,
    pub run: fn(&mut Call<'_>) -> Result<Returned>,
}

/// A row and its signatures, parsed on first use.
#[derive(Debug)]
pub struct Operator {
    pub row: &'static Row,
    parsed: OnceLock<Vec<Signature>>,
}

impl Operator {
    /// The overloads. A malformed text has no overload; a test parses every row.
    pub fn overloads(&self) -> &[Signature] {
        self.parsed.get_or_init(|| self.row.signatures.iter().filter_map(|s| Signature::parse(s)).collect())
    }
}

/// Declares the rows of a family: name, namespace, variants, what is saved, signatures, doc, function.
macro_rules! rows {
    ($($name:literal $space:ident $variants:literal $saves:ident [$($signature:literal),+ $(,)?] $doc:literal => $run:expr;)*) => {
        pub(super) static ROWS: &[$crate::ops::table::Row] = &[$(
            $crate::ops::table::Row {
                name: $name,
                space: $crate::ops::table::Space::$space,
                variants: $crate::ops::table::Variants::from_letters($variants),
                saves: $crate::ops::table::Saves::$saves,
                signatures: &[$($signature),+],
                doc: $doc,
                run: $run,
            },
        )*];
    };
}
use rows;

/// The families.
static ROWS: &[&[Row]] = &[
    conversion::ROWS,
    copies::ROWS,
    creation::ROWS,
    factorizations::ROWS,
    indexing::ROWS,
    linalg::ROWS,
    loss::ROWS,
    nn::ROWS,
    normalization::ROWS,
    pointwise::ROWS,
    random::ROWS,
    recurrent::ROWS,
    reduction::ROWS,
    shape::ROWS,
    special::ROWS,
    statistics::ROWS,
    systems::ROWS,
    windows::ROWS,
];

static OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
    let rows = ROWS.iter().flat_map(|family| family.iter());
    rows.map(|row| Operator { row, parsed: OnceLock::new() }).collect()
});

/// Every operator.
pub fn operators() -> &'static [Operator] {
    &OPERATORS
}

static BY_NAME: LazyLock<FxHashMap<(Space, &'static str), usize>> =
    LazyLock::new(|| OPERATORS.iter().enumerate().map(|(i, o)| ((o.row.space, o.row.name), i)).collect());

/// The operator of a name.
pub fn find(space: Space, name: &str) -> Option<&'static Operator> {
    BY_NAME.get(&(space, name)).map(|&i| &OPERATORS[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::ParamType;

    #[test]
    fn every_row_is_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for operator in operators() {
            let row = operator.row;
            assert!(seen.insert((row.space, row.name)), "{} stands twice", row.name);
            assert!(!row.doc.is_empty(), "{} has no doc", row.name);
            for text in row.signatures {
                assert!(Signature::parse(text).is_some(), "{}{text}", row.name);
            }
            if row.variants.method || row.variants.in_place {
                for s in operator.overloads() {
                    let first = s.params.first().map(|p| (p.name, p.ty));
                    assert!(
                        matches!(first, Some(("self", ParamType::Tensor | ParamType::Operand))),
                        "{}: a method's first parameter is `self`",
                        row.name
                    );
                }
            }
        }
    }
}
