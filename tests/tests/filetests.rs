//! Runs every file under `tests/filetests`; see `ttk_tests::filetests`.

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use ttk_tests::filetests::{FileTest, difference};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let trial = |file: PathBuf| {
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        Trial::test(name, move || check(&file))
    };
    let trials = files.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "ttir") {
            files.push(path);
        }
    }
}

fn check(file: &Path) -> Result<(), Failed> {
    let test = FileTest::parse(&fs::read_to_string(file)?)?;
    let got = test.run()?;
    if got == test.expected {
        return Ok(());
    }
    if std::env::var_os("TTK_BLESS").is_some_and(|v| v == "1") {
        fs::write(file, test.blessed(&got))?;
        return Ok(());
    }
    let shown = difference(&test.expected, &got);
    Err(format!("{shown}\nTTK_BLESS=1 writes what is printed now into the file").into())
}
