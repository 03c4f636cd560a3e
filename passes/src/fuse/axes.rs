//! The axes of iteration spaces, and where the elements of a value lie in one.
//!
//! Every group of operations has axes of its own. Fusing two groups unites axes that run together;
//! a reshape that cuts an axis in two splits it. Lists of axes keep their first names and are resolved
//! when they are looked at.

use smallvec::{SmallVec, smallvec};
use ttk_ir::{Dim, Op};

/// Axes that one axis of a value runs over, outermost first.
pub(super) type AxisIds = SmallVec<[u32; 2]>;

/// Where one axis of a value lies in the iteration space of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum DimMap {
    /// It runs with these axes; none for an axis of size 1.
    Axes(AxisIds),
    /// Elsewhere, but each element is wanted at most about once (slices, padding).
    Moved,
    /// Wherever, and elements may be wanted many times (gathers, overlapping windows).
    Any,
}

impl DimMap {
    pub(super) fn none() -> DimMap {
        DimMap::Axes(AxisIds::new())
    }
}

pub(super) type ValueMap = SmallVec<[DimMap; 4]>;

#[derive(Clone, Debug)]
struct Axis {
    extent: Dim,
    parent: u32,
    parts: Option<(u32, u32)>,
}

/// All axes of all groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Axes {
    list: Vec<Axis>,
}

impl Axes {
    /// A new axis, or none for size 1.
    pub(super) fn add(&mut self, extent: &Dim) -> AxisIds {
        if extent.is_one() {
            return AxisIds::new();
        }
        smallvec![self.push(extent.clone())]
    }

    fn push(&mut self, extent: Dim) -> u32 {
        let id = self.list.len() as u32;
        self.list.push(Axis { extent, parent: id, parts: None });
        id
    }

    pub(super) fn extent(&self, axis: u32) -> &Dim {
        &self.list[axis as usize].extent
    }

    fn find(&self, mut axis: u32) -> u32 {
        while self.list[axis as usize].parent != axis {
            axis = self.list[axis as usize].parent;
        }
        axis
    }

    /// The axes of a list as they are now.
    pub(super) fn resolve(&self, list: &[u32]) -> AxisIds {
        let mut out = AxisIds::new();
        for &a in list {
            self.resolve_into(a, &mut out);
        }
        out
    }

    fn resolve_into(&self, axis: u32, out: &mut AxisIds) {
        let axis = self.find(axis);
        match self.list[axis as usize].parts {
            None => out.push(axis),
            Some((outer, inner)) => {
                self.resolve_into(outer, out);
                self.resolve_into(inner, out);
            }
        }
    }

    /// Makes `b` another name of `a`.
    pub(super) fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.list[b as usize].parent = a;
        }
    }

    /// Cuts an axis so that the inner part has size `inner`; the size must divide.
    fn split(&mut self, axis: u32, inner: &Dim) -> Option<(u32, u32)> {
        let outer = quotient(&self.list[axis as usize].extent, inner)?;
        let (o, i) = (self.push(outer), self.push(inner.clone()));
        self.list[axis as usize].parts = Some((o, i));
        Some((o, i))
    }

    /// Pairs the axes of two lists that run over equally many positions, splitting where one is finer.
    /// `None` if they do not line up.
    pub(super) fn align(&mut self, a: &[u32], b: &[u32], pairs: &mut Vec<(u32, u32)>) -> Option<()> {
        let (mut a, mut b) = (self.resolve(a), self.resolve(b));
        while let (Some(x), Some(y)) = (a.pop(), b.pop()) {
            if x == y {
                pairs.push((x, y));
                continue;
            }
            let (ex, ey) = (self.extent(x).clone(), self.extent(y).clone());
            if ex == ey {
                pairs.push((x, y));
            } else if quotient(&ex, &ey).is_some() {
                let (o, i) = self.split(x, &ey)?;
                a.push(o);
                pairs.push((i, y));
            } else if quotient(&ey, &ex).is_some() {
                let (o, i) = self.split(y, &ex)?;
                b.push(o);
                pairs.push((x, i));
            } else {
                return None;
            }
        }
        (a.is_empty() && b.is_empty()).then_some(())
    }

    /// The last axes of `list` that make up an axis of size `size`, taken off its end.
    fn take_inner(&mut self, list: &mut AxisIds, size: &Dim) -> Option<AxisIds> {
        let mut taken = AxisIds::new();
        let mut product = Dim::Fixed(1);
        while product != *size {
            let axis = list.pop()?;
            let rest = quotient(size, &product)?;
            let extent = self.extent(axis).clone();
            if quotient(&rest, &extent).is_some() {
                product = product.mul(&extent);
                taken.insert(0, axis);
            } else {
                let (outer, inner) = self.split(axis, &rest)?;
                list.push(outer);
                product = product.mul(&rest);
                taken.insert(0, inner);
            }
        }
        Some(taken)
    }

    /// Where an operand lies, given where the result of the operation does.
    pub(super) fn operand_map(
        &mut self,
        op: &Op,
        operand: usize,
        from: &[Dim],
        to: &[Dim],
        map: &[DimMap],
    ) -> ValueMap {
        match op {
            Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => {
                map.into()
            }
            Op::Detach | Op::Barrier => map.into(),
            Op::Permute(perm) => {
                let mut out: ValueMap = smallvec![DimMap::none(); perm.len()];
                for (i, &p) in perm.iter().enumerate() {
                    out[p as usize] = map[i].clone();
                }
                out
            }
            Op::Expand(_) => from
                .iter()
                .zip(map)
                .map(|(d, m)| if d.is_one() { DimMap::none() } else { m.clone() })
                .collect(),
            Op::Reshape(_) => self.reshape_map(from, to, map),
            Op::Slice(dims) => keep_where(map, from, |i| dims[i].is_all(&from[i])),
            Op::Pad { dims, .. } => keep_where(map, from, |i| dims[i].is_none()),
            Op::Concat { axis } => keep_where(map, from, |i| i != *axis as usize),
            Op::Update(_) if operand == 0 => map.into(),
            Op::Update(dims) => keep_where(map, from, |i| dims[i].is_all(&to[i])),
            Op::Window(dims) => {
                let overlap = dims.iter().any(|d| d.stride < (d.size - 1) * d.dilation + 1);
                let windowed = |i: usize| dims.iter().any(|d| d.axis as usize == i);
                let mut out = keep_where(map, from, |i| !windowed(i));
                if overlap {
                    for (i, m) in out.iter_mut().enumerate() {
                        if windowed(i) {
                            *m = DimMap::Any;
                        }
                    }
                }
                out
            }
            Op::Fold { dims, .. } => {
                let mut out =
                    keep_where(map, &from[..to.len()], |i| dims.iter().all(|d| d.axis as usize != i));
                out.extend(dims.iter().map(|_| DimMap::Moved));
                out
            }
            Op::Gather { axis } if operand == 0 => map
                .iter()
                .enumerate()
                .map(|(i, m)| if i == *axis as usize { DimMap::Any } else { m.clone() })
                .collect(),
            Op::Gather { .. } => map.into(),
            // Written out: the reduced positions are numbers.
            Op::Reduce { axes, .. } => keep_where(map, from, |i| !axes.contains(&(i as u8))),
            Op::Param { .. } | Op::Const { .. } | Op::Iota { .. } | Op::RandomBits { .. } => ValueMap::new(),
            Op::Scatter { .. }
            | Op::Scan { .. }
            | Op::Argsort { .. }
            | Op::Dot { .. }
            | Op::Custom { .. } => from.iter().map(|_| DimMap::Any).collect(),
        }
    }

    fn reshape_map(&mut self, from: &[Dim], to: &[Dim], map: &[DimMap]) -> ValueMap {
        let mut out = ValueMap::new();
        for (f, t) in crate::lower::views::matching_runs(from, to) {
            let mut odd = map[t.clone()].iter().find(|m| !matches!(m, DimMap::Axes(_)));
            let mut list = AxisIds::new();
            for m in &map[t] {
                if let DimMap::Axes(axes) = m {
                    list.extend(self.resolve(axes));
                }
            }
            let mut run: ValueMap = ValueMap::new();
            for d in from[f].iter().rev() {
                let m = match (odd, d.is_one()) {
                    (_, true) => DimMap::none(),
                    (Some(odd), false) => odd.clone(),
                    (None, false) => match self.take_inner(&mut list, d) {
                        Some(axes) => DimMap::Axes(axes),
                        None => {
                            odd = Some(&DimMap::Moved);
                            DimMap::Moved
                        }
                    },
                };
                run.push(m);
            }
            run.reverse();
            out.extend(run);
        }
        out
    }
}

/// The map where `same` holds; elsewhere the elements have moved.
fn keep_where(map: &[DimMap], from: &[Dim], same: impl Fn(usize) -> bool) -> ValueMap {
    (0..from.len())
        .map(|i| match (&map[i], same(i)) {
            (m, true) => m.clone(),
            (DimMap::Any, false) => DimMap::Any,
            (DimMap::Axes(_) | DimMap::Moved, false) => DimMap::Moved,
        })
        .collect()
}

/// `a / b` when it is whole and more than 1 is left, or both are equal.
fn quotient(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => (*b > 0 && a % b == 0).then(|| Dim::Fixed(a / b)),
        _ => a.expr().div_exact(&b.expr()).map(Dim::from_expr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ttk_ir::shape::shape;

    #[test]
    fn reshape_splits_axes() {
        let mut axes = Axes::default();
        let map: ValueMap = [6, 4].iter().map(|&n| DimMap::Axes(axes.add(&Dim::Fixed(n)))).collect();
        let op = Op::Reshape(shape(&[6, 4]));
        let from = shape(&[2, 3, 1, 4]);
        let got = axes.operand_map(&op, 0, &from, &shape(&[6, 4]), &map);
        let extents = |axes: &Axes, m: &DimMap| -> Vec<Dim> {
            match m {
                DimMap::Axes(list) => axes.resolve(list).iter().map(|&a| axes.extent(a).clone()).collect(),
                DimMap::Moved | DimMap::Any => panic!("not along axes"),
            }
        };
        let want: Vec<Vec<Dim>> = vec![vec![2.into()], vec![3.into()], vec![], vec![4.into()]];
        assert_eq!(got.iter().map(|m| extents(&axes, m)).collect::<Vec<_>>(), want);
        // The list made before follows the split.
        assert_eq!(extents(&axes, &map[0]), vec![Dim::Fixed(2), Dim::Fixed(3)]);
    }

    #[test]
    fn lists_align_where_sizes_divide() {
        let mut axes = Axes::default();
        let a = axes.add(&Dim::Fixed(24));
        let b: AxisIds = [2, 3, 4].iter().flat_map(|&n| axes.add(&Dim::Fixed(n))).collect();
        let mut pairs = Vec::new();
        assert!(axes.align(&a, &b, &mut pairs).is_some());
        assert_eq!(pairs.len(), 3);
        let c = axes.add(&Dim::Fixed(5));
        assert!(axes.align(&a, &c, &mut pairs).is_none());
    }
}
