//! Signatures of operators, written as text in the table.
//!
//! `(Tensor self, Operand other, *, Number alpha=1) -> Tensor`. Types: `Tensor`, `Operand` (a tensor or
//! a number), `Number`, `int`, `float`, `bool`, `str`, `dtype`, `device`, `layout`, `memory_format`,
//! `Generator`, each with `?` where `None` is taken, and the lists `Tensor[]`, `Tensor?[]`, `Number[]`,
//! `int[]`, `int[2]` (one number stands for all), `float[]`. What follows `*` is given by keyword only.

use super::args::{Arg, Number};
use crate::view::Dims;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamType {
    Tensor,
    Operand,
    Tensors,
    OptionalTensors,
    Number,
    Numbers,
    Int,
    /// A list of integers; a single integer is taken where the expected length is given.
    Ints {
        broadcast: bool,
    },
    Floats,
    Float,
    Bool,
    Str,
    DType,
    Device,
    Layout,
    MemoryFormat,
    Generator,
}

impl ParamType {
    /// The type as PyTorch's messages name it.
    pub fn display(self) -> &'static str {
        match self {
            ParamType::Tensor => "Tensor",
            ParamType::Operand => "Tensor or Number",
            ParamType::Tensors | ParamType::OptionalTensors => "tuple of Tensors",
            ParamType::Number => "Number",
            ParamType::Numbers => "tuple of Scalars",
            ParamType::Int => "int",
            ParamType::Ints { .. } => "tuple of ints",
            ParamType::Floats => "tuple of floats",
            ParamType::Float => "float",
            ParamType::Bool => "bool",
            ParamType::Str => "str",
            ParamType::DType => "torch.dtype",
            ParamType::Device => "torch.device",
            ParamType::Layout => "torch.layout",
            ParamType::MemoryFormat => "torch.memory_format",
            ParamType::Generator => "torch.Generator",
        }
    }

    /// The type in a Python stub.
    pub fn stub(self) -> &'static str {
        match self {
            ParamType::Tensor => "Tensor",
            ParamType::Operand => "Tensor | Number",
            ParamType::Tensors => "Sequence[Tensor]",
            ParamType::OptionalTensors => "Sequence[Tensor | None]",
            ParamType::Number => "Number",
            ParamType::Numbers => "Sequence[Number]",
            ParamType::Int => "int",
            ParamType::Ints { broadcast: true } => "int | Sequence[int]",
            ParamType::Ints { broadcast: false } => "Sequence[int]",
            ParamType::Floats => "Sequence[float]",
            ParamType::Float => "float",
            ParamType::Bool => "bool",
            ParamType::Str => "str",
            ParamType::DType => "dtype",
            ParamType::Device => "device | str",
            ParamType::Layout => "layout",
            ParamType::MemoryFormat => "memory_format",
            ParamType::Generator => "Generator",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Param {
    pub name: &'static str,
    pub ty: ParamType,
    /// Whether `None` is taken.
    pub optional: bool,
    pub keyword_only: bool,
    /// `None` where an argument must be given.
    pub default: Option<Arg>,
    /// The default as it was written.
    pub default_text: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Signature {
    pub params: Vec<Param>,
    pub returns: &'static str,
}

impl Signature {
    /// Parses the text of a row; `None` where it is malformed (a test parses every row).
    pub fn parse(text: &'static str) -> Option<Signature> {
        let (head, returns) = text.split_once("->")?;
        let inner = head.trim().strip_prefix('(')?.strip_suffix(')')?;
        let mut params = Vec::new();
        let mut keyword_only = false;
        for part in split_top(inner) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            if part == "*" {
                keyword_only = true;
                continue;
            }
            let (declaration, default_text) = match part.split_once('=') {
                Some((d, v)) => (d.trim(), Some(v.trim())),
                None => (part, None),
            };
            let (ty, name) = declaration.rsplit_once(' ')?;
            let (ty, optional) = parse_type(ty.trim())?;
            let default = match default_text {
                Some(v) => Some(parse_default(ty, v)?),
                None => None,
            };
            params.push(Param { name: name.trim(), ty, optional, keyword_only, default, default_text });
        }
        Some(Signature { params, returns: returns.trim() })
    }

    /// How many arguments may be given by position.
    pub fn n_positional(&self) -> usize {
        self.params.iter().take_while(|p| !p.keyword_only).count()
    }
}

/// Splits at commas outside brackets.
fn split_top(text: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_type(text: &str) -> Option<(ParamType, bool)> {
    let (text, optional) = match text.strip_suffix('?') {
        Some(t) => (t, true),
        None => (text, false),
    };
    let ty = match text {
        "Tensor" => ParamType::Tensor,
        "Operand" => ParamType::Operand,
        "Tensor[]" => ParamType::Tensors,
        "Tensor?[]" => ParamType::OptionalTensors,
        "Number" => ParamType::Number,
        "Number[]" => ParamType::Numbers,
        "int" => ParamType::Int,
        "int[]" => ParamType::Ints { broadcast: false },
        "float[]" => ParamType::Floats,
        "float" => ParamType::Float,
        "bool" => ParamType::Bool,
        "str" => ParamType::Str,
        "dtype" => ParamType::DType,
        "device" => ParamType::Device,
        "layout" => ParamType::Layout,
        "memory_format" => ParamType::MemoryFormat,
        "Generator" => ParamType::Generator,
        _ if text.starts_with("int[") => ParamType::Ints { broadcast: true },
        _ => return None,
    };
    Some((ty, optional))
}

fn parse_default(ty: ParamType, text: &str) -> Option<Arg> {
    if text == "None" {
        return Some(Arg::None);
    }
    let number = || -> Option<Number> {
        match text {
            "True" => Some(Number::Bool(true)),
            "False" => Some(Number::Bool(false)),
            "inf" => Some(Number::Float(f64::INFINITY)),
            "-inf" => Some(Number::Float(f64::NEG_INFINITY)),
            "nan" => Some(Number::Float(f64::NAN)),
            _ => text.parse().map(Number::Int).or_else(|_| text.parse().map(Number::Float)).ok(),
        }
    };
    Some(match ty {
        ParamType::Number | ParamType::Operand => Arg::Number(number()?),
        ParamType::Int => Arg::Int(number()?.as_i64()),
        ParamType::Float => Arg::Number(Number::Float(number()?.as_f64())),
        ParamType::Bool => Arg::Bool(text == "True"),
        ParamType::Str => Arg::Str(text.trim_matches('\'').to_owned()),
        ParamType::Ints { .. } => Arg::Ints(match text.strip_prefix('[') {
            Some(list) => list
                .strip_suffix(']')?
                .split(',')
                .map(str::trim)
                .filter(|t| !t.is_empty())
                .map(|t| t.parse().ok())
                .collect::<Option<Dims>>()?,
            None => Dims::from_slice(&[text.parse().ok()?]),
        }),
        ParamType::Tensors => Arg::Tensors(Vec::new()),
        ParamType::Tensor | ParamType::OptionalTensors | ParamType::Numbers | ParamType::Floats => {
            return None;
        }
        ParamType::DType | ParamType::Device | ParamType::Layout | ParamType::MemoryFormat => return None,
        ParamType::Generator => return None,
    })
}
