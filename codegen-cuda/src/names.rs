//! Names and lines of the printed text.

use std::collections::HashSet;
use ttk_ir::graph::Loc;
use ttk_ir::kernel::{BufferRef, Kernel};

/// Lines of C, indented by their braces.
#[derive(Debug, Default, Clone)]
pub(crate) struct Code {
    pub(crate) text: String,
    depth: usize,
}

impl Code {
    /// Code whose first line stands `depth` levels deep.
    pub(crate) fn at(depth: usize) -> Code {
        Code { text: String::new(), depth }
    }

    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// `text {`, and what follows stands one level deeper.
    pub(crate) fn open(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let gap = if text.is_empty() { "" } else { " " };
        self.line(format!("{text}{gap}{{"));
        self.depth += 1;
    }

    pub(crate) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.line("}");
    }

    /// Preprocessor lines begin at the margin.
    pub(crate) fn pragma(&mut self, text: &str) {
        self.text.push_str("#pragma ");
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub(crate) fn append(&mut self, other: &Code) {
        self.text.push_str(&other.text);
    }
}

/// Stands for the name of a function until it is known whether an equal one has been printed. Nothing of C has
/// this letter in it.
pub(crate) const NAME: &str = "@";

/// Names that no two functions share.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A C identifier like `wanted` that has not been given before.
    pub(crate) fn fresh(&mut self, wanted: &str) -> String {
        let base = identifier(wanted);
        let mut name = base.clone();
        let mut number = 1;
        while !self.taken.insert(name.clone()) {
            number += 1;
            name = format!("{base}_{number}");
        }
        name
    }
}

/// `name` with everything replaced that C does not allow. The words of C and the prefix of the prelude are
/// kept free by one more letter.
pub(crate) fn identifier(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let reserved = ["and", "or", "not", "xor", "double", "float", "int", "short", "long", "char", "bool"];
    let functions =
        ["exp", "log", "sin", "cos", "tanh", "erf", "floor", "round", "sqrt", "abs", "pow", "div", "main"];
    let bad = out.is_empty()
        || out.starts_with(|c: char| c.is_ascii_digit())
        || out.starts_with("tt_")
        || reserved.contains(&out.as_str())
        || functions.contains(&out.as_str());
    if bad {
        out.insert_str(0, "k_");
    }
    out
}

/// The C name of a buffer of a kernel: its own, unless something else has that name.
pub(crate) fn buffer(kernel: &Kernel, buffer: BufferRef) -> String {
    let of = |b: BufferRef| match b {
        BufferRef::Param(p) => identifier(&kernel.params[p as usize].name),
        BufferRef::Local(l) => identifier(&kernel.locals[l as usize].name),
    };
    let name = of(buffer);
    // Values, variables and the like are a letter and a number.
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered =
        base.len() < name.len() && ["x", "y", "v", "i", "j", "k", "s", "acc", "all", "tile"].contains(&base);
    let known = ["item", "lane", "part", "thread", "fault", "e", "x", "y", "r", "block", "item0", "lane0"]
        .contains(&name.as_str());
    let all = (0..kernel.params.len() as u32)
        .map(BufferRef::Param)
        .chain((0..kernel.locals.len() as u32).map(BufferRef::Local));
    let (number, same) = all.enumerate().fold((0, 0), |(number, same), (n, b)| {
        (if b == buffer { n } else { number }, same + usize::from(of(b) == name))
    });
    if numbered || known || same > 1 { format!("b{number}_{name}") } else { name }
}

/// `model.py:3, model.py:5`, or nothing.
pub(crate) fn places(locs: &[Loc]) -> String {
    let mut out: Vec<String> = Vec::new();
    for loc in locs.iter().filter(|l| l.line > 0) {
        // A file's name cannot end the comment it stands in.
        let file: String = loc.file.chars().filter(|c| !c.is_control() && *c != '\\').collect();
        let place = format!("{file}:{}", loc.line);
        if !out.contains(&place) {
            out.push(place);
        }
    }
    out.join(", ")
}
