//! The `ttk` program as its user meets it: exit codes, one line for whatever is wrong, files left whole.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use ttk_ir::{DType, Type, text};
use ttk_runtime::Buffer;
use ttk_runtime::artifact::{Artifact, Binding, Weight};
use ttk_runtime::npy::{self, Array};

/// `x @ w + 1` and its row sums, with `w` in the file.
const GRAPH: &str = "graph @model(%x: f32[2,3], %w: f32[3,2]) -> (f32[2,2], f32[2,1]) {
  %0 = dot %x, %w {contract=[1:0]} : f32[2,2]
  %1 = const {value=1.0} : f32[2,2]
  %2 = add %0, %1 : f32[2,2]
  %3 = reduce %2 {axes=[1], op=sum} : f32[2,1]
  return %2, %3
}
";

fn ttk() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ttk"));
    command.env_remove("RUST_BACKTRACE").env_remove("TTK_LOG").stdin(Stdio::null());
    command
}

fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    ttk().args(arguments).output().unwrap()
}

/// Exit code 2, nothing on standard output, and one line on standard error, which has `part` in it.
#[track_caller]
fn refused(output: &Output, part: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty());
    assert!(error.starts_with("ttk: ") && error.ends_with('\n') && error.lines().count() == 1, "{error}");
    assert!(!error.contains("panicked") && !error.contains("internal error"), "{error}");
    assert!(error.contains(part), "{error:?} does not have {part:?}");
}

#[track_caller]
fn accepted(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{:?} {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn floats(values: &[f32]) -> Buffer {
    Buffer::from_slice(values).unwrap()
}

/// A directory with a model, an input that fits, and other files.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Files {
        let dir = tempfile::tempdir().unwrap();
        let graph = text::parse(GRAPH).unwrap();
        let weight = Weight {
            name: "w".into(),
            ty: Type::fixed(DType::F32, &[3, 2]),
            data: floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        };
        let artifact = Artifact {
            bindings: vec![Binding::Input { name: "x".into() }, Binding::Weight { index: 0 }],
            outputs: vec!["y".into(), "sums".into()],
            weights: vec![weight],
            ..Artifact::of_graph(graph)
        };
        let files = Files { dir };
        artifact.write(&files.path("model.ttk")).unwrap();
        fs::write(files.path("graph.txt"), GRAPH).unwrap();
        files.array("x.npy", DType::F32, &[2, 3], floats(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]));
        files
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn array(&self, name: &str, dtype: DType, shape: &[usize], data: Buffer) {
        npy::write(&self.path(name), &Array { dtype, shape: shape.to_vec(), data }).unwrap();
    }

    /// Runs `ttk` in the directory.
    fn run(&self, arguments: &[&str]) -> Output {
        ttk().current_dir(self.dir.path()).args(arguments).output().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_model_is_run_and_shown() {
    let files = Files::new();
    let ran = files.run(&["run", "model.ttk", "--input", "x.npy", "--output", "y.npy", "--output", "s.npy"]);
    assert_eq!(accepted(&ran), "");
    let y = npy::read(&files.path("y.npy")).unwrap();
    assert_eq!((y.shape, y.data.to_vec::<f32>()), (vec![2, 2], vec![2.0, 3.0, 4.0, 5.0]));
    let s = npy::read(&files.path("s.npy")).unwrap();
    assert_eq!((s.shape, s.data.to_vec::<f32>()), (vec![2, 1], vec![5.0, 9.0]));
    assert_eq!(files.names(), ["graph.txt", "model.ttk", "s.npy", "x.npy", "y.npy"]);

    let text = accepted(&files.run(&["inspect", "model.ttk"]));
    assert_eq!(text, accepted(&files.run(&["inspect", "graph.txt"])));
    assert!(text.contains("%0 = dot ") && text.starts_with("graph @model("), "{text}");
    for pass in accepted(&files.run(&["passes"])).lines() {
        let name = pass.split_whitespace().next().unwrap();
        assert!(accepted(&files.run(&["inspect", "graph.txt", "--after", name])).starts_with("graph @model"));
    }
    for what in ["--kernels", "--clif", "--asm", "--dot"] {
        assert!(!accepted(&files.run(&["inspect", "graph.txt", what])).is_empty());
    }
    let cuda = accepted(&files.run(&["inspect", "model.ttk", "--cuda"]));
    for part in ["__global__", "// A product of 2 x 3 and 3 x 2 matrices", "// step 0: gemm<<<1, 256>>>"] {
        assert!(cuda.contains(part), "{cuda}");
    }
    for (arguments, part) in
        [(&["--help"][..], "Usage"), (&["run", "--help"], "--input"), (&["--version"], "ttk ")]
    {
        assert!(accepted(&files.run(arguments)).contains(part));
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let files = Files::new();
    files.array("wide.npy", DType::F32, &[2, 4], floats(&[0.0; 8]));
    files.array("flat.npy", DType::F32, &[6], floats(&[0.0; 6]));
    files.array("double.npy", DType::F64, &[2, 3], Buffer::from_slice(&[0.0f64; 6]).unwrap());
    let whole = fs::read(files.path("x.npy")).unwrap();
    fs::write(files.path("cut.npy"), &whole[..whole.len() - 1]).unwrap();
    fs::write(files.path("header.npy"), &whole[..20]).unwrap();
    fs::write(files.path("empty.npy"), "").unwrap();
    fs::write(files.path("y.npy"), "before").unwrap();
    fs::create_dir(files.path("folder")).unwrap();
    let before = files.names();
    let run = ["run", "model.ttk"];
    let fits = ["run", "model.ttk", "--input", "x.npy"];
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&[], &[], "a command is needed"),
        (&["dance"], &[], "unrecognized subcommand 'dance'"),
        (&["run"], &[], "<FILE>"),
        (&["run", "--nonsense"], &[], "unexpected argument '--nonsense'"),
        (&["inspect"], &[], "<FILE>"),
        (&["inspect", "graph.txt", "--diff", "cse"], &[], "2 values required"),
        (&["inspect", "graph.txt", "--after", "nonsense"], &[], "nonsense"),
        (&["inspect", "graph.txt", "--diff", "recorded", "nonsense"], &[], "nonsense"),
        (&["inspect", "missing.ttk"], &[], "missing.ttk"),
        (&["inspect", "folder"], &[], "folder"),
        (&["inspect", "x.npy"], &[], "x.npy: not a .ttk file"),
        (&["run", "missing.ttk"], &[], "cannot read missing.ttk: No such file"),
        (&["run", "folder"], &[], "folder"),
        (&["run", "graph.txt"], &[], "graph.txt: not a .ttk file"),
        (&["run", "empty.npy"], &[], "empty.npy: not a .ttk file"),
        (&["run", "script.py"], &[], "Python script"),
        (&["run", "/dev/null"], &[], "/dev/null"),
        (&run, &[], "takes 1 inputs (x), 0 were given"),
        (&fits, &["--input", "x.npy"], "takes 1 inputs (x), 2 were given"),
        (&run, &["--input", "wide.npy"], "input x is f32[2,3], but wide.npy holds f32[2,4]"),
        (&run, &["--input", "flat.npy"], "input x is f32[2,3], but flat.npy holds f32[6]"),
        (&run, &["--input", "double.npy"], "input x is f32[2,3], but double.npy holds f64[2,3]"),
        (&run, &["--input", "cut.npy"], "cut.npy: 24 bytes of data were to follow the header, 23 do"),
        (&run, &["--input", "header.npy"], "header.npy: the header ends too soon"),
        (&run, &["--input", "empty.npy"], "empty.npy: not a .npy file"),
        (&run, &["--input", "model.ttk"], "model.ttk: not a .npy file"),
        (&run, &["--input", "missing.npy"], "cannot read missing.npy"),
        (&run, &["--input", "folder"], "cannot read folder"),
        (
            &fits,
            &["--output", "y.npy", "--output", "s.npy", "--output", "z.npy"],
            "gives 2 outputs (y, sums), 3 files",
        ),
        (&fits, &["--output", "y.npy", "--output", "y.npy"], "y.npy is named for more than one output"),
        (&fits, &["--output", "no/such/y.npy"], "cannot write no/such/y.npy"),
        (&fits, &["--output", "folder"], "cannot write folder"),
        (&fits, &["--output", "/dev/full"], "cannot write /dev/full: No space"),
        (&fits, &["--output", "y.npy", "--output", "no/such/s.npy"], "cannot write no/such/s.npy"),
        (&fits, &["--output", "y.npy", "--output", "/dev/full"], "cannot write /dev/full"),
    ];
    for (first, rest, part) in cases {
        refused(&files.run(&[*first, *rest].concat()), part);
    }
    assert_eq!(files.names(), before, "nothing is left beside the files");
    assert_eq!(fs::read(files.path("y.npy")).unwrap(), b"before");
}

#[test]
fn a_cut_or_altered_file_is_refused_and_the_output_stays() {
    let files = Files::new();
    fs::write(files.path("y.npy"), "before").unwrap();
    let whole = fs::read(files.path("model.ttk")).unwrap();
    let attempt = |bytes: &[u8]| {
        fs::write(files.path("bad.ttk"), bytes).unwrap();
        refused(&files.run(&["run", "bad.ttk", "--input", "x.npy", "--output", "y.npy"]), "bad.ttk");
        refused(&files.run(&["inspect", "bad.ttk"]), "bad.ttk");
    };
    for sixteenth in 0..16 {
        attempt(&whole[..whole.len() * sixteenth / 16]);
    }
    // Magic, version, flags, offset, length and hash of the manifest; the graph; the zeros after it; the
    // weights; the manifest, at both ends.
    let manifest = u64::from_le_bytes(whole[16..24].try_into().unwrap()) as usize;
    for at in [0, 8, 12, 16, 24, 32, 63, 64, 200, manifest - 64, manifest - 1, manifest, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        attempt(&altered);
    }
    attempt(&[&whole[..], b"more"].concat());
    assert_eq!(fs::read(files.path("y.npy")).unwrap(), b"before");
    assert_eq!(files.names(), ["bad.ttk", "graph.txt", "model.ttk", "x.npy", "y.npy"]);
}

#[test]
fn text_that_is_no_graph_is_refused() {
    let files = Files::new();
    let deep = format!("graph @f(%x: f32[{}n{}]) -> () {{\n}}\n", "(".repeat(100_000), ")".repeat(100_000));
    let cases = [
        "graph @",
        "graph @f",
        "graph @f() -> (f32) {\n  return %0\n}\n",
        "graph @f(%x: f32[-1]) -> (f32) {\n  return %x\n}\n",
        "graph @f(%x: f32[99999999999999999999]) -> () {\n  return\n}\n",
        "graph @f(%x: f32[2]) -> (f32[2]) {\n  %0 = dance %x : f32[2]\n  return %0\n}\n",
        "graph @f(%x: f32[2]) -> (f32[2]) {\n  %0 = neg %x, %x : f32[2]\n  return %0\n}\n",
        "graph @f(%x: f32[2]) -> (f32[2]) {\n  %0 = neg %1 : f32[2]\n  %1 = neg %0 : f32[2]\n  return %1\n}\n",
        "graph @f(%x: f32[2]) -> (f32[3]) {\n  return %x\n}\n",
        &GRAPH.replace("[1:0]", "[7:0]"),
        &GRAPH.replace("axes=[1]", "axes=[9]"),
        &GRAPH[..GRAPH.len() / 2],
        &deep,
    ];
    for text in cases {
        fs::write(files.path("bad.txt"), text).unwrap();
        refused(&files.run(&["inspect", "bad.txt"]), "bad.txt");
        refused(&files.run(&["inspect", "bad.txt", "--kernels"]), "bad.txt");
    }
    // What a stage of the compiler cannot do is one line too.
    let huge = "graph @f() -> (f32[4611686018427387904]) {\n  %0 = const {value=1.0} : f32[4611686018427387904]\n  return %0\n}\n";
    fs::write(files.path("huge.txt"), huge).unwrap();
    let shown = files.run(&["inspect", "huge.txt", "--kernels"]);
    assert!(shown.status.success() || String::from_utf8_lossy(&shown.stderr).lines().count() == 1);
}

#[test]
fn names_may_be_any_bytes() {
    let files = Files::new();
    let odd = files.path(OsStr::from_bytes(b"mo\xffdel.ttk"));
    fs::copy(files.path("model.ttk"), &odd).unwrap();
    accepted(&run(&[OsStr::new("inspect"), odd.as_os_str()]));
    refused(&run(&[OsStr::new("run"), odd.as_os_str()]), "takes 1 inputs");
    refused(&files.run(&["run", "two\nlines.ttk"]), "two lines.ttk");
}

#[test]
fn a_reader_may_stop_reading_and_a_full_disk_is_told() {
    let files = Files::new();
    let mut child = ttk()
        .current_dir(files.dir.path())
        .args(["inspect", "graph.txt", "--asm"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(status.success() && error.is_empty(), "{status} {error}");

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = ttk().arg("passes").stdout(full).output().unwrap();
    refused(&output, "cannot write to standard output");
}
