//! The units of a plan as the steps of a program.

use super::emit::{Sources, Stored};
use super::form::{Form, form};
use super::half::widen_products;
use super::loops::{Built, dense};
use super::{LowerError, LowerOptions, dot, epilogue, loops, offsets, single};
use crate::error::PassError;
use crate::expand;
use crate::fuse::{self, Plan, Role, Unit};
use crate::memory;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use ttk_ir::kernel::Kernel;
use ttk_ir::program::{Action, Argsort, Buffer, BufferId, Output, Placement, Program, Step};
use ttk_ir::{Dim, Expr, Graph, Op, ValueId};

/// Compiles a graph to kernels and library calls.
///
/// # Errors
/// A defect of the compiler.
pub fn lower(graph: &Graph, options: &LowerOptions) -> Result<Program, PassError> {
    let graph = widen_products(graph, options.half_products)?;
    let graph = fuse::split::split(&graph)?;
    let graph = graph.as_ref();
    let plan = fuse::plan(graph, options.half_products)?;
    let mut lowerer = Lowerer::new(graph, &plan);
    // On a GPU the elements of a row are threads.
    lowerer.in_rows = !options.native_math;
    for (i, unit) in plan.units.iter().enumerate() {
        lowerer.unit(i as u32, unit)?;
    }
    let mut program = lowerer.finish()?;
    epilogue::join(&mut program, options);
    if !options.native_math {
        offsets::join(&mut program);
        program.kernels.iter_mut().for_each(expand::expand);
    }
    memory::assign(&mut program, options);
    Ok(program)
}

struct Lowerer<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    stored: Vec<Option<Stored>>,
    program: Program,
    kernel_ids: FxHashMap<u64, Vec<u32>>,
    forms: FxHashMap<Form, Known>,
    /// See [`single::scatter`].
    in_rows: bool,
}

/// The launch of the first unit of a form.
struct Known {
    kernel: u32,
    /// Positions among the form's buffers.
    buffers: Vec<usize>,
    work: Expr,
}

/// What one unit computes itself and finds in memory.
struct UnitSources<'a> {
    plan: &'a Plan,
    stored: &'a [Option<Stored>],
    unit: u32,
}

impl Sources for UnitSources<'_> {
    fn computes(&self, v: ValueId) -> bool {
        match self.plan.roles[v.index()] {
            Role::Inline => true,
            Role::Unit(u) => u == self.unit,
            Role::Dead | Role::Input => false,
        }
    }

    fn stored(&self, v: ValueId) -> Option<&Stored> {
        self.stored[v.index()].as_ref()
    }
}

impl<'a> Lowerer<'a> {
    fn new(graph: &'a Graph, plan: &'a Plan) -> Lowerer<'a> {
        let inputs = graph.params().iter().map(|&p| graph.ty(p).clone()).collect();
        let mut lowerer = Lowerer {
            graph,
            plan,
            stored: vec![None; graph.len()],
            program: Program {
                name: graph.name.clone(),
                symbols: graph.symbols.clone(),
                inputs,
                outputs: Vec::new(),
                buffers: Vec::new(),
                arena: Expr::constant(0),
                kernels: Vec::new(),
                steps: Vec::new(),
            },
            kernel_ids: FxHashMap::default(),
            forms: FxHashMap::default(),
            in_rows: false,
        };
        for (i, &p) in graph.params().iter().enumerate() {
            let buffer = lowerer.buffer(p, Placement::Input(i as u32));
            lowerer.stored[p.index()] = Some(dense(graph, p, buffer));
        }
        lowerer
    }

    /// A buffer for a value.
    fn buffer(&mut self, v: ValueId, placement: Placement) -> BufferId {
        let ty = self.graph.ty(v);
        let id = BufferId(self.program.buffers.len() as u32);
        self.program.buffers.push(Buffer { dtype: ty.dtype, len: ty.numel().expr(), placement });
        id
    }

    /// Makes room for the result of a unit.
    fn allocate(&mut self, v: ValueId) -> Stored {
        let placement = if self.graph.outputs.contains(&v) {
            Placement::Output
        } else {
            Placement::Arena { offset: Expr::constant(0) }
        };
        let buffer = self.buffer(v, placement);
        let stored = dense(self.graph, v, buffer);
        self.stored[v.index()] = Some(stored.clone());
        stored
    }

    fn push(&mut self, v: ValueId, action: Action) {
        let loc = self.graph.loc(self.graph.node(v).loc).clone();
        self.program.steps.push(Step { action, loc });
    }

    fn unit(&mut self, number: u32, unit: &Unit) -> Result<(), LowerError> {
        match unit {
            Unit::Loops(unit) => {
                for &v in &unit.outputs {
                    self.allocate(v);
                }
                let Some(&first) = unit.outputs.first() else { return Ok(()) };
                if unit.axes.iter().any(|a| !a.inner && a.extent == Dim::Fixed(0)) {
                    return Ok(());
                }
                let sources = UnitSources { plan: self.plan, stored: &self.stored, unit: number };
                let stored = |v: ValueId| self.stored[v.index()].clone();
                let form = form(self.graph, unit, &sources, &stored);
                if let Some((form, buffers)) = &form
                    && let Some(known) = self.forms.get(form)
                {
                    let buffers = known.buffers.iter().map(|&b| buffers[b]).collect();
                    self.launch_kernel(first, known.kernel, buffers, known.work.clone());
                    return Ok(());
                }
                let built = loops::build(self.graph, unit, &sources, &stored)?;
                let (buffers, work) = (built.buffers.clone(), built.work.clone());
                let kernel = self.launch(first, built);
                if let Some((form, met)) = form {
                    let place = |b: &BufferId| met.iter().position(|m| m == b);
                    if let Some(buffers) = buffers.iter().map(place).collect() {
                        self.forms.insert(form, Known { kernel, buffers, work });
                    }
                }
                Ok(())
            }
            Unit::Single(v) => self.single(number, *v),
        }
    }

    fn stored(&self, v: ValueId) -> Result<&Stored, LowerError> {
        self.stored[v.index()].as_ref().ok_or(LowerError::NotStored { op: self.graph.node(v).op.name() })
    }

    fn single(&mut self, number: u32, v: ValueId) -> Result<(), LowerError> {
        let graph = self.graph;
        let node = graph.node(v);
        let out = self.allocate(v);
        if node.ty.shape.contains(&Dim::Fixed(0)) {
            return Ok(());
        }
        let sources = UnitSources { plan: self.plan, stored: &self.stored, unit: number };
        let action = match &node.op {
            Op::Dot { .. } if self.plan.is_gemm(graph, v) => {
                let strided = |x: ValueId| {
                    let stop = |y: ValueId| self.stored[y.index()].is_some();
                    let view = dot::strided(graph, x, &stop)
                        .ok_or(LowerError::NotStored { op: graph.node(x).op.name() })?;
                    let stored = self.stored(view.base)?;
                    Ok((view, stored))
                };
                let (a, b) = (strided(node.inputs[0])?, strided(node.inputs[1])?);
                let gemm = dot::gemm(graph, v, (&a.0, a.1), (&b.0, b.1), &out)
                    .ok_or(LowerError::NotInline { op: node.op.name() })?;
                Action::Gemm(Box::new(gemm))
            }
            Op::Dot { .. } => {
                let built = dot::loops(graph, v, &sources, &out)?;
                self.launch(v, built);
                return Ok(());
            }
            Op::Scan { .. } => {
                let built = single::scan(graph, v, &sources, &out)?;
                self.launch(v, built);
                return Ok(());
            }
            Op::Scatter { axis, .. } => {
                let operand = sources.stored(node.inputs[0]);
                // Beside an inner axis the kernel's copy would go through memory in strides.
                let strided = !out.strides[*axis as usize].is_one();
                let same = operand.filter(|o| strided && (&o.len, &o.strides) == (&out.len, &out.strides));
                let built = single::scatter(graph, v, &sources, &out, same.is_none(), self.in_rows)?;
                if let Some(input) = same.map(|o| o.buffer) {
                    self.push(v, Action::Copy { input, output: out.buffer });
                }
                self.launch(v, built);
                return Ok(());
            }
            Op::RandomBits { stream, .. } => Action::RandomBits {
                stream: *stream,
                state: self.stored(node.inputs[0])?.buffer,
                output: out.buffer,
            },
            Op::Argsort { axis, descending } => {
                let shape = &node.ty.shape;
                let product = |dims: &[Dim]| dims.iter().fold(Expr::constant(1), |n, d| n.mul(&d.expr()));
                let axis = *axis as usize;
                Action::Argsort(Box::new(Argsort {
                    input: self.stored(node.inputs[0])?.buffer,
                    output: out.buffer,
                    outer: product(&shape[..axis]),
                    len: shape[axis].expr(),
                    inner: product(&shape[axis + 1..]),
                    wanted: self.wanted(v, axis),
                    descending: *descending,
                }))
            }
            Op::Custom { name, attributes, .. } => {
                let mut inputs = Vec::new();
                for &x in &node.inputs {
                    inputs.push((self.stored(x)?.buffer, graph.ty(x).clone()));
                }
                Action::Custom {
                    name: name.to_string(),
                    attributes: attributes.to_vec(),
                    inputs,
                    output: (out.buffer, node.ty.clone()),
                }
            }
            Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::Unary(_) | Op::Binary(_) => {
                return Err(LowerError::NotInline { op: node.op.name() });
            }
            Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) | Op::Reshape(_) | Op::Permute(_) => {
                return Err(LowerError::NotInline { op: node.op.name() });
            }
            Op::Expand(_) | Op::Slice(_) | Op::Pad { .. } | Op::Concat { .. } | Op::Update(_) => {
                return Err(LowerError::NotInline { op: node.op.name() });
            }
            Op::Window(_) | Op::Fold { .. } | Op::Gather { .. } | Op::Reduce { .. } => {
                return Err(LowerError::NotInline { op: node.op.name() });
            }
            Op::Detach | Op::Barrier => return Err(LowerError::NotInline { op: node.op.name() }),
        };
        self.push(v, action);
        Ok(())
    }

    /// How many of the positions that sort an axis something asks for: all but where only a part at the beginning is
    /// taken of them, as `topk` does.
    fn wanted(&self, v: ValueId, axis: usize) -> Expr {
        let all = self.graph.ty(v).shape[axis].expr();
        if self.graph.outputs.contains(&v) {
            return all;
        }
        let mut wanted: Option<Expr> = None;
        for user in self.graph.ids().map(|id| self.graph.node(id)).filter(|n| n.inputs.contains(&v)) {
            let Op::Slice(dims) = &user.op else { return all };
            let part = &dims[axis];
            let first = part.start == Dim::Fixed(0) && part.step == 1;
            if !first || part.len == Dim::Fixed(0) || wanted.as_ref().is_some_and(|w| *w != part.len.expr()) {
                return all;
            }
            wanted = Some(part.len.expr());
        }
        wanted.unwrap_or(all)
    }

    /// A step that launches a kernel just written, and the kernel's number.
    fn launch(&mut self, v: ValueId, mut built: Built) -> u32 {
        built.kernel.n_symbols = self.program.symbols.len() as u32;
        let kernel = self.kernel(v, built.kernel);
        self.launch_kernel(v, kernel, built.buffers, built.work);
        kernel
    }

    fn launch_kernel(&mut self, v: ValueId, kernel: u32, buffers: Vec<BufferId>, work: Expr) {
        let symbols = (0..self.program.symbols.len() as u32).map(Expr::symbol).collect();
        self.push(v, Action::Launch { kernel, buffers, symbols, work });
    }

    /// The number of a kernel, which is that of an equal one if there is one.
    fn kernel(&mut self, v: ValueId, mut kernel: Kernel) -> u32 {
        let mut hasher = FxHasher::default();
        kernel.n_symbols.hash(&mut hasher);
        kernel.params.hash(&mut hasher);
        kernel.locals.hash(&mut hasher);
        kernel.aliases.hash(&mut hasher);
        kernel.body.hash(&mut hasher);
        let same = self.kernel_ids.entry(hasher.finish()).or_default();
        for &id in same.iter() {
            let k = &self.program.kernels[id as usize];
            if k.n_symbols == kernel.n_symbols
                && k.params == kernel.params
                && k.locals == kernel.locals
                && k.aliases == kernel.aliases
                && k.body == kernel.body
            {
                return id;
            }
        }
        let id = self.program.kernels.len() as u32;
        kernel.name = format!("{}_{id}", self.graph.node(v).op.name());
        same.push(id);
        self.program.kernels.push(kernel);
        id
    }

    fn finish(mut self) -> Result<Program, LowerError> {
        let mut given: Vec<BufferId> = Vec::new();
        for &v in &self.graph.outputs {
            let stored = self.stored(v)?.buffer;
            let is_input = matches!(self.program.buffers[stored.0 as usize].placement, Placement::Input(_));
            let mut buffer = stored;
            if is_input || given.contains(&stored) {
                buffer = self.buffer(v, Placement::Output);
                self.push(v, Action::Copy { input: stored, output: buffer });
            }
            given.push(buffer);
            self.program.outputs.push(Output { ty: self.graph.ty(v).clone(), buffer });
        }
        Ok(self.program)
    }
}
