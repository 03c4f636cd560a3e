//! Tests that are files: IR text in, text out.
//!
//! A file under `tests/filetests`, of the form
//!
//! ```text
//! ; test: pass canonicalize
//! graph @f(%x: f32[4]) -> (f32[4]) {
//!   %0 = neg %x : f32[4]
//!   %1 = neg %0 : f32[4]
//!   return %1
//! }
//!
//! ; graph @f(%p0: f32[4]) -> (f32[4]) {
//! ;   return %p0
//! ; }
//! ```
//!
//! names a command of [`COMMANDS`] in its first line and holds what the command is expected to print in
//! the comment after the graph or kernel. `TTK_BLESS=1 cargo test -p ttk-tests --test filetests` writes
//! what it does print there; read the difference before it is committed.
//!
//! A file may hold several graphs, each followed by what is expected of it. A comment that touches a graph from
//! above belongs to it; so do directives in there, `; symbols: 3 5`. Which directives there are, the
//! command says. Where a blank line follows the first comment, its directives are for all graphs.
//!
//! To add a command, write a function and a row of the table.

mod commands;
mod compare;

use std::fmt::Write;

pub use commands::COMMANDS;

/// What a test may do to the text of its file.
#[derive(Clone, Copy)]
pub struct Command {
    pub name: &'static str,
    /// One line: arguments, and what is printed.
    pub doc: &'static str,
    /// What it prints. `Err` is a failure of the test itself; an error that the test is about is printed.
    pub run: fn(&FileTest) -> Result<String, String>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A test file, taken apart.
#[derive(Clone, Debug)]
pub struct FileTest {
    pub command: String,
    pub args: Vec<String>,
    /// The other directives, in order: name and text.
    pub directives: Vec<(String, String)>,
    /// Everything but the expected output.
    pub text: String,
    /// What is expected to be printed.
    pub expected: String,
}

impl FileTest {
    /// Takes a file apart: a test for each graph or kernel in it.
    ///
    /// # Errors
    /// A sentence, when the file does not begin with `; test:`.
    pub fn parse(file: &str) -> Result<Vec<FileTest>, String> {
        let lines: Vec<&str> = file.lines().collect();
        let header = lines.first().and_then(|l| l.strip_prefix("; test:"));
        let mut words = header.ok_or("the first line is not `; test: command`")?.split_whitespace();
        let command = words.next().ok_or("no command after `; test:`")?.to_string();
        let args: Vec<String> = words.map(str::to_string).collect();

        let header = lines.iter().take_while(|l| l.starts_with(';')).count();
        let mut shared = directives(&lines[1..header]);
        let mut tests: Vec<FileTest> = Vec::new();
        for range in blocks(&lines) {
            let comment = lines[range.clone()].iter().take_while(|l| l.starts_with(';')).count();
            let mut own = directives(&lines[range.start..][..comment]);
            if range.start == 0 {
                // The header touches the first graph and is that graph's alone.
                own = std::mem::take(&mut shared);
            }
            tests.push(FileTest {
                command: command.clone(),
                args: args.clone(),
                directives: own.into_iter().chain(shared.iter().cloned()).collect(),
                text: lines[range.clone()].iter().map(|l| format!("{l}\n")).collect(),
                expected: expected(&lines[range.end..]),
            });
        }
        if tests.is_empty() {
            return Err("there is no graph and no kernel".to_string());
        }
        Ok(tests)
    }

    /// The file whose tests these are, with `outputs` in the place of what is expected.
    pub fn blessed(file: &str, tests: &[FileTest], outputs: &[String]) -> String {
        let first = tests.first().map_or("", |t| t.text.as_str());
        let mut out = String::new();
        // A header apart from the first graph.
        if !file.starts_with(first) {
            let header = file.lines().take_while(|l| l.starts_with(';'));
            header.for_each(|l| out += &format!("{l}\n"));
            out.push('\n');
        }
        for (i, (test, output)) in tests.iter().zip(outputs).enumerate() {
            if i > 0 {
                out.push('\n');
            }
            out += &test.text;
            out.push('\n');
            for line in output.lines() {
                out += &format!("; {line}\n");
            }
        }
        out
    }

    /// The texts of the directives of a name.
    pub fn directive<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.directives.iter().filter(move |(n, _)| n == name).map(|(_, text)| text.as_str())
    }

    /// The numbers of a directive.
    ///
    /// # Errors
    /// A sentence, when there is something else in it.
    pub fn numbers<T: std::str::FromStr>(&self, name: &str) -> Result<Vec<T>, String> {
        let words = self.directive(name).flat_map(|t| t.split(|c: char| c == ',' || c.is_whitespace()));
        let parse = |w: &str| w.parse().map_err(|_| format!("`; {name}:` holds {w:?}, which is no number"));
        words.filter(|w| !w.is_empty()).map(parse).collect()
    }

    /// What the command prints now.
    ///
    /// # Errors
    /// An unknown command, or a failure of the command.
    pub fn run(&self) -> Result<String, String> {
        let known = || COMMANDS.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
        let command = COMMANDS.iter().find(|c| c.name == self.command);
        let command =
            command.ok_or_else(|| format!("no command {:?}; there are {}", self.command, known()))?;
        let mut out = (command.run)(self)?;
        if !out.ends_with('\n') {
            out.push('\n');
        }
        Ok(out.lines().filter(|l| !l.is_empty()).fold(String::new(), |all, l| all + l.trim_end() + "\n"))
    }
}

/// The lines of each graph or kernel, with the comment that touches it from above.
fn blocks(lines: &[&str]) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(code) =
        (at..lines.len()).find(|&i| !lines[i].trim().is_empty() && !lines[i].starts_with(';'))
    {
        let above = lines[at..code].iter().rev().take_while(|l| l.starts_with(';')).count();
        // A text that is not closed, which a test of the parser may be about, ends at a blank line.
        let closed = lines[code..].iter().position(|l| *l == "}");
        let end = closed.or_else(|| lines[code..].iter().position(|l| l.trim().is_empty()).map(|n| n - 1));
        at = end.map_or(lines.len(), |n| code + n + 1);
        blocks.push(code - above..at);
    }
    blocks
}

/// `; name: text` lines.
fn directives(lines: &[&str]) -> Vec<(String, String)> {
    let split = lines.iter().filter_map(|l| l.strip_prefix("; ")?.split_once(':'));
    split.map(|(name, text)| (name.trim().into(), text.trim().into())).collect()
}

/// The comment after a block, without the one that belongs to the next.
fn expected(lines: &[&str]) -> String {
    let code = lines.iter().position(|l| !l.trim().is_empty() && !l.starts_with(';'));
    let mut end = code.unwrap_or(lines.len());
    if code.is_some() {
        while end > 0 && lines[end - 1].starts_with(';') {
            end -= 1;
        }
    }
    let comment = lines[..end].iter().filter(|l| !l.is_empty());
    comment
        .map(|l| l.strip_prefix("; ").or(l.strip_prefix(';')).unwrap_or(l))
        .map(|l| format!("{l}\n"))
        .collect()
}

/// The lines of two texts side by side: `-` expected only, `+` printed only.
pub fn difference(expected: &str, got: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rest = a[same..].iter().rev().zip(b[same..].iter().rev()).take_while(|(x, y)| x == y).count();
    let mut out = String::new();
    let mut show = |sign: char, lines: &[&str]| {
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{sign} {line}");
        }
    };
    show(' ', &a[..same]);
    show('-', &a[same..a.len() - rest]);
    show('+', &b[same..b.len() - rest]);
    show(' ', &a[a.len() - rest..]);
    out
}
