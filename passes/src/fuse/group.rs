//! Greedy fusion: operations start alone and join their producers while that is legal and pays.
//!
//! The order is fixed (that of the graph), so that one graph always gives one result.

use super::axes::{Axes, AxisIds, DimMap, ValueMap};
use super::cost::{rough_size, weight};
use super::reach::Reach;
use crate::lower::emit::unrolled_count;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use ttk_ir::{Dim, Graph, Op, ValueId};

/// Most operations in one kernel.
const MAX_MEMBERS: usize = 160;
/// Most memory streams of one kernel.
const MAX_READS: usize = 28;
/// Fewer rows than this cannot keep several cores busy; reductions over more elements than
/// [`SERIAL`] then stay apart from elementwise work, which has rows enough.
const FEW_ROWS: i64 = 16;
const SERIAL: i64 = 1 << 15;
/// Work (in additions) above which a small value that would be computed again for many elements is
/// stored first: about what a launch costs.
const LAUNCH: i64 = 20_000;

/// An operation of a group and where its elements lie; for a reduction, those of its operand.
#[derive(Clone, Debug)]
pub(super) struct GroupMember {
    pub(super) value: ValueId,
    pub(super) map: ValueMap,
    /// The group accumulates it in a loop over the axes that the result has not.
    pub(super) reduces: bool,
}

/// A value from outside that a group reads, through views, and where.
#[derive(Clone, Debug)]
struct Read {
    value: ValueId,
    map: ValueMap,
    /// Through a barrier: to compute again what a reader before it has computed.
    fenced: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// In the order of the graph.
    pub(super) members: Vec<GroupMember>,
    reads: Vec<Read>,
    /// A node with a lowering of its own; joins nothing.
    pub(super) single: bool,
    pub(super) dead: bool,
}

pub(super) struct Grouper<'a> {
    graph: &'a Graph,
    pub(super) axes: Axes,
    pub(super) groups: Vec<Group>,
    /// The group of each node; `u32::MAX` for those that have none.
    pub(super) group_of: Vec<u32>,
    transparent: &'a [bool],
    forced: &'a [bool],
    /// For each node with a group, the nodes with a group that read it.
    consumers: Vec<SmallVec<[ValueId; 4]>>,
    reach: Reach,
}

/// What uniting two groups takes.
struct Fit {
    pairs: Vec<(u32, u32)>,
    /// The members of the producer lose their places: they are computed where they are wanted.
    inline: bool,
}

impl<'a> Grouper<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        live: &[bool],
        transparent: &'a [bool],
        forced: &'a [bool],
        is_single: impl Fn(ValueId) -> bool,
    ) -> Grouper<'a> {
        let mut g = Grouper {
            graph,
            axes: Axes::default(),
            groups: Vec::new(),
            group_of: vec![u32::MAX; graph.len()],
            transparent,
            forced,
            consumers: vec![SmallVec::new(); graph.len()],
            reach: Reach::default(),
        };
        for v in graph.ids().filter(|v| live[v.index()] && !transparent[v.index()]) {
            if !matches!(graph.node(v).op, Op::Param { .. }) {
                g.add(v, is_single(v));
            }
        }
        // Each group has one node still, and they are in the order of the graph.
        g.reach = Reach::new(g.groups.len(), |group, f| {
            for m in &g.groups[group as usize].members {
                g.consumers[m.value.index()].iter().for_each(|c| f(g.group_of[c.index()]));
            }
        });
        g
    }

    /// The group of one node.
    fn add(&mut self, v: ValueId, single: bool) {
        let node = self.graph.node(v);
        let reduces = matches!(node.op, Op::Reduce { .. }) && unrolled_count(self.graph, v).is_none();
        let shape = if reduces { &self.graph.ty(node.inputs[0]).shape } else { &node.ty.shape };
        let map: ValueMap = shape.iter().map(|d| DimMap::Axes(self.axes.add(d))).collect();
        let mut reads = Vec::new();
        let mut seen = FxHashSet::default();
        for (i, &x) in node.inputs.iter().enumerate() {
            let from = self.graph.ty(x).shape.clone();
            let below = if reduces {
                map.clone()
            } else {
                self.axes.operand_map(&node.op, i, &from, &node.ty.shape, &map)
            };
            self.walk(x, below, false, &mut seen, &mut reads);
        }
        let id = self.groups.len() as u32;
        for r in &reads {
            let list = &mut self.consumers[r.value.index()];
            if !list.contains(&v) {
                list.push(v);
            }
        }
        self.group_of[v.index()] = id;
        let members = vec![GroupMember { value: v, map, reduces }];
        self.groups.push(Group { members, reads, single, dead: false });
    }

    /// Finds what is read through views and work that is done again.
    fn walk(
        &mut self,
        x: ValueId,
        map: ValueMap,
        fenced: bool,
        seen: &mut FxHashSet<(ValueId, u64)>,
        reads: &mut Vec<Read>,
    ) {
        let key = {
            use std::hash::{Hash, Hasher};
            let mut h = rustc_hash::FxHasher::default();
            for m in &map {
                match m {
                    DimMap::Axes(a) => a.hash(&mut h),
                    DimMap::Moved => 1u8.hash(&mut h),
                    DimMap::Any => 2u8.hash(&mut h),
                }
            }
            h.finish()
        };
        if !seen.insert((x, key)) {
            return;
        }
        if !self.transparent[x.index()] {
            reads.push(Read { value: x, map, fenced });
            return;
        }
        let node = self.graph.node(x);
        for (i, &y) in node.inputs.iter().enumerate() {
            let from = &self.graph.ty(y).shape;
            let below = self.axes.operand_map(&node.op, i, from, &node.ty.shape, &map);
            self.walk(y, below, fenced || matches!(node.op, Op::Barrier), seen, reads);
        }
    }

    /// Fuses what can be fused.
    pub(super) fn run(&mut self) {
        // Producers into consumers, in the order of the graph; a second time because a group that has
        // grown may take what it could not take before.
        for _ in 0..2 {
            let mut changed = false;
            for home in 0..self.groups.len() as u32 {
                let group = &self.groups[home as usize];
                if group.dead || group.single {
                    continue;
                }
                for producer in self.producers(home) {
                    if !self.groups[producer as usize].dead {
                        changed |= self.fuse(producer, home);
                    }
                }
            }
            if !changed {
                break;
            }
        }
        self.fuse_siblings();
    }

    /// The groups that a group reads from, those with reductions first. What is read for a recomputation is a value that is
    /// kept: there the two halves stay apart.
    fn producers(&self, group: u32) -> SmallVec<[u32; 8]> {
        let mut out: SmallVec<[u32; 8]> = SmallVec::new();
        for r in self.groups[group as usize].reads.iter().filter(|r| !r.fenced) {
            let p = self.group_of[r.value.index()];
            if p != u32::MAX && p != group && !out.contains(&p) && !self.groups[p as usize].single {
                out.push(p);
            }
        }
        out.sort_by_key(|&p| (!self.reduces(p), p));
        out
    }

    fn reduces(&self, group: u32) -> bool {
        self.groups[group as usize].members.iter().any(|m| m.reduces)
    }

    /// The map of a member's result: a reduced axis has one position.
    fn result_map(&self, m: &GroupMember) -> ValueMap {
        let mut map = m.map.clone();
        if m.reduces
            && let Op::Reduce { axes, .. } = &self.graph.node(m.value).op
        {
            for &a in axes {
                map[a as usize] = DimMap::none();
            }
        }
        map
    }

    /// The axes that a map runs over; `None` when an element lies elsewhere or an axis is met twice.
    fn axes_of(&self, map: &ValueMap) -> Option<AxisIds> {
        let mut out = AxisIds::new();
        for m in map {
            let DimMap::Axes(list) = m else { return None };
            for a in self.axes.resolve(list) {
                if out.contains(&a) {
                    return None;
                }
                out.push(a);
            }
        }
        Some(out)
    }

    /// All axes of a group.
    fn group_axes(&self, group: u32) -> AxisIds {
        let mut out = AxisIds::new();
        for m in &self.groups[group as usize].members {
            for d in &m.map {
                if let DimMap::Axes(list) = d {
                    for a in self.axes.resolve(list) {
                        if !out.contains(&a) {
                            out.push(a);
                        }
                    }
                }
            }
        }
        out
    }

    /// The axes that the reductions of a group leave; `None` for a group without.
    pub(super) fn rows(&self, group: u32) -> Option<AxisIds> {
        let m = self.groups[group as usize].members.iter().find(|m| m.reduces)?;
        self.axes_of(&self.result_map(m))
    }

    /// The axes that the reductions of a group reduce.
    fn reduced_axes(&self, group: u32) -> AxisIds {
        let mut out = AxisIds::new();
        for m in self.groups[group as usize].members.iter().filter(|m| m.reduces) {
            if let Op::Reduce { axes, .. } = &self.graph.node(m.value).op {
                for &a in axes {
                    if let DimMap::Axes(list) = &m.map[a as usize] {
                        for a in self.axes.resolve(list) {
                            if !out.contains(&a) {
                                out.push(a);
                            }
                        }
                    }
                }
            }
        }
        out
    }

    /// Whether a member must be stored if the two groups become one.
    fn leaves(&self, v: ValueId, a: u32, b: u32) -> bool {
        self.forced[v.index()]
            || self.consumers[v.index()].iter().any(|c| {
                let g = self.group_of[c.index()];
                g != a && g != b
            })
    }

    /// Joins a producer to its consumer, if that is legal and pays.
    fn fuse(&mut self, from: u32, to: u32) -> bool {
        let (f, t) = (&self.groups[from as usize], &self.groups[to as usize]);
        if f.single
            || t.single
            || !self.reach.share_window(from, to)
            || f.members.len() + t.members.len() > MAX_MEMBERS
            || f.reads.len() + t.reads.len() > 2 * MAX_READS
        {
            return false;
        }
        let Some(fit) = self.fit(from, to) else { return false };
        if !self.legal(from, to, &fit) {
            return false;
        }
        self.join(from, to, fit);
        true
    }

    /// How the axes of a producer and a consumer correspond, by what the consumer reads.
    fn fit(&mut self, from: u32, to: u32) -> Option<Fit> {
        let reads: Vec<Read> = self.groups[to as usize]
            .reads
            .iter()
            .filter(|r| self.group_of[r.value.index()] == from)
            .cloned()
            .collect();
        let reduces = self.reduces(from);
        let reduced = self.reduced_axes(from);
        let mut pairs = Vec::new();
        let mut odd = false;
        let mut wanted_often = false;
        for r in &reads {
            let member = self.groups[from as usize].members.iter().find(|m| m.value == r.value)?;
            let own = self.result_map(member);
            for (own, theirs) in own.iter().zip(&r.map) {
                match (own, theirs) {
                    (DimMap::Axes(a), DimMap::Axes(b)) => {
                        if self.axes.align(a, b, &mut pairs).is_none() {
                            if reduces {
                                return None;
                            }
                            odd = true;
                        }
                    }
                    (DimMap::Axes(a), DimMap::Moved | DimMap::Any) => {
                        let inside = self.axes.resolve(a).iter().all(|x| reduced.contains(x));
                        wanted_often |= *theirs == DimMap::Any;
                        if reduces && !inside {
                            return None;
                        }
                        odd |= !reduces;
                    }
                    (DimMap::Moved | DimMap::Any, _) => {
                        wanted_often |= *theirs == DimMap::Any;
                        odd = true;
                    }
                }
            }
        }
        if odd {
            // Computed where it is wanted: only if no one else wants it, and not over and over.
            let stays = self.groups[from as usize].members.iter().all(|m| !self.leaves(m.value, from, to));
            if reduces || wanted_often || !stays {
                return None;
            }
            return Some(Fit { pairs: Vec::new(), inline: true });
        }
        Some(Fit { pairs, inline: false })
    }

    /// Whether the united group can be one kernel; completes the pairs of axes.
    fn legal(&mut self, from: u32, to: u32, fit: &Fit) -> bool {
        if fit.inline {
            return self.few_streams(from, to) && !self.cycle(from, to);
        }
        // A later pair may have split the axes of an earlier one.
        let mut pairs = Vec::new();
        for &(a, b) in &fit.pairs {
            if self.axes.align(&[a], &[b], &mut pairs).is_none() {
                return false;
            }
        }
        // One partner each.
        let mut partner: Vec<(u32, u32)> = Vec::new();
        for &(a, b) in &pairs {
            match partner.iter().find(|(x, y)| *x == a || *y == b) {
                Some(&(x, y)) if x == a && y == b => {}
                Some(_) => return false,
                None => partner.push((a, b)),
            }
        }
        self.unite_checked(from, to, partner)
    }

    /// Checks a correspondence of axes (`from`, `to`), and unites them if all is well.
    fn unite_checked(&mut self, from: u32, to: u32, mut partner: Vec<(u32, u32)>) -> bool {
        let (from_axes, to_axes) = (self.group_axes(from), self.group_axes(to));
        let (from_reduced, to_reduced) = (self.reduced_axes(from), self.reduced_axes(to));
        let (from_reduces, to_reduces) = (self.reduces(from), self.reduces(to));
        // Axes reduced on one side without a partner pair with axes of one size on the other.
        for &a in &from_axes {
            if partner.iter().any(|p| p.0 == a) || !from_reduced.contains(&a) {
                continue;
            }
            let fits = |&&b: &&u32| {
                !partner.iter().any(|p| p.1 == b)
                    && self.axes.extent(a) == self.axes.extent(b)
                    && (!to_reduces || to_reduced.contains(&b))
            };
            if let Some(&b) = to_axes.iter().find(fits) {
                partner.push((a, b));
            }
        }
        let rename = |a: u32| partner.iter().find(|p| p.0 == a).map_or(a, |p| p.1);

        // All reductions leave the same rows.
        let mut rows: Option<AxisIds> = None;
        for (group, renamed) in [(from, true), (to, false)] {
            for m in self.groups[group as usize].members.iter().filter(|m| m.reduces) {
                let Some(mut d) = self.axes_of(&self.result_map(m)) else { return false };
                if renamed {
                    d = d.into_iter().map(rename).collect();
                }
                d.sort();
                match &rows {
                    None => rows = Some(d),
                    Some(r) if *r == d => {}
                    Some(_) => return false,
                }
            }
        }
        let mut all: AxisIds = from_axes.iter().map(|&a| rename(a)).collect();
        for &b in &to_axes {
            if !all.contains(&b) {
                all.push(b);
            }
        }
        // What is stored covers the rows, or all of the space where nothing is reduced.
        for (group, renamed) in [(from, true), (to, false)] {
            for m in &self.groups[group as usize].members {
                if !self.leaves(m.value, from, to) {
                    continue;
                }
                let Some(mut own) = self.axes_of(&self.result_map(m)) else { return false };
                if renamed {
                    own = own.into_iter().map(rename).collect();
                }
                let covers = match &rows {
                    Some(rows) => rows.iter().all(|r| own.contains(r)),
                    None => all.iter().all(|r| own.contains(r)),
                };
                if !covers {
                    return false;
                }
            }
        }
        if !self.few_streams(from, to) {
            return false;
        }
        let extents =
            |list: &[u32]| -> Vec<Dim> { list.iter().map(|&a| self.axes.extent(a).clone()).collect() };
        if let Some(rows) = &rows {
            let stores = |group: u32| {
                self.groups[group as usize].members.iter().any(|m| {
                    !m.reduces
                        && self.leaves(m.value, from, to)
                        && self.axes_of(&m.map).is_some_and(|own| own.len() > rows.len())
                })
            };
            let few = rough_size(&extents(rows)) < FEW_ROWS;
            let many = rough_size(&extents(&all)) > SERIAL;
            if few && many && (stores(from) || stores(to)) {
                return false;
            }
        }
        // A small value with much work, wanted again along the lanes, is better stored.
        let own: AxisIds = from_axes.iter().map(|&a| rename(a)).collect();
        let (small, large) = (rough_size(&extents(&own)), rough_size(&extents(&all)));
        let last = self.groups[to as usize].members.last().and_then(|m| self.axes_of(&m.map));
        let again = last.and_then(|l| l.last().copied()).is_some_and(|lane| own.contains(&lane));
        if !from_reduces && small < large && again {
            let work: u32 =
                self.groups[from as usize].members.iter().map(|m| weight(self.graph, m.value)).sum();
            if work >= 4 && work as i64 * large > LAUNCH {
                return false;
            }
        }
        if self.cycle(from, to) {
            return false;
        }
        for (a, b) in partner {
            self.axes.unite(b, a);
        }
        true
    }

    fn few_streams(&self, from: u32, to: u32) -> bool {
        let mut streams: SmallVec<[ValueId; 32]> = SmallVec::new();
        for group in [from, to] {
            for r in &self.groups[group as usize].reads {
                let inside = self.group_of[r.value.index()];
                if inside != from && inside != to && !streams.contains(&r.value) {
                    streams.push(r.value);
                }
            }
        }
        streams.len() <= MAX_READS
    }

    /// Whether some third group depends on one of the two and is needed by the other.
    fn cycle(&self, a: u32, b: u32) -> bool {
        self.reaches_outside(a, b) || self.reaches_outside(b, a)
    }

    /// Whether there is a path from `a` to `b` through another group.
    fn reaches_outside(&self, a: u32, b: u32) -> bool {
        self.groups[a as usize].members.iter().flat_map(|m| &self.consumers[m.value.index()]).any(|c| {
            let g = self.group_of[c.index()];
            g != a && g != b && self.reach.reaches(g, b)
        })
    }

    /// Moves the members of `from` into `to`.
    fn join(&mut self, from: u32, to: u32, fit: Fit) {
        let mut f = std::mem::take(&mut self.groups[from as usize]);
        self.groups[from as usize].dead = true;
        self.reach.join(from, to);
        if fit.inline {
            let elsewhere = |map: &mut ValueMap| {
                for m in map.iter_mut() {
                    if matches!(m, DimMap::Axes(list) if !list.is_empty()) {
                        *m = DimMap::Moved;
                    }
                }
            };
            f.members.iter_mut().for_each(|m| elsewhere(&mut m.map));
            f.reads.iter_mut().for_each(|r| elsewhere(&mut r.map));
        }
        for m in &f.members {
            self.group_of[m.value.index()] = to;
        }
        let t = &mut self.groups[to as usize];
        t.members.extend(f.members);
        t.members.sort_by_key(|m| m.value);
        for r in f.reads {
            if !t.reads.iter().any(|x| x.value == r.value && x.map == r.map) {
                t.reads.push(r);
            }
        }
        let group_of = &self.group_of;
        t.reads.retain(|r| group_of[r.value.index()] != to);
    }

    /// Groups over one space that read the same memory read it once.
    fn fuse_siblings(&mut self) {
        // A recomputation that joined the first computation would be for nothing.
        let mut readers: [Vec<SmallVec<[u32; 4]>>; 2] =
            std::array::from_fn(|_| vec![SmallVec::new(); self.graph.len()]);
        for (i, g) in self.groups.iter().enumerate().filter(|(_, g)| !g.dead && !g.single) {
            for r in &g.reads {
                let list = &mut readers[usize::from(r.fenced)][r.value.index()];
                if !list.contains(&(i as u32)) {
                    list.push(i as u32);
                }
            }
        }
        for (v, fenced) in self.graph.ids().flat_map(|v| [(v, 0), (v, 1)]) {
            let list = std::mem::take(&mut readers[fenced][v.index()]);
            for i in 1..list.len().min(8) {
                for j in 0..i {
                    let (a, b) = (list[j], list[i]);
                    if !self.groups[a as usize].dead && !self.groups[b as usize].dead {
                        self.fuse_sibling(a, b, v);
                    }
                }
            }
        }
    }

    fn fuse_sibling(&mut self, a: u32, b: u32, shared: ValueId) -> bool {
        let find =
            |g: u32| self.groups[g as usize].reads.iter().find(|r| r.value == shared).map(|r| r.map.clone());
        let (Some(ma), Some(mb)) = (find(a), find(b)) else { return false };
        let (Some(own_a), Some(own_b)) = (self.axes_of(&ma), self.axes_of(&mb)) else { return false };
        let members = self.groups[a as usize].members.len() + self.groups[b as usize].members.len();
        // Where one reads what the other makes, fusing them has been considered, and refused.
        if members > MAX_MEMBERS
            || !self.reach.share_window(a, b)
            || self.reach.reaches(a, b)
            || self.reach.reaches(b, a)
            || own_a.len() != self.group_axes(a).len()
            || own_b.len() != self.group_axes(b).len()
            || own_a.is_empty()
        {
            return false;
        }
        let mut pairs = Vec::new();
        for (x, y) in ma.iter().zip(&mb) {
            match (x, y) {
                (DimMap::Axes(x), DimMap::Axes(y)) if self.axes.align(x, y, &mut pairs).is_some() => {}
                _ => return false,
            }
        }
        let fit = Fit { pairs, inline: false };
        // Reductions next to elementwise work would take its parallel loop away.
        if self.reduces(a) != self.reduces(b) || !self.legal(a, b, &fit) {
            return false;
        }
        self.join(a, b, fit);
        true
    }

    /// The members of a group that others need or that are results, in order.
    pub(super) fn outputs(&self, group: u32) -> Vec<ValueId> {
        self.groups[group as usize]
            .members
            .iter()
            .map(|m| m.value)
            .filter(|&v| self.leaves(v, group, group))
            .collect()
    }

    /// The groups in an order in which each comes after those it reads.
    pub(super) fn order(&self) -> Vec<u32> {
        let alive: Vec<u32> =
            (0..self.groups.len() as u32).filter(|&g| !self.groups[g as usize].dead).collect();
        let mut waits: Vec<u32> = vec![0; self.groups.len()];
        let mut users: Vec<SmallVec<[u32; 4]>> = vec![SmallVec::new(); self.groups.len()];
        for &g in &alive {
            let mut from: SmallVec<[u32; 8]> = SmallVec::new();
            for r in &self.groups[g as usize].reads {
                let p = self.group_of[r.value.index()];
                if p != u32::MAX && p != g && !from.contains(&p) {
                    from.push(p);
                }
            }
            waits[g as usize] = from.len() as u32;
            for p in from {
                users[p as usize].push(g);
            }
        }
        // The one whose last member comes first in the graph goes first: close to the recorded order.
        let key = |g: u32| self.groups[g as usize].members.last().map(|m| m.value);
        let mut ready: std::collections::BTreeSet<(Option<ValueId>, u32)> =
            alive.iter().filter(|&&g| waits[g as usize] == 0).map(|&g| (key(g), g)).collect();
        let mut out = Vec::new();
        while let Some((_, g)) = ready.pop_first() {
            out.push(g);
            for &u in &users[g as usize] {
                waits[u as usize] -= 1;
                if waits[u as usize] == 0 {
                    ready.insert((key(u), u));
                }
            }
        }
        out
    }
}
