//! The order and nesting of loops over an iteration space.

use super::build::KernelBuilder;
use smallvec::SmallVec;
use ttk_ir::kernel::{Inst, Stmt};
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
    /// strided ones against it.
    pub(crate) fn lane_score(&self, axis: usize) -> i64 {
        let score = |e: &Expr, weight: i64| match e.affine_in(axis as u32) {
            Some((c, _)) if c.is_zero() => 0,
            Some((c, _)) if c.is_one() => 2 * weight,
            Some(_) => -weight,
            None => -2 * weight,
        };
        self.loads.iter().map(|e| score(e, 2)).sum::<i64>()
            + self.stores.iter().map(|e| score(e, 3)).sum::<i64>()
            + self.others.iter().map(|e| score(e, 1).min(0)).sum::<i64>()
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
