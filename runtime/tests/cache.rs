//! Programs as bytes, and the directory of compiled ones.

mod common;

use common::{Lcg, Make, axpy, bias_rows, gather, pack};
use std::fs;
use std::hash::Hash;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Function, Launch};
use ttk_ir::graph::{Graph, Loc, Symbol};
use ttk_ir::kernel::{AccId, Access, BufferParam, BufferRef, Inst, Kernel, LoopKind, Stmt, Val, VarId};
use ttk_ir::library::{
    self, Activation, Alternative, Call, Convolution, Direction, Filter, Images, OperandSum, Product, Side,
};
use ttk_ir::op::{Binary, Cmp, RandomStream, ReduceOp, Unary};
use ttk_ir::program::{Action, Argsort, BufferId, Epilogue, Gemm, Matrix, Operand, Placement, Program};
use ttk_ir::{DType, Dim, Expr, Op, Scalar, Type};
use ttk_runtime::KernelCode;
use ttk_runtime::cache::{CacheStats, CodeCache, Entry, Key, KeyBuilder};
use ttk_runtime::encode::{Reader, Writer, read_device_program, read_program, strip_bodies};
use ttk_runtime::encode::{write_device_program, write_program};

/// A program in which every variant of everything occurs. It makes no sense.
fn everything() -> Program {
    let c = Expr::constant;
    let (n, m) = (Expr::symbol(0), Expr::symbol(1));
    let odd = n.mul(&m).add(&n.offset(3).floor_div(&m)).add(&n.modulo(&m.scale(2))).scale(-7);
    let var = Expr::var(3).mul(&n).add(&Expr::value(9)).clamp_index(&m);
    let mut make = Make::new(2);
    let ty = Type::new(DType::F32, [Dim::from_expr(n.clone()), Dim::Fixed(8)].as_slice());
    let (a, b) = (make.input(ty.clone()), make.input(Type::fixed(DType::I64, &[2])));
    let t = make.temporary(DType::BF16, 100);
    let r = make.buffer(DType::BF16, odd.clone(), Placement::Reuse(t));
    let out = make.output(ty.clone());
    for k in [axpy(), gather(), pack(), bias_rows()] {
        make.kernel(k);
    }
    let (v, w) = (Val(1), Val(200_000));
    let insts = [
        Inst::Const(Scalar::from_f64(DType::F64, -0.0)),
        Inst::Const(Scalar::from_i64(DType::I8, -3)),
        Inst::Load { buffer: BufferRef::Param(1), index: var.clone() },
        Inst::Load { buffer: BufferRef::Local(0), index: c(i64::MIN) },
        Inst::Read(AccId(4)),
        Inst::Index(var.clone()),
        Inst::CheckedIndex { value: v, extent: n.clone() },
        Inst::Fma(v, w, v),
        Inst::Select(w, v, w),
        Inst::Cast(v),
        Inst::Bitcast(w),
    ];
    let all = insts.into_iter();
    let all = all.chain(Unary::ALL.iter().map(|&u| Inst::Unary(u, v)));
    let all = all.chain(Binary::ALL.iter().map(|&b| Inst::Binary(b, v, w)));
    let all = all.chain(Cmp::ALL.iter().map(|&c| Inst::Cmp(c, v, w)));
    let mut body: Vec<Stmt> = all.map(|inst| Stmt::Let { dst: v, dtype: DType::U8, inst }).collect();
    body.push(Stmt::Acc { acc: AccId(0), dtype: DType::F16, init: Scalar::one(DType::F16) });
    for op in ReduceOp::ALL {
        body.push(Stmt::Accumulate { acc: AccId(0), op, value: v });
    }
    let index = var.clone();
    body.push(Stmt::Update { buffer: BufferRef::Local(3), index, op: Binary::Max, value: w });
    body.push(Stmt::Store { buffer: BufferRef::Param(0), index: c(0), value: w });
    for kind in [LoopKind::Serial, LoopKind::Parallel, LoopKind::Vector, LoopKind::Unroll] {
        body = vec![Stmt::For { var: VarId(7), begin: c(0), end: n.clone(), kind, body }];
    }
    body.push(Stmt::If { cond: w, body: vec![] });
    let loc = Loc { file: "größe.py".into(), line: u32::MAX };
    make.program.kernels.push(Kernel {
        name: "every".into(),
        n_symbols: 3,
        params: vec![BufferParam { name: "p".into(), dtype: DType::Bool, len: odd, access: Access::Write }],
        locals: vec![],
        aliases: vec![(0, 1)],
        body,
        locs: vec![loc],
    });
    make.launch(0, &[a, b, out], std::slice::from_ref(&n), 10);
    let matrix = Matrix {
        buffer: a,
        offset: var,
        batch_strides: vec![c(1), n.clone()],
        row_stride: c(-1),
        col_stride: c(0),
    };
    make.step(Action::Gemm(Box::new(Gemm {
        dtype: DType::F32,
        m: n.clone(),
        n: m.clone(),
        k: c(0),
        batch: vec![n.clone()],
        reduce: vec![m.clone(), c(4)],
        a: Operand::Strided(matrix.clone()),
        b: Operand::Packed {
            kernel: 2,
            buffers: vec![b, r],
            symbols: vec![n.clone()],
            len: c(5),
            item_strides: vec![c(1)],
            row_stride: n.clone(),
            col_stride: c(1),
        },
        c: matrix,
        epilogue: Some(Epilogue { kernel: 3, buffers: vec![t], symbols: vec![m.clone()], rows: true }),
    })));
    make.step(Action::Argsort(Box::new(Argsort {
        input: a,
        output: BufferId(99),
        outer: n.clone(),
        len: m,
        inner: c(1),
        wanted: c(2),
        descending: true,
    })));
    for stream in RandomStream::ALL {
        make.step(Action::RandomBits { stream, state: b, output: out });
    }
    make.step(Action::Copy { input: a, output: out });
    make.step(Action::Custom {
        name: "svd".into(),
        attributes: vec![-1, i64::MAX],
        inputs: vec![(a, ty.clone())],
        output: (out, ty),
    });
    make.program
}

fn bytes_of(p: &Program) -> Vec<u8> {
    let mut w = Writer::default();
    write_program(&mut w, p);
    w.finish()
}

#[test]
fn a_program_survives_as_bytes() {
    let mut p = everything();
    let bytes = bytes_of(&p);
    let mut r = Reader::new(&bytes);
    assert_eq!(read_program(&mut r).unwrap(), p);
    r.finish().unwrap();

    strip_bodies(&mut p);
    let short = bytes_of(&p);
    assert!(short.len() < bytes.len());
    assert_eq!(p.kernels[0].parallel_loop().unwrap().2, &Expr::symbol(0));
    assert_eq!(read_program(&mut Reader::new(&short)).unwrap(), p);
}

#[test]
fn other_bytes_are_errors_or_other_programs_never_panics() {
    let bytes = bytes_of(&everything());
    for len in 0..bytes.len() {
        assert!(read_program(&mut Reader::new(&bytes[..len])).is_err(), "cut to {len}");
    }
    let mut rng = Lcg(1);
    for at in 0..bytes.len() {
        for value in [0, 0xff, bytes[at] ^ 1, rng.next() as u8] {
            let mut other = bytes.clone();
            other[at] = value;
            let _ = read_program(&mut Reader::new(&other));
        }
    }
    // Nesting without end.
    let deep: Vec<u8> = [1u8, 1, 2, 1, 3].repeat(100_000);
    assert!(Reader::new(&deep).expr().is_err());
}

/// A device's program in which every variant of everything occurs. It makes no sense either.
fn everything_of_a_device() -> DeviceProgram {
    let (n, c) = (Expr::symbol(0), Expr::constant);
    let function = |name: &str, helpers: &[u32]| Function {
        name: name.into(),
        about: "// Ünïcode.\n".into(),
        source: format!("void {name}() {{}}"),
        helpers: helpers.to_vec(),
        block: [256, 2, 1],
    };
    let arguments = vec![
        Argument::Buffer(BufferId(300)),
        Argument::Scratch(1),
        Argument::Integer(n.scale(-3)),
        Argument::Fault,
    ];
    let launch =
        Launch { function: 1, grid: [n.offset(7), c(1), n.floor_div(&c(2))], shared: c(64), arguments };
    let matrix = |memory| library::Matrix {
        memory,
        offset: c(3),
        batch_strides: vec![n.scale(5)],
        row_stride: n.clone(),
        col_stride: c(1),
    };
    let product = Product {
        dtype: DType::BF16,
        m: n.clone(),
        n: c(7),
        k: c(9),
        batch: vec![n.clone()],
        a: matrix(Argument::Buffer(BufferId(0))),
        b: matrix(Argument::Scratch(1)),
        c: matrix(Argument::Buffer(BufferId(2))),
        bias: Some(BufferId(3)),
        addend: None,
        activation: Activation::GeluGradient,
        before: Some(BufferId(4)),
        sum: Some(OperandSum { of: Side::B, result: BufferId(5) }),
        second: Some(1),
        tf32: true,
    };
    let images = |strides| Images {
        memory: Argument::Buffer(BufferId(1)),
        offset: c(0),
        sizes: [n.clone(), c(3), c(4), c(8), c(9)],
        strides,
    };
    let convolution = Convolution {
        dtype: DType::F32,
        direction: Direction::Data,
        x: images([864, 288, 72, 9, 1]),
        y: images([1200, 400, 100, 10, 2]),
        filter: Filter { memory: Argument::Scratch(0), offset: c(4), sizes: [c(3), c(3), c(5), c(2), c(1)] },
        stride: [3, 1, 2],
        padding: [0, 3, 4],
        dilation: [2, 1, 1],
        groups: 3,
        times: 2,
        steps: [5, 0, 7],
        flipped: true,
        tf32: false,
    };
    let alternative = |step, launches, call| Alternative { step, launches, call };
    DeviceProgram {
        alternatives: vec![
            alternative(0, 0..2, Call::Product(product)),
            alternative(1, 0..1, Call::Convolution(Box::new(convolution))),
        ],
        listing: "// step 0".into(),
        helpers: vec!["struct A;".into(), String::new()],
        functions: vec![function("f", &[0, 1]), function("g", &[])],
        scratch: vec![n.scale(16), c(32)],
        steps: vec![
            DeviceStep::Launch(vec![launch.clone(), launch]),
            DeviceStep::Launch(Vec::new()),
            DeviceStep::Copy { input: BufferId(1), output: BufferId(2) },
            DeviceStep::Host,
        ],
    }
}

#[test]
fn a_program_of_a_device_survives_as_bytes_and_other_bytes_never_panic() {
    let device = everything_of_a_device();
    let mut w = Writer::default();
    write_device_program(&mut w, &device);
    let bytes = w.finish();
    let mut r = Reader::new(&bytes);
    assert_eq!(read_device_program(&mut r).unwrap(), device);
    r.finish().unwrap();
    for len in 0..bytes.len() {
        assert!(read_device_program(&mut Reader::new(&bytes[..len])).is_err(), "cut to {len}");
    }
    for at in 0..bytes.len() {
        for value in 0..=0xff {
            let mut other = bytes.clone();
            other[at] = value;
            if let Ok(other) = read_device_program(&mut Reader::new(&other)) {
                // Whatever was read can be put together.
                other.source();
                (0..other.functions.len() as u32).for_each(|f| drop(other.unit(&[f])));
            }
        }
    }
}

fn key(n: u32) -> Key {
    let mut k = KeyBuilder::default();
    n.hash(&mut k);
    k.finish()
}

fn entry(n: u8) -> Entry {
    let code = KernelCode { code: vec![n; 1000], entry: n.into(), constants: vec![1, n] };
    Entry { program: everything(), kernels: vec![code; 3], extra: vec![n; 17] }
}

#[test]
fn entries_come_back_and_damage_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let cache = CodeCache::at(dir.path(), 1 << 30);
    assert_eq!(cache.load(&key(1)), None);
    assert!(cache.store(&key(1), &entry(1)) && cache.store(&key(2), &entry(2)));
    assert_eq!(cache.load(&key(1)), Some(entry(1)));
    assert_eq!(CodeCache::at(dir.path(), 0).load(&key(2)), Some(entry(2)));
    assert_eq!(cache.stats(), CacheStats { hits: 1, misses: 1, stores: 2, ..CacheStats::default() });

    let path = dir.path().join("code-1").join(key(1).to_string());
    let whole = fs::read(&path).unwrap();
    let mut cases: Vec<Vec<u8>> = (0..whole.len()).step_by(7).map(|n| whole[..n].to_vec()).collect();
    cases.extend((0..whole.len()).step_by(3).map(|at| {
        let mut other = whole.clone();
        other[at] ^= 1 << (at % 8);
        other
    }));
    cases.push([whole.as_slice(), b"x"].concat());
    // A good entry under the wrong name.
    cases.push(fs::read(path.with_file_name(key(2).to_string())).unwrap());
    for bytes in cases {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(cache.load(&key(1)), None);
        assert!(!path.exists(), "a damaged entry is removed");
    }
    assert!(cache.stats().damaged > 100);
    assert!(cache.store(&key(1), &entry(3)));
    assert_eq!(cache.load(&key(1)), Some(entry(3)));
    cache.clear();
    assert_eq!(cache.load(&key(1)), None);
}

#[test]
fn the_least_recently_used_go_first_and_leftovers_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = CodeCache::at(dir.path(), 1 << 30);
    for n in 0..10 {
        assert!(cache.store(&key(n), &entry(n as u8)));
    }
    let inside = dir.path().join("code-1");
    let size = fs::metadata(inside.join(key(0).to_string())).unwrap().len();
    let age = |name: &str, hours: u64| {
        let file = fs::File::options().append(true).open(inside.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
    };
    for n in 0..10 {
        age(&key(n).to_string(), 100 - u64::from(n));
    }
    // Reading makes the oldest the youngest.
    assert!(cache.load(&key(0)).is_some());
    for (name, hours) in [(".old.part", 2), (".new.part", 0)] {
        fs::write(inside.join(name), b"half").unwrap();
        age(name, hours);
    }
    let small = CodeCache::at(dir.path(), size * 5);
    assert!(small.store(&key(10), &entry(10)));
    let left: Vec<u32> = (0..11).filter(|&n| inside.join(key(n).to_string()).exists()).collect();
    assert_eq!(left, [0, 8, 9, 10]);
    assert!(!inside.join(".old.part").exists() && inside.join(".new.part").exists());
}

#[test]
fn a_directory_that_cannot_be_used_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    // A file where the directory should be.
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let cache = CodeCache::at(&file, 1 << 30);
    assert!(!cache.store(&key(1), &entry(1)));
    assert_eq!(cache.load(&key(1)), None);
    assert_eq!(cache.stats().store_failures, 1);

    // A directory that anybody may write to holds no code of ours.
    let open = CodeCache::at(dir.path(), 1 << 30);
    assert!(open.store(&key(1), &entry(1)) && open.load(&key(1)).is_some());
    fs::set_permissions(dir.path().join("code-1"), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(open.load(&key(1)).is_none() && !open.store(&key(1), &entry(1)));
}

#[test]
fn many_writers_and_readers_see_whole_entries() {
    let dir = tempfile::tempdir().unwrap();
    // Processes, each with threads: children of fork use what the parent made.
    let children: Vec<i32> = (0..3)
        .map(|_| {
            // SAFETY: the child works on files alone and leaves by `_exit`.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let good = std::panic::catch_unwind(|| work(dir.path())).is_ok();
                // SAFETY: leaves the child without running the parent's destructors.
                unsafe { libc::_exit(i32::from(!good)) };
            }
            pid
        })
        .collect();
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| work(dir.path()));
        }
    });
    for pid in children {
        let mut status = 0;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
    }
    let names: Vec<_> = fs::read_dir(dir.path().join("code-1")).unwrap().collect();
    assert_eq!(names.len(), 4, "entries and nothing else");
}

fn work(dir: &std::path::Path) {
    let cache = CodeCache::at(dir, 1 << 30);
    for round in 0..100u32 {
        let n = round % 4;
        match cache.load(&key(n)) {
            Some(found) if round % 3 > 0 => assert_eq!(found, entry(n as u8)),
            _ => assert!(cache.store(&key(n), &entry(n as u8))),
        }
    }
    assert_eq!(cache.stats().damaged, 0);
}

#[test]
fn keys_tell_graphs_apart() {
    let graph = |size: i64, name: &str, line: u32| {
        let mut g = Graph::new("f");
        g.symbols.push(Symbol { name: name.into() });
        let x = g.param(Type::fixed(DType::F32, &[size]));
        let loc = g.loc_id(Loc { file: "a.py".into(), line });
        let y = g.add_at(Op::Unary(Unary::Exp), &[x], loc).unwrap();
        g.outputs.push(y);
        g
    };
    let key = |g: &Graph| {
        let mut k = KeyBuilder::default();
        k.graph(g);
        k.finish()
    };
    let base = key(&graph(4, "n", 1));
    assert_eq!(base, key(&graph(4, "n", 1)));
    for other in [graph(5, "n", 1), graph(4, "m", 1), graph(4, "n", 2)] {
        assert_ne!(base, key(&other));
    }
}
