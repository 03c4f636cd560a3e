//! What a vector loop's statements are: the same for all iterations, lane-wise, or one lane at a time.

use super::Gen;
use super::value::Kind;
use crate::widen::{Intrinsic, Wide};
use rustc_hash::{FxHashMap, FxHashSet};
use ttk_ir::kernel::{AccId, Inst, Stmt, Val, VarId};
use ttk_ir::{Atom, Binary, DType, Expr, ReduceOp, Unary};

/// How to run a vector loop.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The statements in the order to write them: those run lane by lane together, as far as they do
    /// not wait for vector code. What follows is by place in this list.
    pub(super) body: Vec<&'a Stmt>,
    /// Which statements use a value that this loop makes or varies.
    pub(super) users: FxHashMap<Val, Vec<usize>>,
    /// Which statement makes a value.
    pub(super) made_by: FxHashMap<Val, usize>,
    /// Values that differ from lane to lane.
    pub(super) varying: FxHashSet<Val>,
    /// For each statement: has no vector form and is run lane by lane.
    pub(super) serial: Vec<bool>,
    /// Serial statements that run again in each run that uses them, instead of where they stand.
    pub(super) deferred: Vec<bool>,
    /// Affine 64-bit indices that are only compared: nothing is made of them, the comparisons know them
    /// (see [`Gen::compare_positions`]).
    pub(super) positions: FxHashMap<Val, Expr>,
    /// Lanes of a 128-bit vector: 2 if anything lane-wise has 64 bits.
    pub(super) lanes: u32,
    /// Statements that become vector instructions, weighted.
    pub(super) cost: u32,
    /// Lanes pay off; otherwise run the iterations one by one.
    pub(super) vectorize: bool,
    /// The body is straight-line code, as it ought to be.
    pub(super) straight: bool,
    /// Accumulators that outlive the iteration, in order of first use.
    pub(super) outer: Vec<(AccId, ReduceOp)>,
}

/// What an index is to the lanes of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stride {
    /// One element for all lanes.
    Uniform,
    /// Neighbouring elements.
    Contiguous,
    /// Neighbouring elements, but for lanes that an end of the range holds back.
    Clamped,
    /// A constant distance apart.
    Affine,
    Irregular,
}

impl Plan<'_> {
    pub(super) fn users_of(&self, v: Val) -> &[usize] {
        self.users.get(&v).map_or(&[], Vec::as_slice)
    }
}

impl<'a> Gen<'a> {
    pub(super) fn plan(&self, var: VarId, body: &'a [Stmt]) -> Plan<'a> {
        let mut plan = Plan {
            body: Vec::new(),
            users: FxHashMap::default(),
            made_by: FxHashMap::default(),
            varying: FxHashSet::default(),
            serial: vec![false; body.len()],
            deferred: vec![false; body.len()],
            positions: FxHashMap::default(),
            lanes: 4,
            cost: 0,
            vectorize: true,
            straight: true,
            outer: Vec::new(),
        };
        let mut dtypes: Vec<(Val, DType)> = Vec::new();
        let mut inner: Vec<AccId> = Vec::new();
        for (k, stmt) in body.iter().enumerate() {
            for v in values_used(stmt) {
                plan.users.entry(v).or_default().push(k);
            }
            match stmt {
                Stmt::Let { dst, dtype, inst } => {
                    plan.made_by.insert(*dst, k);
                    dtypes.push((*dst, *dtype));
                    let (varying, serial) = self.classify(var, inst, *dtype, &plan, &inner, &dtypes);
                    if varying {
                        plan.varying.insert(*dst);
                    }
                    plan.serial[k] = serial;
                }
                Stmt::Store { index, .. } => {
                    plan.serial[k] = stride(var, index, &plan.varying) != Stride::Contiguous;
                }
                Stmt::Acc { acc, .. } => inner.push(*acc),
                Stmt::Accumulate { acc, op, .. } => {
                    if !inner.contains(acc) && plan.outer.iter().all(|(a, _)| a != acc) {
                        plan.outer.push((*acc, *op));
                    }
                }
                // Not allowed here, but iterations one by one are right for anything.
                Stmt::For { .. } | Stmt::Update { .. } | Stmt::If { .. } => {
                    (plan.vectorize, plan.straight) = (false, false);
                }
            }
        }
        self.find_positions(var, body, &mut plan);
        self.pull_into_serial(body, &mut plan);
        plan.lanes = self.lanes_of(body, &plan);
        self.weigh(body, &mut plan);
        self.order(body, &mut plan);
        plan
    }

    /// Puts statements into stages: scalar code, then what runs lane by lane, then vector code. Each goes
    /// to the first stage that has what it needs.
    fn order(&self, body: &'a [Stmt], plan: &mut Plan<'a>) {
        let class = |k: usize| match &body[k] {
            Stmt::Let { dst, .. } if !plan.varying.contains(dst) => 0u8,
            _ if plan.serial[k] => 1,
            _ => 2,
        };
        let mut order: Vec<usize> = (0..body.len()).collect();
        if plan.serial.contains(&true) && plan.straight {
            let mut stage = vec![0u32; body.len()];
            let mut last_in_order: Option<usize> = None;
            for (k, stmt) in body.iter().enumerate() {
                let mut after = |d: usize| stage[k] = stage[k].max(stage[d] + u32::from(class(d) > class(k)));
                for v in values_used(stmt) {
                    if let Some(&d) = plan.made_by.get(&v).filter(|d| **d < k) {
                        after(d);
                    }
                }
                // Accesses to memory that changes, and accumulators, keep their order.
                if !self.commutes(stmt) {
                    if let Some(d) = last_in_order {
                        after(d);
                    }
                    last_in_order = Some(k);
                }
            }
            order.sort_by_key(|&k| (stage[k], class(k)));
        }
        plan.body = order.iter().map(|&k| &body[k]).collect();
        plan.serial = order.iter().map(|&k| plan.serial[k]).collect();
        plan.deferred = order.iter().map(|&k| plan.deferred[k]).collect();
        let mut place = vec![0; body.len()];
        for (to, &from) in order.iter().enumerate() {
            place[from] = to;
        }
        plan.made_by.values_mut().for_each(|k| *k = place[*k]);
        plan.users.values_mut().flatten().for_each(|k| *k = place[*k]);
    }

    /// Whether a statement may change places with any other that does not use its value.
    fn commutes(&self, stmt: &Stmt) -> bool {
        match stmt {
            Stmt::Let { inst: Inst::Load { buffer, .. }, .. } => self.is_unchanging(*buffer),
            Stmt::Let { inst: Inst::Read(_), .. } => false,
            Stmt::Let { .. } => true,
            Stmt::For { .. }
            | Stmt::Store { .. }
            | Stmt::Acc { .. }
            | Stmt::Accumulate { .. }
            | Stmt::Update { .. }
            | Stmt::If { .. } => false,
        }
    }

    /// `(varying, serial)`.
    fn classify(
        &self,
        var: VarId,
        inst: &Inst,
        dtype: DType,
        plan: &Plan<'_>,
        inner: &[AccId],
        dtypes: &[(Val, DType)],
    ) -> (bool, bool) {
        let differs = |v: &Val| plan.varying.contains(v);
        let type_of = |v: Val| {
            let local = dtypes.iter().rev().find(|(d, _)| *d == v).map(|(_, t)| *t);
            local.or_else(|| self.dtypes.get(v.0 as usize).copied().flatten())
        };
        let any = inst.operands().any(|v| differs(&v));
        match inst {
            Inst::Load { index, .. } => match stride(var, index, &plan.varying) {
                Stride::Uniform => (false, false),
                Stride::Contiguous => (true, false),
                Stride::Clamped => (true, self.wide != Some(Wide::W512)),
                Stride::Affine | Stride::Irregular => (true, true),
            },
            Inst::Index(e) => match stride(var, e, &plan.varying) {
                Stride::Uniform => (false, false),
                Stride::Contiguous | Stride::Affine => (true, !dtype.is_int()),
                Stride::Clamped | Stride::Irregular => (true, true),
            },
            Inst::CheckedIndex { .. } => (any, any),
            Inst::Read(acc) => (inner.contains(acc), false),
            Inst::Binary(op, _, count) => {
                let constant = self.constants.contains(count);
                (any, any && self.binary_is_serial(*op, dtype, constant))
            }
            Inst::Cast(a) => {
                let from = type_of(*a).unwrap_or(dtype);
                (any, any && self.cast_is_serial(from, dtype))
            }
            Inst::Const(_)
            | Inst::Unary(..)
            | Inst::Fma(..)
            | Inst::Cmp(..)
            | Inst::Select(..)
            | Inst::Bitcast(_) => (any, false),
        }
    }

    fn binary_is_serial(&self, op: Binary, dtype: DType, constant_count: bool) -> bool {
        let lacks = |i: Intrinsic| !self.wide.is_some_and(|w| i.exists_at(w));
        let long = Kind::of(dtype) == Kind::I64;
        match op {
            Binary::Div => !dtype.is_float(),
            Binary::Rem => true,
            Binary::Shl if long => !constant_count && lacks(Intrinsic::ShiftLeft64),
            Binary::Shr if long => !constant_count && lacks(Intrinsic::ShiftRight64),
            Binary::Shl => !constant_count && lacks(Intrinsic::ShiftLeft32),
            Binary::Shr => !constant_count && lacks(Intrinsic::ShiftRight32),
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Pow
            | Binary::Max
            | Binary::Min
            | Binary::Atan2
            | Binary::And
            | Binary::Or
            | Binary::Xor => false,
        }
    }

    fn cast_is_serial(&self, from: DType, to: DType) -> bool {
        let lacks = |i: Intrinsic| !self.wide.is_some_and(|w| i.exists_at(w));
        match (Kind::of(from), Kind::of(to)) {
            (Kind::I64, Kind::F32 | Kind::F64) => lacks(Intrinsic::I64ToF64),
            (Kind::F32 | Kind::F64, Kind::I64) => lacks(Intrinsic::F64ToI64),
            _ => false,
        }
    }

    /// Comparing positions takes no 64-bit lanes, although positions are 64-bit integers.
    fn find_positions(&self, var: VarId, body: &[Stmt], plan: &mut Plan<'_>) {
        let candidates: Vec<(Val, &Expr)> = body
            .iter()
            .filter_map(|s| match s {
                Stmt::Let { dst, dtype: DType::I64, inst: Inst::Index(e) } => Some((*dst, e)),
                _ => None,
            })
            .filter(|(v, e)| {
                let coeff = e.affine_in(var.0).and_then(|(c, _)| c.as_const());
                plan.varying.contains(v) && coeff.is_some_and(|c| c.unsigned_abs() < 1 << 20)
            })
            .collect();
        let is_candidate = |v: &Val| candidates.iter().any(|(c, _)| c == v);
        for (v, e) in &candidates {
            let only_compared = plan.users_of(*v).iter().all(|&u| match &body[u] {
                Stmt::Let { inst: Inst::Cmp(_, a, b), .. } => {
                    [a, b].into_iter().all(|o| is_candidate(o) || !plan.varying.contains(o))
                }
                _ => false,
            });
            if only_compared {
                plan.positions.insert(*v, (*e).clone());
            }
        }
        // A comparison of two needs both.
        loop {
            let positions = &plan.positions;
            let lonely: Vec<Val> = body
                .iter()
                .filter_map(|s| match s {
                    Stmt::Let { inst: Inst::Cmp(_, a, b), .. } => Some([*a, *b]),
                    _ => None,
                })
                .filter(|pair| pair.iter().any(|o| plan.varying.contains(o) && !positions.contains_key(o)))
                .flatten()
                .filter(|o| positions.contains_key(o))
                .collect();
            if lonely.is_empty() {
                break;
            }
            plan.positions.retain(|v, _| !lonely.contains(v));
        }
    }

    /// A 64-bit integer that only serial statements use joins them: most are indices on their way to a
    /// gather, and would halve the lanes of everything else.
    fn pull_into_serial(&self, body: &[Stmt], plan: &mut Plan<'_>) {
        for k in (0..body.len()).rev() {
            let Stmt::Let { dst, dtype: DType::I64, inst } = &body[k] else { continue };
            // It moves down to its users, past stores.
            let movable = match inst {
                Inst::Load { buffer, .. } => self.is_unchanging(*buffer),
                Inst::Read(_) | Inst::CheckedIndex { .. } => false,
                Inst::Const(_)
                | Inst::Index(_)
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Fma(..)
                | Inst::Cmp(..)
                | Inst::Select(..)
                | Inst::Cast(_)
                | Inst::Bitcast(_) => true,
            };
            if !movable || !plan.varying.contains(dst) || plan.positions.contains_key(dst) {
                continue;
            }
            let users = plan.users_of(*dst);
            if !users.is_empty() && users.iter().all(|&u| plan.serial[u]) {
                plan.serial[k] = true;
                plan.deferred[k] = true;
            }
        }
    }

    fn lanes_of(&self, body: &[Stmt], plan: &Plan<'_>) -> u32 {
        let long = |d: DType| matches!(Kind::of(d), Kind::I64 | Kind::F64);
        let wide = body.iter().enumerate().any(|(k, stmt)| match stmt {
            Stmt::Let { dst, dtype, .. } => {
                // What a serial statement makes matters only if vector code takes it up.
                let taken = || plan.users_of(*dst).iter().any(|&u| !plan.serial[u]);
                let position = plan.positions.contains_key(dst);
                long(*dtype) && !position && plan.varying.contains(dst) && (!plan.serial[k] || taken())
            }
            Stmt::Store { buffer, .. } => !plan.serial[k] && self.element(*buffer).is_ok_and(long),
            Stmt::Acc { dtype, .. } => long(*dtype),
            Stmt::Accumulate { acc, .. } => self.acc(*acc).is_ok_and(|a| long(a.dtype)),
            Stmt::For { .. } | Stmt::Update { .. } | Stmt::If { .. } => false,
        });
        if wide { 2 } else { 4 }
    }

    fn weigh(&self, body: &[Stmt], plan: &mut Plan<'_>) {
        let mut serial = 0;
        for (k, stmt) in body.iter().enumerate() {
            let weight = match stmt {
                Stmt::Let { dst, .. } if plan.positions.contains_key(dst) => 0,
                Stmt::Let { dst, inst, .. } if plan.varying.contains(dst) => match inst {
                    Inst::Unary(Unary::Sqrt, _) | Inst::Binary(Binary::Div, ..) => 4,
                    _ => 1,
                },
                Stmt::Let { .. } | Stmt::Acc { .. } => 0,
                Stmt::Store { .. } | Stmt::Accumulate { .. } => 1,
                Stmt::For { .. } | Stmt::Update { .. } | Stmt::If { .. } => 1,
            };
            if plan.serial[k] {
                serial += weight;
            } else {
                plan.cost += weight;
            }
        }
        if serial > 0 {
            // Each value that changes sides passes through memory, about three times its own work.
            let lanes = plan.lanes * self.scale();
            plan.vectorize &= (plan.cost + 2) / lanes + 3 * serial < plan.cost + serial;
        }
    }
}

/// The values a statement that is no loop uses, as operands and in indices.
pub(super) fn values_used(stmt: &Stmt) -> Vec<Val> {
    let mut found = Vec::new();
    let mut in_index = |e: &Expr| {
        e.for_each_leaf(&mut |leaf| {
            if let Atom::Value(v) = leaf {
                found.push(Val(*v));
            }
        });
    };
    let operands: Vec<Val> = match stmt {
        Stmt::Let { inst, .. } => {
            match inst {
                Inst::Load { index: e, .. } | Inst::Index(e) | Inst::CheckedIndex { extent: e, .. } => {
                    in_index(e)
                }
                Inst::Const(_)
                | Inst::Read(_)
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Fma(..)
                | Inst::Cmp(..)
                | Inst::Select(..)
                | Inst::Cast(_)
                | Inst::Bitcast(_) => {}
            }
            inst.operands().collect()
        }
        Stmt::Store { index, value, .. } | Stmt::Update { index, value, .. } => {
            in_index(index);
            vec![*value]
        }
        Stmt::Accumulate { value, .. } => vec![*value],
        Stmt::For { .. } | Stmt::Acc { .. } | Stmt::If { .. } => Vec::new(),
    };
    found.extend(operands);
    found
}

fn stride(var: VarId, e: &Expr, varying: &FxHashSet<Val>) -> Stride {
    let mut irregular = false;
    e.for_each_leaf(&mut |leaf| {
        if let Atom::Value(v) = leaf {
            irregular |= varying.contains(&Val(*v));
        }
    });
    if irregular {
        return Stride::Irregular;
    }
    if !e.mentions(&Atom::Var(var.0)) {
        return Stride::Uniform;
    }
    match e.affine_in(var.0) {
        Some((coeff, _)) if coeff.is_one() => Stride::Contiguous,
        Some(_) => Stride::Affine,
        None if clamped(var.0, e).is_some() => Stride::Clamped,
        None => Stride::Irregular,
    }
}

/// `clamp(var + .., extent) + ..`.
pub(super) struct Clamped {
    /// What is clamped; its coefficient of the variable is 1.
    pub(super) inner: Expr,
    pub(super) extent: Expr,
    /// What is added to it.
    pub(super) rest: Expr,
}

pub(super) fn clamped(var: u32, e: &Expr) -> Option<Clamped> {
    let v = Atom::Var(var);
    let term = e.terms().iter().find(|t| t.factors.iter().any(|a| Expr::atom(a.clone()).mentions(&v)))?;
    let [Atom::Clamp(inner, extent)] = term.factors.as_slice() else { return None };
    let rest = e.sub(&Expr::atom(term.factors[0].clone()));
    let unit = inner.affine_in(var).is_some_and(|(c, _)| c.is_one());
    (term.coeff == 1 && unit && !extent.mentions(&v) && !rest.mentions(&v)).then(|| Clamped {
        inner: Expr::clone(inner),
        extent: Expr::clone(extent),
        rest,
    })
}
