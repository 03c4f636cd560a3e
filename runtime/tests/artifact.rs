//! `.ttk` files: written, read, and read when they are anything else.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use ttk_ir::graph::{Graph, Loc, Symbol};
use ttk_ir::{Builder, DType, Dim, Op, Type, Unary};
use ttk_runtime::Buffer;
use ttk_runtime::artifact::{
    Artifact, ArtifactError, Binding, Cuda, CudaCode, CudaFunction, ReadOptions, Weight, sections,
};

/// `exp(x @ w + b)` with a symbolic batch.
fn example() -> Artifact {
    let mut g = Graph::new("model");
    g.symbols.push(Symbol { name: "n".into() });
    let loc = g.loc_id(Loc { file: "model.py".into(), line: 3 });
    let w = g.param(Type::fixed(DType::F32, &[3, 2]));
    let x = g.param(Type::new(DType::F32, [Dim::symbol(0), Dim::Fixed(3)].as_slice()));
    let b = g.param(Type::fixed(DType::F32, &[2]));
    let y = g.dot(&x, &w, &[], &[(1, 0)]);
    let shape = Builder::shape(&g, &y);
    let b = g.broadcast(&b, &shape);
    let y = g.add_at(Op::Binary(ttk_ir::Binary::Add), &[y, b], loc).unwrap();
    let y = g.unary(Unary::Exp, &y);
    g.outputs.push(y);
    let weight = |name: &str, dims: &[i64], values: &[f32]| Weight {
        name: name.into(),
        ty: Type::fixed(DType::F32, dims),
        data: Buffer::from_slice(values).unwrap(),
    };
    Artifact {
        bindings: vec![
            Binding::Weight { index: 1 },
            Binding::Input { name: "x".into() },
            Binding::Weight { index: 0 },
        ],
        outputs: vec!["y".into()],
        weights: vec![
            weight("fc.bias", &[2], &[0.5, -0.5]),
            weight("fc.weight", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ],
        texts: BTreeMap::from([
            ("license".into(), "BSD-3-Clause".into()),
            ("größe".into(), "ein Text\nmit Zeilen".into()),
        ]),
        cuda: Cuda {
            source: Some("extern \"C\" __global__ void exp_0() {}\n".into()),
            code: vec![code((8, 0)), code((9, 0))],
        },
        ..Artifact::of_graph(g)
    }
}

/// Machine code, as far as a file looks into it.
fn code(capability: (i32, i32)) -> CudaCode {
    let function = |key: u8, unit, name: &str| CudaFunction { key: [key; 32], unit, name: name.to_string() };
    CudaCode {
        capability,
        units: vec![vec![0x7f, b'E', b'L', b'F', 0, 1], vec![9; 70]],
        functions: vec![function(1, 0, "gemm"), function(2, 1, "exp_0"), function(3, 1, "exp_1")],
    }
}

fn assert_same(a: &Artifact, b: &Artifact) {
    assert_eq!(a.graph, b.graph);
    assert_eq!((&a.bindings, &a.outputs, &a.texts), (&b.bindings, &b.outputs, &b.texts));
    assert_eq!((&a.producer, &a.cuda), (&b.producer, &b.cuda));
    assert_eq!(a.weights.len(), b.weights.len());
    for (a, b) in a.weights.iter().zip(&b.weights) {
        assert_eq!((&a.name, &a.ty, a.data.bytes()), (&b.name, &b.ty, b.data.bytes()));
    }
}

/// The bytes of the example's file.
fn whole() -> Vec<u8> {
    static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(written);
    WHOLE.clone()
}

fn written() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.ttk");
    example().write(&path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.ttk");
    let a = example();
    a.write(&path).unwrap();
    let b = Artifact::read(&path).unwrap();
    assert_same(&a, &b);
    assert_same(&a, &Artifact::read_with(&path, &ReadOptions { verify_weights: false }).unwrap());
    assert_same(&a, &Artifact::from_bytes(fs::read(&path).unwrap()).unwrap());
    assert!(b.weights.iter().all(|w| (w.data.as_ptr() as usize).is_multiple_of(64) && !w.data.is_owned()));
    let inputs: Vec<_> = b.inputs().collect();
    assert_eq!(inputs.len(), 1);
    assert_eq!((inputs[0].0, inputs[0].1.dtype), ("x", DType::F32));
    let x = Buffer::zeroed(12).unwrap();
    let all = b.arguments(std::slice::from_ref(&x)).unwrap();
    assert_eq!(all.iter().map(Buffer::len).collect::<Vec<_>>(), [24, 12, 8]);
    assert!(b.arguments(&[]).is_none() && b.arguments(&[x.clone(), x]).is_none());

    // Writing over a file that is mapped leaves the mapping as it was.
    let mut other = example();
    other.weights[0].data = Buffer::from_slice(&[9.0f32, 9.0]).unwrap();
    other.write(&path).unwrap();
    assert_same(&a, &b);
    assert_same(&other, &Artifact::read(&path).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the file");

    // The same artifact is the same bytes.
    assert_eq!(written(), written());
    let empty = Artifact::of_graph(Graph::new("empty"));
    empty.write(&path).unwrap();
    assert_same(&empty, &Artifact::read(&path).unwrap());
}

#[test]
fn parts_that_do_not_fit_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.ttk");
    fs::write(&path, b"before").unwrap();
    let break_it: [fn(&mut Artifact); 6] = [
        |a| drop(a.bindings.pop()),
        |a| a.outputs.push("z".into()),
        |a| a.bindings[0] = Binding::Weight { index: 0 },
        |a| a.bindings[0] = Binding::Weight { index: 7 },
        |a| a.weights[0].data = Buffer::zeroed(4).unwrap(),
        |a| a.outputs[0] = "x".repeat(100_000),
    ];
    for f in break_it {
        let mut a = example();
        f(&mut a);
        a.write(&path).unwrap_err();
    }
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let nowhere = dir.path().join("no/such/dir/m.ttk");
    assert!(matches!(example().write(&nowhere), Err(ArtifactError::Io { .. })));
    assert!(matches!(Artifact::read(&nowhere), Err(ArtifactError::Io { .. })));
    assert!(matches!(Artifact::read(dir.path()), Err(ArtifactError::Io { .. })));
    fs::write(&path, b"").unwrap();
    assert_eq!(Artifact::read(&path).unwrap_err(), ArtifactError::Magic);
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error() {
    let bytes = whole();
    for n in 0..bytes.len() {
        assert!(Artifact::from_bytes(bytes[..n].to_vec()).is_err(), "cut to {n}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[at] ^= 1 << bit;
            assert!(Artifact::from_bytes(other).is_err(), "bit {bit} of byte {at}");
        }
    }
    for more in [&b"x"[..], &[0; 64]] {
        assert!(Artifact::from_bytes([&bytes, more].concat()).is_err());
    }
    let mut next = bytes.clone();
    next[8] = 2;
    assert_eq!(Artifact::from_bytes(next).unwrap_err(), ArtifactError::Version { found: 2 });
}

/// The file with its manifest changed and every hash made right again: what an attacker would send.
fn forged(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let offset = u64::from_le_bytes(out[16..24].try_into().unwrap()) as usize;
    let at = offset + at % (out.len() - offset);
    out[at] = value;
    let hash = blake3::hash(&out[offset..]);
    out[32..64].copy_from_slice(hash.as_bytes());
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn forged_manifests_do_no_harm(at in 0usize..10_000, value: u8) {
        // Names, texts and the like may change; whatever is accepted must be usable.
        if let Ok(a) = Artifact::from_bytes(forged(&whole(), at, value)) {
            for w in &a.weights {
                prop_assert_eq!(w.data.bytes().len(), w.data.len());
            }
            prop_assert_eq!(a.bindings.len(), a.graph.params().len());
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>, keep in 0usize..64) {
        let mut file = whole()[..keep].to_vec();
        file.extend(bytes);
        prop_assert!(Artifact::from_bytes(file).is_err());
    }
}

#[test]
fn forged_graphs_are_parsed_with_care() {
    // The graph's text changed, with its hash in the manifest made right.
    let bytes = whole();
    let offset = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) as usize;
    let end = bytes[64..].iter().position(|&b| b == 0).unwrap() + 64;
    let hash = blake3::hash(&bytes[64..end]);
    let place = offset + bytes[offset..].windows(32).position(|w| w == hash.as_bytes()).unwrap();
    let mut accepted = 0;
    for at in 64..end {
        for value in [b'0', b'9', b'%', b'\n', b'(', b',', bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
            let mut other = bytes.clone();
            other[at] = value;
            let hash = blake3::hash(&other[64..end]);
            other[place..place + 32].copy_from_slice(hash.as_bytes());
            let hash = blake3::hash(&other[offset..]);
            other[32..64].copy_from_slice(hash.as_bytes());
            accepted += usize::from(Artifact::from_bytes(other).is_ok());
        }
    }
    // Such as another name of the graph, or another source line.
    assert!(accepted > 0);
}

#[test]
fn machine_code_that_does_not_hang_together_is_neither_written_nor_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.ttk");
    let refused = |change: &dyn Fn(&mut CudaCode)| {
        let mut a = example();
        change(&mut a.cuda.code[0]);
        let error = a.write(&path).unwrap_err();
        assert!(!path.exists());
        error
    };
    let name = || "cuda:sm_80".to_string();
    for (change, what) in [
        (&(|c: &mut CudaCode| c.units[0].clear()) as &dyn Fn(&mut CudaCode), "a unit is empty"),
        (&|c| c.functions[0].unit = 2, "a function is in a unit that is not there"),
        (&|c| c.functions[0].name.clear(), "a function has a name that C has not"),
        (&|c| c.functions[0].name = "a b".into(), "a function has a name that C has not"),
    ] {
        assert_eq!(refused(change), ArtifactError::CudaCode { name: name(), what });
    }
    assert!(matches!(
        refused(&|c| c.functions[1].name = "n".repeat(300)),
        ArtifactError::Limit { what: "bytes of a name", value: 300, .. }
    ));
    let mut twice = example();
    twice.cuda.code.push(code((8, 0)));
    let duplicate = ArtifactError::Duplicate { what: "section", name: name() };
    assert_eq!(twice.write(&path).unwrap_err(), duplicate);

    example().write(&path).unwrap();
    let listed: Vec<String> = sections(&path).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["graph", "weights", "cuda:source", "cuda:sm_80", "cuda:sm_90"]);
}

/// The sections for GPUs changed byte by byte, their hashes in the manifest made right: any bytes are an artifact or
/// an ordinary error, and what is accepted hangs together.
#[test]
fn forged_machine_code_does_no_harm() {
    let bytes = whole();
    let manifest = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) as usize;
    let encoded = bytes.windows(6).position(|w| w == [0x7f, b'E', b'L', b'F', 0, 1]).unwrap();
    // The section begins at the multiple of 64 before its first unit.
    let start = encoded / 64 * 64;
    let end = (start + 1..=manifest)
        .find(|&end| {
            let hash = blake3::hash(&bytes[start..end]);
            bytes[manifest..].windows(32).any(|w| w == hash.as_bytes())
        })
        .expect("a section");
    let hash = blake3::hash(&bytes[start..end]);
    let place = manifest + bytes[manifest..].windows(32).position(|w| w == hash.as_bytes()).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for at in start..end {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
            let mut other = bytes.clone();
            other[at] = value;
            let hash = blake3::hash(&other[start..end]);
            other[place..place + 32].copy_from_slice(hash.as_bytes());
            let hash = blake3::hash(&other[manifest..]);
            other[32..64].copy_from_slice(hash.as_bytes());
            match Artifact::from_bytes(other) {
                Ok(a) => {
                    accepted += 1;
                    for code in &a.cuda.code {
                        assert!(code.functions.iter().all(|f| (f.unit as usize) < code.units.len()));
                        assert!(code.units.iter().all(|u| !u.is_empty()));
                    }
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} {refused}");
}
