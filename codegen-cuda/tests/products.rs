//! Products as steps of a program: every type, packed operands, epilogues, operands in any layout.

mod device;

use ttk_codegen_cuda::{Options, emit};
use ttk_ir::graph::Loc;
use ttk_ir::kernel::text;
use ttk_ir::program::eval::eval;
use ttk_ir::program::{
    Action, Buffer, BufferId, Epilogue, Gemm, Matrix, Operand, Output, Placement, Program, Step,
};
use ttk_ir::testing::{Rng, Values, random_inputs};
use ttk_ir::{DType, Dim, Expr, Type};

#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: DType,
    mnk: [i64; 3],
    batch: &'static [i64],
    reduce: &'static [i64],
    pack_a: bool,
    pack_b: bool,
    /// None, by rows or by items.
    epilogue: Option<bool>,
    /// The first size is a symbol.
    symbolic: bool,
    tf32: bool,
}

fn number(n: i64) -> Expr {
    Expr::constant(n)
}

fn flat(dtype: DType, len: i64) -> Type {
    Type { dtype, shape: [Dim::Fixed(len)].into_iter().collect() }
}

/// A program under construction.
struct Make {
    program: Program,
}

impl Make {
    fn input(&mut self, dtype: DType, len: i64) -> BufferId {
        let placement = Placement::Input(self.program.inputs.len() as u32);
        self.program.inputs.push(flat(dtype, len));
        self.program.buffers.push(Buffer { dtype, len: number(len), placement });
        BufferId(self.program.buffers.len() as u32 - 1)
    }

    fn kernel(&mut self, text: &str) -> u32 {
        self.program.kernels.push(text::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}")));
        self.program.kernels.len() as u32 - 1
    }
}

/// Strides, innermost axis last, of a dense array whose axes lie in random order; of the first ones some repeat.
fn layout(rng: &mut Rng, sizes: &[i64], may_repeat: usize) -> (Vec<i64>, i64) {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i + 1));
    }
    let (mut strides, mut len) = (vec![0; sizes.len()], 1);
    for axis in order {
        if axis < may_repeat && rng.one_in(3) {
            continue;
        }
        strides[axis] = len;
        len *= sizes[axis];
    }
    (strides, len)
}

fn matrix(buffer: BufferId, offset: i64, strides: &[i64], items: usize) -> Matrix {
    Matrix {
        buffer,
        offset: number(offset),
        batch_strides: strides[..items].iter().map(|s| number(*s)).collect(),
        row_stride: number(strides[items]),
        col_stride: number(strides[items + 1]),
    }
}

fn operand(make: &mut Make, rng: &mut Rng, case: &Case, packed: bool, (rows, cols): (i64, i64)) -> Operand {
    let axes = [case.batch, case.reduce].concat();
    let items: i64 = axes.iter().product();
    if packed {
        let (each, t) = (rows * cols, case.dtype.name());
        let x = make.input(case.dtype, items * each);
        let kernel = make.kernel(&format!(
            "kernel @pack(%p0: mut {t}[{each}], %p1: {t}[{total}]) {{\n  for %i0 in 0..{items} parallel {{\n    for %i1 in 0..{each} vector {{\n      %0: {t} = load %p1[{each}*%i0 + %i1]\n      %1: {t} = neg %0\n      store %p0[%i1], %1\n    }}\n  }}\n}}\n",
            total = items * each
        ));
        let (mut strides, mut step) = (Vec::new(), 1);
        for size in axes.iter().rev() {
            strides.insert(0, number(step));
            step *= size;
        }
        return Operand::Packed {
            kernel,
            buffers: vec![x],
            symbols: Vec::new(),
            len: number(each),
            item_strides: strides,
            row_stride: number(cols),
            col_stride: number(1),
        };
    }
    let sizes = [axes.as_slice(), &[rows, cols]].concat();
    let (strides, len) = layout(rng, &sizes, axes.len());
    let offset = rng.below(2) as i64 * 8;
    let buffer = make.input(case.dtype, len + offset);
    Operand::Strided(matrix(buffer, offset, &strides, axes.len()))
}

fn check(case: Case, seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut make = Make {
        program: Program {
            name: "product".into(),
            symbols: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            buffers: Vec::new(),
            arena: number(0),
            kernels: Vec::new(),
            steps: Vec::new(),
        },
    };
    let [m, n, k] = case.mnk;
    let a = operand(&mut make, &mut rng, &case, case.pack_a, (m, k));
    let b = operand(&mut make, &mut rng, &case, case.pack_b, (k, n));
    let batch: i64 = case.batch.iter().product();
    let sizes = [case.batch, &[m, n]].concat();
    let len = batch * m * n;
    let mut strides = Vec::new();
    let mut step = 1;
    for size in sizes.iter().rev() {
        strides.insert(0, step);
        step *= size;
    }
    if case.epilogue.is_none() {
        strides = layout(&mut rng, &sizes, 0).0;
    }
    strides.splice(case.batch.len()..case.batch.len(), case.reduce.iter().map(|_| 0));
    let out = BufferId(make.program.buffers.len() as u32);
    make.program.buffers.push(Buffer { dtype: case.dtype, len: number(len), placement: Placement::Output });
    make.program.outputs.push(Output { ty: flat(case.dtype, len), buffer: out });
    let epilogue = case.epilogue.map(|rows| {
        let (pieces, each) = if rows { (batch * m, n) } else { (batch, m * n) };
        let bias = make.input(case.dtype, each);
        let t = case.dtype.name();
        let kernel = make.kernel(&format!(
            "kernel @epilogue(%p0: mut {t}[{len}], %p1: {t}[{each}]) {{\n  for %i0 in 0..{pieces} parallel {{\n    for %i1 in 0..{each} vector {{\n      %0: {t} = load %p0[{each}*%i0 + %i1]\n      %1: {t} = load %p1[%i1]\n      %2: {t} = add %0, %1\n      store %p0[{each}*%i0 + %i1], %2\n    }}\n  }}\n}}\n"
        ));
        Epilogue { kernel, buffers: vec![bias], symbols: Vec::new(), rows }
    });
    let mut symbols = Vec::new();
    let mut size_m = number(m);
    if case.symbolic {
        // The same number, which the printed program does not know.
        make.program.symbols.push(ttk_ir::graph::Symbol { name: "n".into() });
        symbols.push(m);
        size_m = Expr::symbol(0);
    }
    let gemm = Gemm {
        dtype: case.dtype,
        m: size_m,
        n: number(n),
        k: number(k),
        batch: case.batch.iter().map(|d| number(*d)).collect(),
        reduce: case.reduce.iter().map(|d| number(*d)).collect(),
        a,
        b,
        c: matrix(out, 0, &strides, case.batch.len() + case.reduce.len()),
        epilogue,
    };
    let loc = Loc { file: "product.py".into(), line: 1 };
    make.program.steps.push(Step { action: Action::Gemm(Box::new(gemm)), loc });
    let program = make.program;
    let printed =
        emit(&program, &Options { tf32: case.tf32, ..Options::default() }).map_err(|e| e.to_string())?;
    if let Some(folder) = std::env::var_os("TTK_CUDA_SOURCES") {
        let name = format!("product_{}_{seed}.cu", case.dtype);
        std::fs::write(std::path::Path::new(&folder).join(name), printed.source())
            .map_err(|e| e.to_string())?;
    }
    let inputs = random_inputs(&program.inputs, &[], seed, Values::Tame);
    let want = eval(&program, &inputs, &symbols).map_err(|e| format!("{e}\n{program}"))?;
    let got =
        device::run(&program, &printed, &inputs, &symbols, true).map_err(|e| format!("{e}\n{program}"))?;
    let got = got.ok_or("a step for the host")?.map_err(|e| format!("index {e:?}"))?;
    let rounding = match case.dtype {
        DType::F32 if case.tf32 => 2e-3,
        DType::F32 => 2e-6,
        DType::F64 => 1e-13,
        DType::F16 => 2e-3,
        DType::BF16 => 2e-2,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    };
    let largest = want[0].to_f64().into_iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    got[0].close(&want[0], rounding, rounding * largest).map_err(|e| format!("{e}\n{program}"))
}

#[test]
fn products_of_every_kind() {
    let dtypes =
        [DType::F32, DType::F16, DType::BF16, DType::F64, DType::I32, DType::I8, DType::I64, DType::U8];
    let base = Case {
        dtype: DType::F32,
        mnk: [70, 40, 36],
        batch: &[],
        reduce: &[],
        pack_a: false,
        pack_b: false,
        epilogue: None,
        symbolic: false,
        tf32: false,
    };
    let mut failures = Vec::new();
    let mut seed = 0;
    let only = std::env::var("TTK_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let mut run = |case: Case| {
        seed += 1;
        if only.is_some_and(|s| s != seed) {
            return;
        }
        failures.extend(check(case, seed).err().map(|e| format!("{case:?}, seed {seed}: {e}")));
    };
    for dtype in dtypes {
        for tf32 in [false, true] {
            if tf32 && dtype != DType::F32 {
                continue;
            }
            let base = Case { dtype, tf32, ..base };
            run(base);
            run(Case { mnk: [64, 64, 64], epilogue: Some(true), ..base });
            run(Case { mnk: [5, 3, 1], batch: &[2, 3], ..base });
            run(Case { mnk: [33, 16, 8], batch: &[2], reduce: &[3, 2], ..base });
            run(Case { mnk: [24, 8, 16], batch: &[2], pack_a: true, epilogue: Some(false), ..base });
            run(Case { mnk: [24, 8, 17], batch: &[2], reduce: &[2], pack_a: true, pack_b: true, ..base });
            run(Case { mnk: [16, 16, 1200], ..base });
            run(Case { mnk: [16, 9, 800], batch: &[2], reduce: &[2], ..base });
            run(Case { mnk: [140, 136, 40], symbolic: true, ..base });
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n\n"));
}
