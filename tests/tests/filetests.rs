//! Runs every file under `tests/filetests`; see `ttk_tests::filetests`.

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use ttk_ir::{Graph, Node};
use ttk_passes::egraph::cost::{Cost, cost};
use ttk_passes::egraph::rules::RULES;
use ttk_passes::egraph::{rewrite, rewrite_without};
use ttk_passes::{Options, PIPELINE};
use ttk_tests::filetests::{FileTest, difference};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let trial = |file: &PathBuf| {
        let (name, file) = (relative(&root, file), file.clone());
        Trial::test(name, move || check(&file))
    };
    let mut trials: Vec<Trial> = files.iter().map(trial).collect();
    let names: Vec<String> = files.iter().map(|f| relative(&root, f)).collect();
    trials.push(Trial::test("every_rule_has_a_file", {
        let root = root.clone();
        move || every_rule_has_a_file(&root)
    }));
    trials.push(Trial::test("every_rule_pays_somewhere", {
        let files = files.clone();
        move || every_rule_pays_somewhere(&files)
    }));
    trials.push(Trial::test("every_pass_has_a_file", move || every_pass_has_a_file(&names)));
    trials
        .push(Trial::test("documents_show_what_is_printed", move || documents_show_what_is_printed(&files)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

/// `rule/NAME.ttir` shows a rule of the e-graph at work, and what it must leave alone.
fn every_rule_has_a_file(root: &Path) -> Result<(), Failed> {
    for rule in RULES {
        let name = format!("rule/{}.ttir", rule.name);
        let text = fs::read_to_string(root.join(&name)).map_err(|e| format!("{name}: {e}"))?;
        let tests = FileTest::parse(&text)?;
        let applies =
            |t: &FileTest| t.command == "rule" && t.args == [rule.name] && t.expected != "no match\n";
        if !tests.iter().any(applies) {
            return Err(format!("{name} does not show the rule at work").into());
        }
    }
    Ok(())
}

/// Some graph of `pass/rewrite` costs more without the rule: none is there for nothing.
fn every_rule_pays_somewhere(files: &[PathBuf]) -> Result<(), Failed> {
    // Rules for inference only are among them.
    let options = Options { inference: true, ..Options::default() };
    let mut graphs = Vec::new();
    for file in files.iter().filter(|f| f.components().any(|c| c.as_os_str() == "rewrite")) {
        for test in FileTest::parse(&fs::read_to_string(file)?)? {
            let graph = ttk_ir::text::parse(&test.text)?;
            let cost = total(&rewrite(&graph, &options)?);
            graphs.push((graph, cost));
        }
    }
    for rule in RULES {
        let mut pays = false;
        for (graph, cost) in &graphs {
            pays |= total(&rewrite_without(rule, graph, &options)?) > *cost;
        }
        if !pays {
            return Err(format!("no graph of pass/rewrite costs more without {}", rule.name).into());
        }
    }
    Ok(())
}

/// What the operations of a graph cost.
fn total(graph: &Graph) -> Cost {
    let operands = |n: &Node| n.inputs.iter().map(|v| graph.ty(*v)).collect::<Vec<_>>();
    let live = graph.live();
    let nodes = graph.ids().filter(|id| live[id.index()]).map(|id| graph.node(id));
    nodes.map(|n| cost(&n.op, &operands(n), &n.ty)).sum()
}

/// A pass has a folder, or a file, of its name under `pass`.
fn every_pass_has_a_file(names: &[String]) -> Result<(), Failed> {
    for pass in PIPELINE {
        let (folder, file) = (format!("pass/{}/", pass.name), format!("pass/{}.ttir", pass.name));
        if !names.iter().any(|n| n.starts_with(&folder) || *n == file) {
            return Err(format!("no file test of the pass {}", pass.name).into());
        }
    }
    Ok(())
}

/// Every text in `docs/design/passes.md` stands in a file test, in a graph or in what is expected of one.
fn documents_show_what_is_printed(files: &[PathBuf]) -> Result<(), Failed> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design/passes.md");
    let document = fs::read_to_string(document)?;
    let mut printed = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        printed.push(
            text.lines()
                .map(|l| l.strip_prefix("; ").unwrap_or(l))
                .fold(String::new(), |all, l| all + l + "\n"),
        );
    }
    for shown in document.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        if !printed.iter().any(|p| p.contains(shown)) {
            return Err(format!("docs/design/passes.md shows what no file test has:\n{shown}").into());
        }
    }
    Ok(())
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
    let text = fs::read_to_string(file)?;
    let tests = FileTest::parse(&text)?;
    let bless = std::env::var_os("TTK_BLESS").is_some_and(|v| v == "1");
    let (mut outputs, mut shown) = (Vec::new(), String::new());
    for test in &tests {
        let code = test.text.lines().find(|l| !l.starts_with(';')).unwrap_or("");
        let got = test.run().map_err(|e| format!("{code}\n{e}"))?;
        if got != test.expected {
            shown += &format!("{code}\n{}\n", difference(&test.expected, &got));
        }
        outputs.push(got);
    }
    if shown.is_empty() {
        return Ok(());
    }
    if bless {
        fs::write(file, FileTest::blessed(&text, &tests, &outputs))?;
        return Ok(());
    }
    Err(format!("{shown}TTK_BLESS=1 writes what is printed now into the file").into())
}
