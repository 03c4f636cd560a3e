//! The rules of the house, checked on its files: which crate may depend on which, which crates are pure.

use std::fs;
use std::path::{Path, PathBuf};

/// Our crates, and those of ours that each may depend on.
const RULES: &[(&str, &[&str])] = &[
    ("ir", &[]),
    ("autograd", &["ir"]),
    ("passes", &["ir"]),
    ("codegen-cpu", &["ir"]),
    ("codegen-cuda", &["ir"]),
    ("runtime", &["ir"]),
    // The one hub.
    ("frontend", &["ir", "autograd", "passes", "codegen-cpu", "codegen-cuda", "runtime"]),
    // Nothing depends on these, but that `pip install` brings the command line along.
    ("cli", &["ir", "autograd", "passes", "codegen-cpu", "codegen-cuda", "runtime", "frontend"]),
    ("python", &["ir", "runtime", "frontend", "cli"]),
    ("tests", &["ir", "autograd", "passes", "codegen-cpu", "codegen-cuda", "runtime", "frontend", "cli"]),
];

/// Crates that do no I/O, hold no global state, start no thread and read no environment.
const PURE: &[&str] = &["ir", "autograd", "passes", "codegen-cpu", "codegen-cuda"];

/// A file is one idea; one longer than this is likely to hold two.
const MAX_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The crates of ours in the sections of a manifest that `section` accepts.
fn dependencies(krate: &str, section: impl Fn(&str) -> bool) -> Vec<String> {
    let manifest = read(&root().join(krate).join("Cargo.toml"));
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            inside = section(name.trim_end_matches(']'));
        } else if inside && let Some(rest) = line.strip_prefix("ttk-") {
            let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or(rest);
            found.push(name.to_string());
        }
    }
    found
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden && entry.file_name() != "target" {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_crate_has_a_rule() {
    let workspace = read(&root().join("Cargo.toml"));
    let members = workspace.lines().find(|l| l.starts_with("members")).expect("a list of members");
    for member in members.split('"').skip(1).step_by(2) {
        assert!(RULES.iter().any(|(name, _)| *name == member), "no rule for {member}");
    }
}

#[test]
fn crates_depend_only_on_what_they_may() {
    for (krate, allowed) in RULES {
        for dependency in dependencies(krate, |s| s == "dependencies" || s == "build-dependencies") {
            assert!(allowed.contains(&dependency.as_str()), "{krate} depends on {dependency}");
        }
        // Tests may use more, but not what stands above them.
        for dependency in dependencies(krate, |s| s == "dev-dependencies") {
            assert!(
                !["python", "cli", "tests"].contains(&dependency.as_str()),
                "{krate} tests use {dependency}"
            );
        }
    }
}

#[test]
fn pure_crates_have_no_effects() {
    const EFFECTS: &[&str] = &[
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "std::thread",
        "std::io",
        "std::time",
        "thread_local!",
        "static mut",
        "OnceLock",
        "LazyLock",
        "Mutex",
        "AtomicU",
        "println!",
        "eprintln!",
    ];
    for krate in PURE {
        let mut files = Vec::new();
        rust_files(&root().join(krate).join("src"), &mut files);
        for file in files {
            let text = read(&file);
            let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
            if name.contains("tests") || name.contains("testing") {
                continue;
            }
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text);
            for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
                let effect = EFFECTS.iter().find(|e| line.contains(**e));
                assert!(effect.is_none(), "{name} uses {}: {line}", effect.unwrap_or(&""));
            }
        }
    }
}

#[test]
fn files_are_of_readable_length() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "the files of the workspace are found");
    for file in files {
        let lines = read(&file).lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; at most {MAX_LINES}", file.display());
    }
}
