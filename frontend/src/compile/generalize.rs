//! One plan for many sizes: what differs between two recordings of one structure becomes a parameter.
//!
//! Nothing is assumed of how sizes came about. Recordings are compared; sizes that differ are
//! explained by as few symbols as possible (`n`, `4*n`, `n + 1`, `n*m`), and the explanation is a guess
//! that every later recording is checked against: all of its sizes must be what the explanation says.
//! One that is not makes a better guess, which must explain those before it too: where a program takes
//! slices at places that its data tell, nothing is left of what looked alike by chance.
//! Constants that differ become 0-d inputs.

use super::signature::Signature;
use ttk_ir::{Dim, Expr, Scalar};

/// A size that is no number any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DimHole {
    /// Position in [`Signature::dims`].
    pub at: usize,
    pub dim: Dim,
}

/// What a plan takes as parameters, and what must be as it was.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pattern {
    pub signature: Signature,
    /// Sizes that are expressions over symbols; the others must be equal.
    pub dims: Vec<DimHole>,
    /// For each symbol, the position in [`Signature::dims`] that its value is read from and what is to
    /// be added to it there (so that a symbol is at least 1).
    pub symbols: Vec<(usize, i64)>,
    /// Positions in [`Signature::scalars`] that are inputs, and which input each is.
    pub scalars: Vec<(usize, usize)>,
    /// For each scalar input, the position its value is read from.
    pub lifted: Vec<usize>,
}

/// The parameters of one run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arguments {
    pub symbols: Vec<i64>,
    pub scalars: Vec<Scalar>,
}

impl Pattern {
    /// Exactly this recording, but for constants that are expected to change.
    pub fn exact(signature: Signature) -> Pattern {
        let mut out = Pattern { signature, ..Pattern::default() };
        let scalars = &out.signature.scalars;
        for &at in &out.signature.varying {
            let input = match out.lifted.iter().position(|&i| scalars[i] == scalars[at]) {
                Some(i) => i,
                None => {
                    out.lifted.push(at);
                    out.lifted.len() - 1
                }
            };
            out.scalars.push((at, input));
        }
        out
    }

    /// The parameters under which the plan computes what `s` recorded, if there are any.
    pub fn matches(&self, s: &Signature) -> Option<Arguments> {
        let own = &self.signature;
        if own.words != s.words || own.dims.len() != s.dims.len() || own.scalars.len() != s.scalars.len() {
            return None;
        }
        let symbols: Vec<i64> = self.symbols.iter().map(|&(at, add)| s.dims[at] + add).collect();
        if symbols.iter().any(|&v| v < 1) {
            return None;
        }
        let mut hole = self.dims.iter().peekable();
        for (at, (a, b)) in own.dims.iter().zip(&s.dims).enumerate() {
            let want = match hole.next_if(|h| h.at == at) {
                Some(h) => h.dim.eval(&symbols),
                None => *a,
            };
            if want != *b {
                return None;
            }
        }
        let scalars: Vec<Scalar> = self.lifted.iter().map(|&at| s.scalars[at]).collect();
        let mut hole = self.scalars.iter().peekable();
        for (at, (a, b)) in own.scalars.iter().zip(&s.scalars).enumerate() {
            let want = match hole.next_if(|h| h.0 == at) {
                Some(h) => scalars[h.1],
                None => *a,
            };
            if want != *b {
                return None;
            }
        }
        Some(Arguments { symbols, scalars })
    }

    /// A pattern that covers what this one covers and `s` too. What it guesses holds for the sizes of other recordings of the
    /// structure as well, `seen`.
    ///
    /// Sizes this pattern has symbols for keep theirs where they explain `s`; `None` when the structures
    /// differ.
    pub fn widened(&self, s: &Signature, seen: &[Vec<i64>]) -> Option<Pattern> {
        let own = &self.signature;
        if own.words != s.words || own.dims.len() != s.dims.len() || own.scalars.len() != s.scalars.len() {
            return None;
        }
        let mut out = Pattern { signature: s.clone(), ..Pattern::default() };
        let seen = seen.iter().filter(|dims| dims.len() == s.dims.len());
        let seen: Vec<&Vec<i64>> = [&own.dims, &s.dims].into_iter().chain(seen).collect();
        // A position that had a symbol may hold any size, so it must have one again even if by chance
        // it is equal this time.
        let had = |at: usize| self.dims.iter().any(|h| h.at == at);
        let mut known: Vec<(Expr, Vec<i64>)> = Vec::new();
        for at in 0..s.dims.len() {
            let values: Vec<i64> = seen.iter().map(|dims| dims[at]).collect();
            if values.iter().all(|v| *v == values[0]) && !had(at) {
                continue;
            }
            let expr = match explain(&known, &values) {
                Some(e) => e,
                None => {
                    // A symbol is at least 1, so a size that was 0 is a symbol less something.
                    let least = values.iter().copied().min().unwrap_or(1);
                    let add = (1 - least).max(0);
                    let symbol = Expr::symbol(out.symbols.len() as u32);
                    out.symbols.push((at, add));
                    known.push((symbol.clone(), values.iter().map(|v| v + add).collect()));
                    symbol.offset(-add)
                }
            };
            out.dims.push(DimHole { at, dim: Dim::from_expr(expr) });
        }
        let lifted_before = |at: usize| self.scalars.iter().any(|h| h.0 == at);
        for at in 0..s.scalars.len() {
            let (a, b) = (own.scalars[at], s.scalars[at]);
            let varies = lifted_before(at) || s.varying.contains(&at);
            if (a == b && !varies) || !super::signature::can_lift(b.dtype) {
                continue;
            }
            let same = |&i: &usize| own.scalars[i] == a && s.scalars[i] == b;
            let input = match out.lifted.iter().position(same) {
                Some(i) => i,
                None => {
                    out.lifted.push(at);
                    out.lifted.len() - 1
                }
            };
            out.scalars.push((at, input));
        }
        out.matches(s).is_some().then_some(out)
    }
}

/// An expression over known ones that has these values, one for each recording, where each of the known ones has those beside it.
///
/// Simpler explanations are tried first; a wrong guess is found out when a later recording does not fit.
fn explain(known: &[(Expr, Vec<i64>)], values: &[i64]) -> Option<Expr> {
    let first = values[0];
    // What the values are all so many times of; most are told apart by the first of them.
    let multiple = |of: &dyn Fn(usize) -> Option<i64>| -> Option<i64> {
        let c = first.checked_div(of(0)?).filter(|c| *c > 0)?;
        let is_it = |i| of(i).is_some_and(|x: i64| x != 0 && x.checked_mul(c) == Some(values[i]));
        (0..values.len()).all(is_it).then_some(c)
    };
    for (e, of) in known {
        if let Some(c) = multiple(&|i| Some(of[i])) {
            return Some(e.scale(c));
        }
    }
    for (e, of) in known {
        let more = first - of[0];
        if more.abs() <= 4 && of.iter().zip(values).all(|(x, v)| v - x == more) {
            return Some(e.offset(more));
        }
    }
    for (i, (e, of)) in known.iter().enumerate() {
        for (f, by) in &known[i..] {
            if let Some(c) = multiple(&|i| of[i].checked_mul(by[i])) {
                return Some(e.mul(f).scale(c));
            }
        }
    }
    for (e, of) in known {
        let Some(other) = of.iter().position(|x| *x != of[0]) else { continue };
        let (rise, run) = (values[other] - first, of[other] - of[0]);
        // What lies before a slice and behind it is as much together wherever the slice is.
        if rise % run == 0
            && (rise / run > 0 || rise / run == -1)
            && let Some(cx) = of[0].checked_mul(rise / run)
        {
            let (c, more) = (rise / run, first - cx);
            let value = |x: &i64| x.checked_mul(c).and_then(|cx| cx.checked_add(more));
            if of.iter().zip(values).all(|(x, v)| value(x) == Some(*v)) {
                return Some(e.scale(c).offset(more));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use ttk_ir::DType;

    fn signature(dims: &[i64], scalars: &[f64]) -> Signature {
        let scalars = scalars.iter().map(|&v| Scalar::from_f64(DType::F32, v)).collect();
        Signature { words: vec![7], dims: dims.to_vec(), scalars, varying: Vec::new() }
    }

    #[test]
    fn sizes_that_differ_become_expressions_of_one_symbol() {
        let first = Pattern::exact(signature(&[4, 5, 20, 25, 6, 8], &[]));
        let p = first.widened(&signature(&[4, 7, 28, 49, 8, 8], &[]), &[]).unwrap();
        assert_eq!(p.symbols.len(), 1);
        let args = p.matches(&signature(&[4, 9, 36, 81, 10, 8], &[])).unwrap();
        assert_eq!(args.symbols, [9]);
        assert!(p.matches(&signature(&[4, 9, 36, 80, 10, 8], &[])).is_none());
        assert!(p.matches(&signature(&[3, 9, 36, 81, 10, 8], &[])).is_none());
    }

    #[test]
    fn a_guess_that_fails_is_not_made_again() {
        // Four places that have nothing to do with each other, in whatever way two recordings in a row may look alike.
        let at = |turn: i64, place: i64| (turn * turn * (3 + place) + 7 * place + turn * place * place) % 11;
        let recordings: Vec<Signature> =
            (0..60).map(|turn| signature(&[0, 1, 2, 3].map(|place| at(turn, place)), &[])).collect();
        let mut pattern = Pattern::exact(recordings[0].clone());
        let (mut compiled, mut seen) = (1, Vec::new());
        for recording in &recordings {
            if pattern.matches(recording).is_none() {
                pattern = pattern.widened(recording, &seen).unwrap();
                seen.push(recording.dims.clone());
                compiled += 1;
            }
            assert!(pattern.matches(recording).is_some());
        }
        assert!(compiled <= 5 && pattern.symbols.len() == 4, "{compiled} {pattern:?}");
    }

    #[test]
    fn before_and_behind_a_slice() {
        let p = Pattern::exact(signature(&[1, 3], &[])).widened(&signature(&[3, 1], &[]), &[]).unwrap();
        assert_eq!(p.symbols.len(), 1);
        assert_eq!(p.matches(&signature(&[4, 0], &[])).unwrap().symbols, [4]);
        assert!(p.matches(&signature(&[4, 1], &[])).is_none());
    }

    #[test]
    fn a_size_of_zero_is_a_symbol_less_one() {
        let p = Pattern::exact(signature(&[0], &[])).widened(&signature(&[3], &[]), &[]).unwrap();
        assert_eq!(p.matches(&signature(&[0], &[])).unwrap().symbols, [1]);
        assert_eq!(p.matches(&signature(&[9], &[])).unwrap().symbols, [10]);
    }

    #[test]
    fn scalars_said_to_vary_are_inputs_from_the_first() {
        let first = Signature { varying: vec![1, 2], ..signature(&[], &[0.1, 0.2, 0.2]) };
        let p = Pattern::exact(first.clone());
        assert_eq!(
            (p.lifted.as_slice(), p.scalars.as_slice()),
            ([1].as_slice(), [(1, 0), (2, 0)].as_slice())
        );
        let next = Signature { varying: vec![1, 2], ..signature(&[], &[0.1, 0.3, 0.3]) };
        assert_eq!(p.matches(&next).unwrap().scalars[0].as_f64(), 0.3f32 as f64);
        // What was one input by chance is two once the values differ.
        let apart = Signature { varying: vec![1, 2], ..signature(&[], &[0.1, 0.3, 0.4]) };
        assert!(p.matches(&apart).is_none());
        assert_eq!(p.widened(&apart, &[]).unwrap().lifted, [1, 2]);
    }

    #[test]
    fn scalars_that_move_together_are_one_input() {
        let first = Pattern::exact(signature(&[], &[0.1, 0.1, 2.0]));
        let p = first.widened(&signature(&[], &[0.2, 0.2, 2.0]), &[]).unwrap();
        assert_eq!(p.lifted, [0]);
        assert!(p.matches(&signature(&[], &[0.3, 0.4, 2.0])).is_none());
        let args = p.matches(&signature(&[], &[0.3, 0.3, 2.0])).unwrap();
        assert_eq!(args.scalars[0].as_f64(), 0.3f32 as f64);
    }
}
