//! The steps of a program as launches.

use crate::cost::Cost;
use crate::gemm::{self, Product, View};
use crate::kernel::{self, size};
use crate::library;
use crate::names::{Code, NAME, Names, places};
use crate::scalar;
use crate::special::specialise;
use crate::{Error, Options, random, sort};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Function, Launch};
use ttk_ir::kernel::{BufferRef, Inst, Kernel, Stmt};
use ttk_ir::op::RandomStream;
use ttk_ir::program::{Action, Argsort, Buffer, BufferId, Gemm, Matrix, Operand, Program};
use ttk_ir::{Atom, Expr};

/// What every translation unit begins with.
const PRELUDE: &str = include_str!("prelude.cuh");

/// A kernel that is launched with more sets of sizes than this is printed once for all sizes.
const SPECIAL: usize = 4;

pub(crate) fn emit(program: &Program, options: &Options) -> Result<DeviceProgram, Error> {
    let mut emitter = Emitter {
        program,
        options,
        names: Names::default(),
        out: DeviceProgram::default(),
        known: HashMap::new(),
        helpers: vec![PRELUDE],
        costs: Vec::new(),
        printed: HashMap::new(),
        sizes: sizes(program),
        step: 0,
        used: 0,
        numbers: Vec::new(),
    };
    for (step, s) in program.steps.iter().enumerate() {
        emitter.step = step;
        emitter.used = 0;
        let made = emitter.action(&s.action)?;
        emitter.out.steps.push(made);
    }
    let mut out = emitter.out;
    library::join(program, &mut out);
    out.listing = listing(program, &out, &emitter.costs);
    out.helpers = emitter.helpers.iter().map(|h| h.to_string()).collect();
    out.scratch = emitter.numbers;
    Ok(out)
}

/// What is computed, and the launches with what each costs.
fn listing(program: &Program, device: &DeviceProgram, costs: &[Option<Cost>]) -> String {
    let mut code = Code::default();
    let name: String = program.name.chars().filter(|c| !c.is_control() && *c != '\\').collect();
    code.line(format!("// The program {name}."));
    let locs: Vec<_> = program.steps.iter().map(|s| s.loc.clone()).collect();
    let lines = places(&locs);
    if !lines.is_empty() {
        code.line(format!("// It computes {lines}."));
    }
    for (i, symbol) in program.symbols.iter().enumerate() {
        let name: String = symbol.name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
        code.line(format!("// s{i} is {name}."));
    }
    let mut costs = costs.iter();
    for (i, step) in device.steps.iter().enumerate() {
        match step {
            DeviceStep::Launch(launches) => {
                for l in launches {
                    let f = &device.functions[l.function as usize];
                    let arguments: Vec<String> = l.arguments.iter().map(argument).collect();
                    let (name, [blocks, ..], [threads, ..]) = (&f.name, &l.grid, f.block);
                    let cost = match costs.next().and_then(Option::as_ref) {
                        Some(Cost { asked, fewest, memory, operations }) => format!(
                            ": {asked} bytes asked for, {memory} of memory, at least {fewest}; {operations} operations"
                        ),
                        None => String::new(),
                    };
                    let arguments = arguments.join(", ");
                    code.line(format!("// step {i}: {name}<<<{blocks}, {threads}>>>({arguments}){cost}"));
                }
            }
            DeviceStep::Copy { input, output } => {
                code.line(format!("// step {i}: copy %{} to %{}", input.0, output.0));
            }
            DeviceStep::Host => code.line(format!("// step {i}: on the host")),
        }
        for a in device.alternatives.iter().filter(|a| a.step as usize == i) {
            let Range { start, end } = a.launches;
            code.line(format!("// step {i}, launches {start}..{end}: or {}", a.call));
        }
    }
    code.text
}

fn argument(argument: &Argument) -> String {
    match argument {
        Argument::Buffer(b) => format!("%{}", b.0),
        Argument::Scratch(s) => format!("scratch {s}"),
        Argument::Integer(e) => e.to_string(),
        Argument::Fault => "fault".to_string(),
    }
}

/// The sets of known sizes that each kernel is launched with.
fn sizes(program: &Program) -> HashMap<u32, HashSet<Vec<Option<i64>>>> {
    let mut out: HashMap<u32, HashSet<Vec<Option<i64>>>> = HashMap::new();
    let mut add = |kernel: u32, symbols: &[Expr]| {
        out.entry(kernel).or_default().insert(symbols.iter().map(Expr::as_const).collect());
    };
    for step in &program.steps {
        match &step.action {
            Action::Launch { kernel, symbols, .. } => add(*kernel, symbols),
            Action::Gemm(gemm) => {
                for operand in [&gemm.a, &gemm.b] {
                    if let Operand::Packed { kernel, symbols, .. } = operand {
                        add(*kernel, symbols);
                    }
                }
                if let Some(e) = &gemm.epilogue {
                    add(e.kernel, &e.symbols);
                }
            }
            Action::Argsort(_) | Action::RandomBits { .. } | Action::Copy { .. } | Action::Custom { .. } => {}
        }
    }
    out
}

/// Sizes that a function takes as arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    list: Vec<(String, Expr)>,
}

impl Arguments {
    /// The size as C: a literal, or a parameter for what is no number.
    pub(crate) fn number(&mut self, e: &Expr) -> String {
        if let Some(n) = e.as_const() {
            return if i32::try_from(n).is_ok() && n >= 0 { n.to_string() } else { format!("({n}ll)") };
        }
        let numbered = |name: &str| name.strip_prefix('n').is_some_and(|rest| rest.parse::<u32>().is_ok());
        let known = self.list.iter().find(|(name, known)| numbered(name) && known == e);
        known.map(|(name, _)| name.clone()).unwrap_or_else(|| {
            let name = format!("n{}", self.list.len());
            self.list.push((name.clone(), e.clone()));
            name
        })
    }

    /// The size as a parameter of this name, whatever it is.
    pub(crate) fn named(&mut self, name: &str, e: &Expr) -> String {
        if !self.list.iter().any(|(known, _)| known == name) {
            self.list.push((name.to_string(), e.clone()));
        }
        name.to_string()
    }

    /// A stride as a parameter of this name, unless it is 1.
    pub(crate) fn stride(&mut self, name: &str, e: &Expr) -> String {
        if e.is_one() { "1".to_string() } else { self.named(name, e) }
    }

    /// The parameters, as C declares them.
    pub(crate) fn parameters(&self) -> Vec<String> {
        self.list.iter().map(|(name, _)| format!("long long {name}")).collect()
    }

    fn arguments(self) -> impl Iterator<Item = Argument> {
        self.list.into_iter().map(|(_, e)| Argument::Integer(e))
    }
}

/// A kernel as it is launched: whole, or for all items of an operand that it packs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Version {
    kernel: u32,
    sizes: Vec<Option<i64>>,
    /// Parameter 0 holds one item of many.
    packs: bool,
}

/// A launch and what it costs, if that is known.
type Launched = (Launch, Option<Cost>);

struct Emitter<'a> {
    program: &'a Program,
    options: &'a Options,
    names: Names,
    out: DeviceProgram,
    /// Functions by their source under no name, with the threads of a block and what they stand on.
    known: HashMap<(String, u32, Vec<u32>), u32>,
    /// What functions stand on: the prelude, and device functions that some of them need.
    helpers: Vec<&'static str>,
    /// Of each launch, in order.
    costs: Vec<Option<Cost>>,
    printed: HashMap<Version, Vec<(u32, kernel::Function)>>,
    sizes: HashMap<u32, HashSet<Vec<Option<i64>>>>,
    step: usize,
    /// Pieces of scratch that the step has taken.
    used: usize,
    /// The sizes of scratch.
    numbers: Vec<Expr>,
}

impl Emitter<'_> {
    fn action(&mut self, action: &Action) -> Result<DeviceStep, Error> {
        match action {
            // How much work a launch is says nothing about its result.
            Action::Launch { kernel, buffers, symbols, work: _ } => {
                let buffers: Vec<Argument> = buffers.iter().map(|b| Argument::Buffer(*b)).collect();
                let launches = self.launch(*kernel, buffers, symbols, false)?;
                Ok(self.launches(launches))
            }
            Action::Gemm(gemm) => self.gemm(gemm),
            Action::RandomBits { stream, state, output } => self.random(*stream, *state, *output),
            Action::Argsort(sort) => self.argsort(sort),
            Action::Copy { input, output } => Ok(DeviceStep::Copy { input: *input, output: *output }),
            Action::Custom { .. } => Ok(DeviceStep::Host),
        }
    }

    fn kernel(&self, id: u32) -> Result<&Kernel, Error> {
        let missing = Error::Missing { step: self.step, what: "kernel", id };
        self.program.kernels.get(id as usize).ok_or(missing)
    }

    /// Launches of a kernel on buffers, with the values of its symbols.
    fn launch(
        &mut self,
        id: u32,
        buffers: Vec<Argument>,
        symbols: &[Expr],
        packs: bool,
    ) -> Result<Vec<Launched>, Error> {
        let known: Vec<Option<i64>> = symbols.iter().map(Expr::as_const).collect();
        let few = self.sizes.get(&id).is_none_or(|s| s.len() <= SPECIAL);
        let sizes = if few { known } else { vec![None; symbols.len()] };
        let version = Version { kernel: id, sizes, packs };
        if !self.printed.contains_key(&version) {
            let mut kernel = specialise(self.kernel(id)?, &version.sizes);
            if packs {
                kernel = all_items(kernel);
            }
            let mut printed = Vec::new();
            for function in kernel::print(&kernel, self.options.atomics)? {
                let helper = scalar::helper(&function.text);
                let number = self.function(&function.name, &function.text, function.block, helper);
                printed.push((number, function));
            }
            self.printed.insert(version.clone(), printed);
        }
        let bind = |e: &Expr| {
            e.substitute(&mut |a| match a {
                Atom::Symbol(s) => symbols.get(*s as usize).cloned(),
                Atom::Var(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => None,
            })
        };
        // It has been put there above. Functions of one kernel share their scratch.
        let bytes: Vec<Expr> =
            self.printed[&version].iter().flat_map(|(_, f)| &f.scratch).map(bind).collect();
        let each = self.printed[&version].first().map_or(0, |(_, f)| f.scratch.len());
        let scratch: Vec<Argument> = bytes.into_iter().take(each).map(|b| self.scratch(b)).collect();
        let one = |(number, function): &(u32, kernel::Function)| {
            let mut arguments = buffers.clone();
            arguments.extend(function.symbols.iter().map(|s| Argument::Integer(bind(&Expr::symbol(*s)))));
            arguments.extend(scratch.iter().cloned());
            arguments.extend(function.fault.then_some(Argument::Fault));
            let cost = function.cost.as_ref().map(|c| c.map(&bind));
            (launch(*number, bind(&function.grid), arguments), cost)
        };
        Ok(self.printed[&version].iter().map(one).collect())
    }

    /// Adds a function with this step's source line.
    fn function_of_step(&mut self, name: &str, text: &str, block: u32, helper: Option<&'static str>) -> u32 {
        let lines = places(std::slice::from_ref(&self.program.steps[self.step].loc));
        if lines.is_empty() {
            return self.function(name, text, block, helper);
        }
        self.function(name, &format!("// From {lines}.\n{text}"), block, helper)
    }

    /// Adds a function, or finds the one that is equal to it. Its text begins with comments.
    fn function(&mut self, name: &str, text: &str, block: u32, helper: Option<&'static str>) -> u32 {
        let comments = text.split_inclusive('\n').take_while(|l| l.starts_with("//"));
        let (about, source) = text.split_at(comments.map(str::len).sum());
        let helpers: Vec<u32> = [0].into_iter().chain(helper.map(|h| self.helper(h))).collect();
        let key = (source.to_string(), block, helpers);
        if let Some(&number) = self.known.get(&key) {
            let known = &mut self.out.functions[number as usize].about;
            for line in about.split_inclusive('\n') {
                if !known.split_inclusive('\n').any(|l| l == line) {
                    known.push_str(line);
                }
            }
            return number;
        }
        let name = self.names.fresh(name);
        let (about, source) = (about.to_string(), source.replace(NAME, &name));
        let number = self.out.functions.len() as u32;
        let helpers = key.2.clone();
        self.out.functions.push(Function { name, about, source, helpers, block: [block, 1, 1] });
        self.known.insert(key, number);
        number
    }

    /// A step of launches.
    fn launches(&mut self, launched: Vec<Launched>) -> DeviceStep {
        let (launches, costs): (Vec<Launch>, Vec<_>) = launched.into_iter().unzip();
        self.costs.extend(costs);
        DeviceStep::Launch(launches)
    }

    /// Memory that this step alone uses while it runs; other steps use it as well.
    fn scratch(&mut self, bytes: Expr) -> Argument {
        // Pieces are taken in order, so that those of one step are different ones.
        for at in self.used..self.numbers.len() {
            let fits = match (self.numbers[at].as_const(), bytes.as_const()) {
                (Some(old), Some(new)) => {
                    self.numbers[at] = Expr::constant(old.max(new));
                    true
                }
                _ => self.numbers[at] == bytes,
            };
            if fits {
                self.used = at + 1;
                return Argument::Scratch(at as u32);
            }
        }
        self.numbers.push(bytes);
        self.used = self.numbers.len();
        Argument::Scratch(self.used as u32 - 1)
    }

    fn helper(&mut self, text: &'static str) -> u32 {
        let at = self.helpers.iter().position(|h| *h == text).unwrap_or_else(|| {
            self.helpers.push(text);
            self.helpers.len() - 1
        });
        at as u32
    }

    fn argsort(&mut self, sort: &Argsort) -> Result<DeviceStep, Error> {
        let dtype = self.buffer(sort.input)?.dtype;
        let plan = sort::Plan::new(sort, dtype);
        let mut sizes = Arguments::default();
        let printed = sort::chunks(sort, &plan, dtype, &mut sizes);
        let helpers = Some(sort::HELPERS);
        let function = self.function_of_step("argsort_chunks", &printed.text, printed.block, helpers);
        let (input, output) = (Argument::Buffer(sort.input), Argument::Buffer(sort.output));
        if plan.passes == 0 {
            let arguments = [input, output].into_iter().chain(sizes.arguments()).collect();
            return Ok(self.launches(vec![(launch(function, printed.grid, arguments), None)]));
        }
        let total = plan.rows.mul(&sort.len);
        let bytes = |size: i64| total.scale(size).offset(15).floor_div(&Expr::constant(16)).scale(16);
        let mut halves = Vec::new();
        for _ in 0..2 {
            let keys = self.scratch(bytes(plan.key_size));
            halves.push([keys, self.scratch(bytes(4))]);
        }
        let [from, to] = [&halves[0], &halves[1]];
        let arguments = [input].into_iter().chain(from.clone()).chain(sizes.arguments()).collect();
        let mut launches = vec![(launch(function, printed.grid, arguments), None)];

        let mut sizes = Arguments::default();
        let text = sort::merge(sort, &plan, &mut sizes);
        let block = sort::MERGE_BLOCK as u32;
        let function = self.function_of_step("argsort_merge", &text, block, helpers);
        for pass in 0..plan.passes {
            // Of two merges the second takes place if the first does, so that the result is where it is
            // expected however long the rows are.
            let width = plan.chunk << pass;
            let decisive = if sort.len.as_const().is_some() { width } else { plan.chunk << (pass / 2 * 2) };
            let (from, to) = if pass % 2 == 0 { (from, to) } else { (to, from) };
            let arguments = from
                .iter()
                .chain(to)
                .cloned()
                .chain([Argument::Integer(Expr::constant(width))])
                .chain(sizes.list.iter().map(|(_, e)| Argument::Integer(e.clone())))
                .collect();
            launches.push((launch(function, plan.merge_grid(&sort.len, decisive), arguments), None));
        }
        let sorted = if plan.passes % 2 == 0 { &from[1] } else { &to[1] };
        let mut sizes = Arguments::default();
        let text = sort::place(sort, &plan, &mut sizes);
        let function = self.function_of_step("argsort_place", &text, block, helpers);
        let blocks = total.offset(sort::MERGE_BLOCK - 1).floor_div(&Expr::constant(sort::MERGE_BLOCK));
        let arguments = [sorted.clone(), output].into_iter().chain(sizes.arguments()).collect();
        launches.push((launch(function, blocks, arguments), None));
        Ok(self.launches(launches))
    }

    fn random(
        &mut self,
        stream: RandomStream,
        state: BufferId,
        output: BufferId,
    ) -> Result<DeviceStep, Error> {
        let n = self.buffer(output)?.len.clone();
        // Words of the Mersenne twister come one after the other.
        let Some(random::Printed { text, threads }) = random::print(stream, &n) else {
            return Ok(DeviceStep::Host);
        };
        let block = random::BLOCK as u32;
        let function = self.function_of_step("random_bits", &text, block, Some(random::PHILOX));
        let cost = Cost::random(&n);
        let grid = threads.offset(random::BLOCK - 1).floor_div(&Expr::constant(random::BLOCK));
        let arguments = vec![Argument::Buffer(state), Argument::Buffer(output), Argument::Integer(n)];
        Ok(self.launches(vec![(launch(function, grid, arguments), Some(cost))]))
    }

    fn buffer(&self, id: BufferId) -> Result<&Buffer, Error> {
        let missing = Error::Missing { step: self.step, what: "buffer", id: id.0 };
        self.program.buffers.get(id.0 as usize).ok_or(missing)
    }

    fn gemm(&mut self, gemm: &Gemm) -> Result<DeviceStep, Error> {
        let mut launches = Vec::new();
        let (a, a_view) = self.operand(gemm, &gemm.a, &mut launches)?;
        let (b, b_view) = self.operand(gemm, &gemm.b, &mut launches)?;
        let product = Product { gemm, a: a_view, b: b_view, c: view(&gemm.c), tf32: self.options.tf32 };
        let helper = product.on_tensor_cores().then_some(gemm::HELPERS);
        let mut sizes = Arguments::default();
        let printed =
            gemm::print(&product, &mut sizes).ok_or(Error::Gemm { step: self.step, dtype: gemm.dtype })?;
        let function = self.function_of_step("gemm", &printed.text, printed.block, helper);
        let cost = Some(printed.cost);
        let c = Argument::Buffer(gemm.c.buffer);
        let (first, operands) = (launches.len(), [a.clone(), b.clone(), c.clone()]);
        if let Some((parts, bytes)) = &printed.parts {
            let memory = self.scratch(bytes.offset(15).floor_div(&Expr::constant(16)).scale(16));
            let arguments = [a, b, memory.clone()].into_iter().chain(sizes.arguments()).collect();
            launches.push((launch(function, printed.grid, arguments), cost));
            let mut sizes = Arguments::default();
            let text = gemm::join(&product, *parts, &mut sizes);
            let function = self.function_of_step("gemm_join", &text, gemm::JOIN_BLOCK as u32, None);
            let arguments = [memory, c].into_iter().chain(sizes.arguments()).collect();
            let cost = Some(gemm::join_cost(&product, *parts));
            launches.push((launch(function, gemm::join_grid(&product), arguments), cost));
        } else {
            let arguments = [a, b, c].into_iter().chain(sizes.arguments()).collect();
            launches.push((launch(function, printed.grid, arguments), cost));
        }
        let own = first..launches.len();
        if let Some(e) = &gemm.epilogue {
            let buffers = [gemm.c.buffer].iter().chain(&e.buffers).map(|b| Argument::Buffer(*b)).collect();
            launches.extend(self.launch(e.kernel, buffers, &e.symbols, false)?);
        }
        let [a, b, c] = &operands;
        let printed = library::Printed {
            step: self.step,
            gemm,
            a: (a, &product.a),
            b: (b, &product.b),
            c: (c, &product.c),
            tf32: product.tf32,
            own,
            end: launches.len(),
        };
        self.out.alternatives.extend(library::products(self.program, &printed));
        Ok(self.launches(launches))
    }

    /// Where an operand lies; a packed one after a launch that packs all of its items.
    fn operand(
        &mut self,
        gemm: &Gemm,
        operand: &Operand,
        launches: &mut Vec<Launched>,
    ) -> Result<(Argument, View), Error> {
        match operand {
            Operand::Strided(m) => Ok((Argument::Buffer(m.buffer), view(m))),
            Operand::Packed { kernel, buffers, symbols, len, item_strides, row_stride, col_stride } => {
                let last = gemm.batch.iter().chain(&gemm.reduce).zip(item_strides);
                let items =
                    last.fold(Expr::constant(1), |n, (size, stride)| n.add(&size.offset(-1).mul(stride)));
                let bytes = items.mul(len).scale(size(gemm.dtype));
                let rounded = bytes.offset(15).floor_div(&Expr::constant(16)).scale(16);
                let scratch = self.scratch(rounded);
                let arguments =
                    [scratch.clone()].into_iter().chain(buffers.iter().map(|b| Argument::Buffer(*b)));
                launches.extend(self.launch(*kernel, arguments.collect(), symbols, true)?);
                let view = View {
                    offset: Expr::constant(0),
                    item_strides: item_strides.iter().map(|s| s.mul(len)).collect(),
                    row_stride: row_stride.clone(),
                    col_stride: col_stride.clone(),
                };
                Ok((scratch, view))
            }
        }
    }
}

fn launch(function: u32, blocks: Expr, arguments: Vec<Argument>) -> Launch {
    let one = || Expr::constant(1);
    Launch { function, grid: [blocks, one(), one()], shared: Expr::constant(0), arguments }
}

fn view(m: &Matrix) -> View {
    View {
        offset: m.offset.clone(),
        item_strides: m.batch_strides.clone(),
        row_stride: m.row_stride.clone(),
        col_stride: m.col_stride.clone(),
    }
}

/// A kernel that packs one item of an operand, as one that packs each at its place among all.
fn all_items(mut kernel: Kernel) -> Kernel {
    let Some((var, begin, end, _)) = kernel.parallel_loop() else { return kernel };
    let (var, count) = (Expr::var(var.0), end.sub(begin));
    let Some(first) = kernel.params.first_mut() else { return kernel };
    let len = first.len.clone();
    first.len = len.mul(&count);
    shift(&mut kernel.body, &var.mul(&len));
    kernel
}

/// Moves the accesses to parameter 0.
fn shift(stmts: &mut [Stmt], by: &Expr) {
    for stmt in stmts {
        match stmt {
            Stmt::For { body, .. } => shift(body, by),
            Stmt::If { body, .. } => shift(body, by),
            Stmt::Store { buffer: BufferRef::Param(0), index, .. }
            | Stmt::Update { buffer: BufferRef::Param(0), index, .. }
            | Stmt::Let { inst: Inst::Load { buffer: BufferRef::Param(0), index }, .. } => {
                *index = index.add(by);
            }
            Stmt::Store { .. } | Stmt::Update { .. } | Stmt::Let { .. } => {}
            Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }
}
