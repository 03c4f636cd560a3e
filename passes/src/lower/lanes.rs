//! Vector loops whose conditions have been moved into their bounds.
//!
//! Padding, joining and folding make an element depend on where it lies. Such a condition is an index
//! expression that must not be negative; where it is affine in the loop variable, the range of the loop
//! is cut at the root, and the body of each piece has nothing left to decide. Conditions that do not
//! involve the variable become an `if` around the loop.

use super::LowerError;
use super::emit::Emitter;
use ttk_ir::kernel::{LoopKind, Val};
use ttk_ir::{Atom, Binary, Expr};

/// The range of a vector loop.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) begin: Expr,
    pub(crate) end: Expr,
    /// The largest position of the whole axis, of which this may be a block; the smallest is 0.
    pub(crate) last: Expr,
    /// How often the loop runs, about.
    pub(crate) trips: Expr,
}

impl Span {
    /// All of an axis.
    pub(crate) fn all(extent: &Expr) -> Span {
        Span { begin: Expr::constant(0), end: extent.clone(), last: extent.offset(-1), trips: extent.clone() }
    }

    fn length(&self) -> Expr {
        self.end.sub(&self.begin)
    }
}

/// What the body may take for granted.
enum Known<'k> {
    /// These conditions hold.
    All(&'k [Expr]),
    /// This one guard does not hold: one of its conditions fails.
    Denied(&'k [Expr]),
    /// The first conditions hold and the second do not.
    Decided(&'k [Expr], &'k [Expr]),
}

/// Several guards are decided piece by piece when that takes no more copies of the body than this.
const PIECES: usize = 4;
/// Where the body is little but the choice between pieces (instructions for each of them), there may be more.
const MANY_PIECES: usize = 128;
const CHOICE: usize = 6;

type Body<'b, 'a> = &'b mut dyn FnMut(&mut Emitter<'a>, &[Expr]) -> Result<(), LowerError>;

/// Emits a nest of loops over spans, the last of them a vector loop; `body` gets the position along
/// each. Nothing that `body` leaves behind may depend on how often it is called.
pub(crate) fn lanes<'a>(em: &mut Emitter<'a>, spans: &[Span], body: Body<'_, 'a>) -> Result<(), LowerError> {
    let first = em.b.next_var();
    let (guards, instructions) = if em.conditional { scout(em, spans, body)? } else { (Vec::new(), 0) };
    let mut cutter = Cutter { first, spans, guards, rows: Vec::new(), bounds: vec![Vec::new(); spans.len()] };
    cutter.sort_conditions();
    if let Some(rows) = cutter.choice_of_rows(instructions) {
        return cutter.by_rows(em, &rows, body);
    }
    if cutter.rows.is_empty() && cutter.bounds.iter().all(Vec::is_empty) {
        return cutter.plain(em, &mut Vec::new(), &Known::All(&[]), body);
    }
    if let Some(pieces) = cutter.pieces(instructions) {
        return cutter.piecewise(em, &mut Vec::new(), &pieces, (&mut Vec::new(), &mut Vec::new()), body);
    }
    let known: Vec<Expr> = cutter.rows.clone();
    let Some(cond) = em.conjunction(&cutter.rows, false) else {
        return cutter.cut(em, &mut Vec::new(), &known, body);
    };
    // Under a condition, loads that rely on it stay.
    em.b.open_if(cond);
    let floor = em.b.set_load_floor(em.b.depth() as u32);
    cutter.cut(em, &mut Vec::new(), &known, body)?;
    em.b.set_load_floor(floor);
    em.close();
    let not = em.not(cond);
    em.b.open_if(not);
    cutter.outside(em, &mut Vec::new(), &[], body)?;
    em.close();
    Ok(())
}

/// The guards that the body has, in terms of the next variables, and how many instructions.
fn scout<'a>(
    em: &mut Emitter<'a>,
    spans: &[Span],
    body: Body<'_, 'a>,
) -> Result<(Vec<Vec<Expr>>, usize), LowerError> {
    let mut scout = em.scout();
    let cutter = Cutter { first: 0, spans, guards: Vec::new(), rows: Vec::new(), bounds: Vec::new() };
    cutter.plain(&mut scout, &mut Vec::new(), &Known::All(&[]), body)?;
    let instructions = scout.b.instructions() - em.b.instructions();
    Ok((std::mem::take(&mut scout.guards), instructions))
}

/// Loops being cut. Conditions speak of the variables `first..`, one for each loop; the loops that are
/// made have others, and conditions are rewritten when it comes to the body.
struct Cutter<'s> {
    first: u32,
    spans: &'s [Span],
    guards: Vec<Vec<Expr>>,
    /// Conditions that involve none of the variables.
    rows: Vec<Expr>,
    /// For each loop, the conditions that bound it: its variable is the innermost they involve.
    bounds: Vec<Vec<Expr>>,
}

impl<'s> Cutter<'s> {
    /// Finds which loop a condition bounds, if any.
    fn sort_conditions(&mut self) {
        for e in self.guards.iter().flatten() {
            // A value read inside a loop is not known outside it; and of quotients and remainders too
            // little is known to rely on.
            let plain = |a: &Atom| matches!(a, Atom::Symbol(_) | Atom::Var(_));
            if !e.terms().iter().all(|t| t.factors.iter().all(plain)) {
                continue;
            }
            let level = (0..self.spans.len()).rev().find(|&i| e.mentions(&Atom::Var(self.first + i as u32)));
            let list = match level {
                None => &mut self.rows,
                Some(level) => {
                    let step = e.affine_in(self.first + level as u32).and_then(|(step, _)| step.as_const());
                    if step.is_none() {
                        continue;
                    }
                    &mut self.bounds[level]
                }
            };
            if !list.contains(e) {
                list.push(e.clone());
            }
        }
    }

    /// The one guard, if there is but one and its conditions bound loops, all of them: where it fails
    /// nothing needs to be decided either.
    fn only_guard(&self) -> Option<&[Expr]> {
        let known = |e: &Expr| self.rows.contains(e) || self.bounds.iter().any(|b| b.contains(e));
        match self.guards.as_slice() {
            [one] if one.iter().all(known) => Some(one),
            _ => None,
        }
    }

    /// Opens the loop at a level over part of its span.
    fn open<'a>(&self, em: &mut Emitter<'a>, at: &mut Vec<Expr>, begin: Expr, end: Expr, trips: Expr) {
        let level = at.len();
        let kind = if level + 1 == self.spans.len() { LoopKind::Vector } else { LoopKind::Serial };
        let last = self.spans[level].last.clone();
        let var = em.b.open_within(begin, end, kind, Expr::constant(0), last);
        em.b.set_trips(var, trips);
        at.push(Expr::var(var.0));
    }

    /// The loops from here on as they are, and the body.
    fn plain<'a>(
        &self,
        em: &mut Emitter<'a>,
        at: &mut Vec<Expr>,
        known: &Known<'_>,
        body: Body<'_, 'a>,
    ) -> Result<(), LowerError> {
        if let Some(span) = self.spans.get(at.len()) {
            self.open(em, at, span.begin.clone(), span.end.clone(), span.trips.clone());
            self.plain(em, at, known, body)?;
            em.close();
            at.pop();
            return Ok(());
        }
        let rename = |list: &[Expr]| -> Vec<Expr> {
            let new = |a: &Atom| match a {
                Atom::Var(v) => v.checked_sub(self.first).and_then(|i| at.get(i as usize).cloned()),
                Atom::Symbol(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) => None,
                Atom::Clamp(..) => None,
            };
            list.iter().map(|e| e.substitute(&mut |a| new(a))).collect()
        };
        match known {
            Known::All([]) => body(em, at),
            Known::All(list) => em.assuming(&rename(list), |em| body(em, at)),
            Known::Denied(list) => em.denying(rename(list), |em| body(em, at)),
            Known::Decided(yes, no) => {
                let no: Vec<Vec<Expr>> = rename(no).into_iter().map(|e| vec![e]).collect();
                em.assuming(&rename(yes), |em| em.denying_all(no, |em| body(em, at)))
            }
        }
    }

    /// For each loop, the numbers at which a condition changes, with both ends: if there are several
    /// guards, all roots are numbers, and the pieces are few for a body of so many instructions.
    fn pieces(&self, instructions: usize) -> Option<Vec<Vec<i64>>> {
        if self.guards.len() < 2 || !self.rows.is_empty() {
            return None;
        }
        let mut count = 1;
        let mut out = Vec::new();
        for (level, span) in self.spans.iter().enumerate() {
            let (begin, end) = (span.begin.as_const(), span.end.as_const());
            if self.bounds[level].is_empty() {
                out.push(Vec::new());
                continue;
            }
            let (begin, end) = (begin?, end?);
            let mut cuts = vec![begin, end];
            for e in &self.bounds[level] {
                let (step, rest) = e.affine_in(self.first + level as u32)?;
                let (step, rest) = (step.as_const()?, rest.as_const()?);
                let cut = if step > 0 { -rest.div_euclid(step) } else { rest.div_euclid(-step) + 1 };
                cuts.push(cut.clamp(begin, end));
            }
            cuts.sort();
            cuts.dedup();
            count *= cuts.len() - 1;
            out.push(cuts);
        }
        let few = count <= PIECES || count <= MANY_PIECES && instructions <= CHOICE * count;
        few.then_some(out)
    }

    /// The loops from here on, a copy for each piece; every condition is decided in each.
    fn piecewise<'a>(
        &self,
        em: &mut Emitter<'a>,
        at: &mut Vec<Expr>,
        pieces: &[Vec<i64>],
        (yes, no): (&mut Vec<Expr>, &mut Vec<Expr>),
        body: Body<'_, 'a>,
    ) -> Result<(), LowerError> {
        let level = at.len();
        let Some(span) = self.spans.get(level) else {
            return self.plain(em, at, &Known::Decided(yes, no), body);
        };
        if pieces[level].is_empty() {
            self.open(em, at, span.begin.clone(), span.end.clone(), span.trips.clone());
            self.piecewise(em, at, pieces, (yes, no), body)?;
            em.close();
            at.pop();
            return Ok(());
        }
        for piece in pieces[level].windows(2) {
            let (begin, end) = (piece[0], piece[1]);
            let (n_yes, n_no) = (yes.len(), no.len());
            for e in &self.bounds[level] {
                let var = Atom::Var(self.first + level as u32);
                let here = e.substitute(&mut |a| (*a == var).then(|| Expr::constant(begin)));
                if here.as_const().is_some_and(|v| v >= 0) { yes.push(e.clone()) } else { no.push(e.clone()) }
            }
            let trips = Expr::constant(end - begin);
            self.open(em, at, Expr::constant(begin), Expr::constant(end), trips);
            self.piecewise(em, at, pieces, (yes, no), body)?;
            em.close();
            at.pop();
            yes.truncate(n_yes);
            no.truncate(n_no);
        }
        Ok(())
    }

    fn is_own(&self, a: &Atom) -> bool {
        (0..self.spans.len()).any(|i| *a == Atom::Var(self.first + i as u32))
    }

    /// The conditions of several guards, in a body that is little else, if all are of whole rows.
    fn choice_of_rows(&self, instructions: usize) -> Option<Vec<Expr>> {
        let mut rows: Vec<Expr> = Vec::new();
        for e in self.guards.iter().flatten() {
            // A value that is read inside a loop is not known outside it.
            let mut outside = true;
            e.for_each_leaf(&mut |a| {
                outside &= matches!(a, Atom::Symbol(_) | Atom::Var(..) if !self.is_own(a))
            });
            if !outside {
                return None;
            }
            if !rows.contains(e) {
                rows.push(e.clone());
            }
        }
        let few = rows.len() < MANY_PIECES && instructions <= CHOICE * (rows.len() + 1);
        (self.guards.len() > 1 && few).then_some(rows)
    }

    /// The loops under the first of these conditions that holds, a copy for each and one for where none does. The last
    /// condition met is tried first: of a choice between parts that is the one about the first part.
    fn by_rows<'a>(&self, em: &mut Emitter<'a>, rows: &[Expr], body: Body<'_, 'a>) -> Result<(), LowerError> {
        let order: Vec<Expr> = rows.iter().rev().cloned().collect();
        let mut none: Option<Val> = None;
        for k in 0..=order.len() {
            let holds = em.conjunction(&order[k..order.len().min(k + 1)], false);
            let here = match (none, holds) {
                (Some(none), Some(holds)) => Some(em.b.binary(Binary::And, none, holds)),
                (one, other) => one.or(other),
            };
            let Some(here) = here else { continue };
            em.b.open_if(here);
            let floor = em.b.set_load_floor(em.b.depth() as u32);
            let known = Known::Decided(&order[k..order.len().min(k + 1)], &order[..k]);
            self.plain(em, &mut Vec::new(), &known, body)?;
            em.b.set_load_floor(floor);
            em.close();
            if let Some(holds) = holds {
                let not = em.not(holds);
                none = Some(none.map_or(not, |none| em.b.binary(Binary::And, none, not)));
            }
        }
        Ok(())
    }

    /// The loops from here on where not all conditions hold, but `known` do.
    fn outside<'a>(
        &self,
        em: &mut Emitter<'a>,
        at: &mut Vec<Expr>,
        known: &[Expr],
        body: Body<'_, 'a>,
    ) -> Result<(), LowerError> {
        let known = match self.only_guard() {
            Some(guard) => Known::Denied(guard),
            None => Known::All(known),
        };
        self.plain(em, at, &known, body)
    }

    /// The loops from here on, cut at the roots of conditions.
    fn cut<'a>(
        &self,
        em: &mut Emitter<'a>,
        at: &mut Vec<Expr>,
        known: &[Expr],
        body: Body<'_, 'a>,
    ) -> Result<(), LowerError> {
        let level = at.len();
        let Some(span) = self.spans.get(level) else {
            return self.plain(em, at, &Known::All(known), body);
        };
        let bounds = &self.bounds[level];
        if bounds.is_empty() {
            self.open(em, at, span.begin.clone(), span.end.clone(), span.trips.clone());
            self.cut(em, at, known, body)?;
            em.close();
            at.pop();
            return Ok(());
        }
        // The main piece is from..to, both counted from the begin of the span. No root lies beyond the end
        // of the axis, so that for a block the bound may be its full size where the last one is shorter.
        let length = span.length();
        let most = if length.as_const().is_some() { length.clone() } else { span.trips.clone() };
        let inside = |e: &Expr| clamp(em, &e.sub(&span.begin), &most.offset(1));
        let (mut lows, mut highs) = (Bounds::default(), Bounds::default());
        let mut more: Vec<Expr> = known.to_vec();
        for e in bounds {
            let Some((step, rest)) = e.affine_in(self.first + level as u32) else { continue };
            let outer = |a: &Atom| match a {
                Atom::Var(v) => v.checked_sub(self.first).and_then(|i| at.get(i as usize).cloned()),
                Atom::Symbol(_) | Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) => None,
                Atom::Clamp(..) => None,
            };
            let rest = rest.substitute(&mut |a| outer(a));
            let kept =
                match step.as_const().unwrap_or(0) {
                    0 => true,
                    // step * x + rest >= 0
                    step @ 1.. => lows
                        .add(em.b.ranges.floor_div(&rest, &Expr::constant(step)).scale(-1), |more| more > 0),
                    step => highs
                        .add(em.b.ranges.floor_div(&rest, &Expr::constant(-step)).offset(1), |more| more < 0),
                };
            if kept {
                more.push(e.clone());
            }
        }
        let from = lows.0.iter().fold(Expr::constant(0), |from, low| larger(&from, &inside(low), &most));
        let to = highs.0.iter().map(inside).reduce(|to, high| smaller(&to, &high, &most));
        let to = to.unwrap_or_else(|| length.clone());
        let to = from.add(&clamp(em, &to.sub(&from), &most.offset(1)));
        if to.sub(&from).as_const().is_some_and(|n| n <= 0) {
            return self.outside(em, at, known, body);
        }

        self.open(em, at, span.begin.add(&from), span.begin.add(&to), span.trips.clone());
        self.cut(em, at, &more, body)?;
        em.close();
        at.pop();
        // Both rests with one copy of the code: s = 0 is what lies before, s = 1 what lies after.
        let s = em.b.open(Expr::constant(0), Expr::constant(2), LoopKind::Serial);
        let s = Expr::var(s.0);
        let begin = span.begin.add(&s.mul(&to));
        let end = span.begin.add(&from).add(&s.mul(&length.sub(&from)));
        self.open(em, at, begin, end, Expr::constant(2));
        self.outside(em, at, known, body)?;
        em.close();
        at.pop();
        em.close();
        Ok(())
    }
}

/// The bounds of a piece on one side: the tightest of those that are a number apart, as are all of what is joined.
///
/// An expression for the tightest of two that are not mentions each twice, so few of them are kept.
#[derive(Default)]
struct Bounds(Vec<Expr>);

const MOST_BOUNDS: usize = 4;

impl Bounds {
    /// Adds a bound; `is_tighter` tells by how much it is more than another. False if it is not kept: the piece may go beyond it.
    fn add(&mut self, bound: Expr, is_tighter: impl Fn(i64) -> bool) -> bool {
        for other in &mut self.0 {
            if let Some(more) = bound.sub(other).as_const() {
                if is_tighter(more) {
                    *other = bound;
                }
                return true;
            }
        }
        let kept = self.0.len() < MOST_BOUNDS;
        if kept {
            self.0.push(bound);
        }
        kept
    }
}

fn clamp(em: &Emitter<'_>, e: &Expr, extent: &Expr) -> Expr {
    em.b.ranges.clamp(&em.b.ranges.simplify(e), extent)
}

/// The smaller of two numbers that differ by at most `span`.
fn smaller(a: &Expr, b: &Expr, span: &Expr) -> Expr {
    let difference = a.sub(b);
    match difference.as_const() {
        Some(d) if d <= 0 => a.clone(),
        Some(_) => b.clone(),
        None => a.sub(&difference.clamp_index(&span.offset(1))),
    }
}

/// The larger of two numbers that differ by at most `span`.
fn larger(a: &Expr, b: &Expr, span: &Expr) -> Expr {
    let difference = b.sub(a);
    match difference.as_const() {
        Some(d) if d <= 0 => a.clone(),
        Some(_) => b.clone(),
        None if a.is_zero() => b.clone(),
        None => a.add(&difference.clamp_index(&span.offset(1))),
    }
}
