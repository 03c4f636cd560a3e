//! The order and nesting of loops over an iteration space.

use super::build::KernelBuilder;
use smallvec::SmallVec;
use ttk_ir::kernel::{Inst, LoopKind, Stmt};
use ttk_ir::{Atom, Expr};

/// Axes that one loop runs over together, outermost first.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) axes: SmallVec<[usize; 4]>,
    pub(crate) extent: Expr,
}

/// Memory accesses of a kernel body, as functions of one variable for each axis.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    pub(crate) loads: Vec<Expr>,
    pub(crate) stores: Vec<Expr>,
    /// Positions used as numbers.
    pub(crate) others: Vec<Expr>,
}

impl Accesses {
    /// What the statements under construction touch.
    pub(crate) fn of(b: &KernelBuilder) -> Accesses {
        let mut out = Accesses::default();
        for s in b.statements() {
            out.add(s);
        }
        out
    }

    fn add(&mut self, s: &Stmt) {
        match s {
            Stmt::Let { inst: Inst::Load { index, .. }, .. } => self.loads.push(index.clone()),
            Stmt::Let { inst: Inst::Index(e), .. } => self.others.push(e.clone()),
            Stmt::Store { index, .. } | Stmt::Update { index, .. } => self.stores.push(index.clone()),
            Stmt::For { body, .. } | Stmt::If { body, .. } => body.iter().for_each(|s| self.add(s)),
            Stmt::Let { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }

    fn all(&self) -> impl Iterator<Item = &Expr> {
        self.loads.iter().chain(&self.stores).chain(&self.others)
    }

    /// Whether every access depends on the axes only through `outer * extent(inner) + inner`.
    pub(crate) fn merge(&self, outer: usize, inner: usize, inner_extent: &Expr) -> bool {
        // Quotients by a sum of symbols do not simplify well.
        if inner_extent.terms().len() > 1 {
            return false;
        }
        let (a, b) = (Atom::Var(outer as u32), Atom::Var(inner as u32));
        let shifted = Expr::atom(b.clone()).sub(&Expr::atom(a.clone()).mul(inner_extent));
        self.all().all(|e| match (e.mentions(&a), e.mentions(&b)) {
            (false, false) => true,
            (true, false) => false,
            _ => !e.substitute(&mut |x| (*x == b).then(|| shifted.clone())).mentions(&a),
        })
    }

    /// How well an axis suits being the lanes of a vector loop: contiguous accesses count for it,
    /// strided ones against it. A position that is kept inside a part of the axis is one that lies there: the loop is
    /// cut at the ends of the part.
    pub(crate) fn lane_score(&self, axis: usize) -> i64 {
        let inside = |a: &Atom| match a {
            Atom::Clamp(e, _) => Some((**e).clone()),
            Atom::Symbol(_) | Atom::Var(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) => None,
        };
        let score = |e: &Expr, weight: i64| match e.substitute(&mut |a| inside(a)).affine_in(axis as u32) {
            Some((c, _)) if c.is_zero() => 0,
            Some((c, _)) if c.is_one() => 2 * weight,
            Some(_) => -weight,
            None => -2 * weight,
        };
        self.loads.iter().map(|e| score(e, 2)).sum::<i64>()
            + self.stores.iter().map(|e| score(e, 3)).sum::<i64>()
            + self.others.iter().map(|e| score(e, 1).max(score(&e.scale(-1), 1)).min(0)).sum::<i64>()
    }
}

/// Merges neighbouring axes that every access treats as one.
pub(crate) fn levels(axes: &[usize], extents: &[Expr], accesses: &Accesses) -> Vec<Level> {
    let mut out: Vec<Level> = Vec::new();
    for &axis in axes {
        if let Some(last) = out.last_mut()
            && let Some(&outer) = last.axes.last()
            && accesses.merge(outer, axis, &extents[axis])
        {
            last.axes.push(axis);
            last.extent = last.extent.mul(&extents[axis]);
            continue;
        }
        out.push(Level { axes: SmallVec::from_slice(&[axis]), extent: extents[axis].clone() });
    }
    out
}

/// Iterations that a parallel loop should have at least, where there are enough.
pub(crate) const PARALLEL: i64 = 64;

/// A kernel with loops over these extents open, independent and in any order, and the position along
/// each: a parallel loop over enough of them, serial ones over the rest.
///
/// Sizes that are symbols are not multiplied into a product to be divided again: bounds of such
/// quotients are hard to prove. One of them alone makes a parallel loop.
pub(crate) fn open_nest(extents: &[Expr]) -> (KernelBuilder, Vec<Expr>) {
    let mut taken = 0;
    let mut total = 1;
    while let Some(n) = extents.get(taken).and_then(Expr::as_const)
        && total < PARALLEL
    {
        total *= n;
        taken += 1;
    }
    let symbol = extents.iter().position(|e| e.as_const().is_none());
    let alone = symbol.filter(|_| total < PARALLEL);
    let mut coords = vec![Expr::default(); extents.len()];
    let (mut b, p) = match alone {
        Some(at) => {
            let (b, p) = KernelBuilder::new(Expr::constant(0), extents[at].clone());
            coords[at] = Expr::var(p.0);
            (b, p)
        }
        None => KernelBuilder::new(Expr::constant(0), Expr::constant(total)),
    };
    let mut rest = Expr::var(p.0);
    if alone.is_none() {
        for i in (0..taken).rev() {
            coords[i] = if i == 0 { rest.clone() } else { b.ranges.modulo(&rest, &extents[i]) };
            rest = b.ranges.floor_div(&rest, &extents[i]);
        }
    }
    for (i, e) in extents.iter().enumerate() {
        if alone.map_or(i >= taken, |at| i != at) {
            let var = b.open(Expr::constant(0), e.clone(), LoopKind::Serial);
            coords[i] = Expr::var(var.0);
        }
    }
    (b, coords)
}
