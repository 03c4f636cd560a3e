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
//! the comment lines at its end. `TTK_BLESS=1 cargo test -p ttk-tests --test filetests` writes what it
//! does print there; read the difference before it is committed. Other directives stand in comments at the
//! top, `; symbols: 3 5`; which there are, the command says.
//!
//! To add a command, write a function and a row of the table.

mod commands;

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
    /// Takes a file apart.
    ///
    /// # Errors
    /// A sentence, when the file does not begin with `; test:`.
    pub fn parse(file: &str) -> Result<FileTest, String> {
        let lines: Vec<&str> = file.lines().collect();
        let header = lines.first().and_then(|l| l.strip_prefix("; test:"));
        let mut words = header.ok_or("the first line is not `; test: command`")?.split_whitespace();
        let command = words.next().ok_or("no command after `; test:`")?.to_string();
        let args = words.map(str::to_string).collect();

        let last_code = lines.iter().rposition(|l| !l.trim().is_empty() && !l.starts_with(';'));
        let end = last_code.map_or(lines.len(), |i| i + 1);
        let directives = lines[1..end]
            .iter()
            .take_while(|l| l.starts_with(';'))
            .filter_map(|l| l.strip_prefix("; ")?.split_once(':'))
            .map(|(name, text)| (name.trim().to_string(), text.trim().to_string()))
            .collect();
        let mut expected = String::new();
        for line in lines[end..].iter().filter(|l| !l.is_empty()) {
            let line = line.strip_prefix("; ").or(line.strip_prefix(';')).unwrap_or(line);
            expected.push_str(line);
            expected.push('\n');
        }
        let mut text = lines[..end].join("\n");
        text.push('\n');
        Ok(FileTest { command, args, directives, text, expected })
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

    /// The file with `output` in the place of what is expected.
    pub fn blessed(&self, output: &str) -> String {
        let mut file = self.text.clone();
        file.push('\n');
        for line in output.lines() {
            file.push_str("; ");
            file.push_str(line);
            file.push('\n');
        }
        file
    }
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
