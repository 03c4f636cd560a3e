//! Losses over sequences.

use super::Val;
use super::loss::Reduction;
use ttk_ir::{Builder, DType, Dim};

/// Connectionist temporal classification: the negative log probability of `targets` under all alignments.
///
/// `log_probs` is `[T, N, C]`, `targets` `[N, S]`, the lengths are vectors of `N`. The recursion over time is
/// recorded step by step. With `zero_infinity` an impossible target counts 0. The mean divides each loss by
/// its target's length first. (Graves et al., 2006.)
pub fn ctc_loss<'r, B: Builder>(
    log_probs: &Val<'r, B>,
    targets: &Val<'r, B>,
    input_lengths: &Val<'r, B>,
    target_lengths: &Val<'r, B>,
    blank: i64,
    reduction: Reduction,
    zero_infinity: bool,
) -> Val<'r, B> {
    let (steps, batch, symbols) = (log_probs.size(0), log_probs.size(1), targets.size(1));
    let states = 2 * symbols + 1;
    let scope = log_probs.scope();
    let dims = [Dim::Fixed(batch), Dim::Fixed(states)];
    let targets = targets.cast(DType::I64);
    let target_lengths = target_lengths.cast(DType::I64);
    let input_lengths = input_lengths.cast(DType::I64);
    // Blanks between, before and after the symbols. What lies behind a target's end is never read from,
    // but must be a class.
    let position = scope.iota(DType::I64, &[Dim::Fixed(batch), Dim::Fixed(symbols)], 1);
    let used = position.lt(target_lengths.unsqueeze(1));
    let targets = targets.keep_where(&used, blank);
    let blanks = targets.full_like(blank as f64);
    let pairs = super::stack(&[blanks, targets], 2).flatten(1, 2);
    let end = scope.full(DType::I64, &[Dim::Fixed(batch), Dim::Fixed(1)], blank as f64);
    let labels = super::concat(&[pairs, end], 1);

    let state = scope.iota(DType::I64, &dims, 1);
    let shifted = |x: &Val<'r, B>, by: i64, fill: f64| x.pad(&[(0, 0), (by, -by)], fill);
    // A symbol may follow the one before without a blank between if they differ.
    let jumps = labels.ne(blank).and(labels.ne(shifted(&labels, 2, blank as f64))).and(state.ge(2i64));
    let emitted = |t: i64| log_probs.select_at(0, t).gather(1, &labels);

    let start = state.lt(2i64).and(state.lt((&target_lengths * 2i64 + 1i64).unsqueeze(1)));
    let mut alpha = emitted(0).keep_where(&start, f64::NEG_INFINITY);
    for t in 1..steps {
        let step = shifted(&alpha, 1, f64::NEG_INFINITY);
        let jump = shifted(&alpha, 2, f64::NEG_INFINITY).keep_where(&jumps, f64::NEG_INFINITY);
        let next = log_sum(&[alpha.clone(), step, jump]) + emitted(t);
        let runs = input_lengths.gt(t).unsqueeze(1);
        alpha = runs.select(&next, &alpha, &next);
    }
    // The last blank, or the last symbol.
    let last = (&target_lengths * 2i64).unsqueeze(1);
    let at = |index: &Val<'r, B>| alpha.gather(1, index);
    let some = last.gt(0i64);
    let symbol = at(&(&last - 1i64).max(0i64)).keep_where(&some, f64::NEG_INFINITY);
    let losses = -log_sum(&[at(&last), symbol]).squeeze(&[1]);
    let losses = if zero_infinity { losses.masked(&losses.eq(f64::INFINITY), 0.0) } else { losses };
    match reduction {
        Reduction::None | Reduction::Sum => reduction.apply(&losses),
        Reduction::Mean => {
            let lengths = target_lengths.max(1i64).cast(losses.dtype());
            reduction.apply(&(losses / lengths))
        }
    }
}

/// `log(sum(exp))` of values, -inf where all are.
fn log_sum<'r, B: Builder>(parts: &[Val<'r, B>]) -> Val<'r, B> {
    let Some((first, rest)) = parts.split_first() else { unreachable!("a sum has terms") };
    let top = rest.iter().fold(first.detach(), |m, p| m.max(p.detach()));
    let none = top.eq(f64::NEG_INFINITY);
    let top = top.masked(&none, 0.0);
    let sum = rest.iter().fold((first - &top).exp(), |s, p| s + (p - &top).exp());
    let log = sum.masked(&none, 1.0).log() + top;
    log.masked(&none, f64::NEG_INFINITY)
}
