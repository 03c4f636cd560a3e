//! Where a recording that nobody asks for is cut: the safety net under a loop that never looks at a result.
//!
//! Pieces should be whole turns of the program's outermost loop: then they are alike, and one plan serves all of them.
//! A piece's first operators are watched while it grows, by the place in the program that calls them; the one that comes
//! again least often is called once a turn, and the next piece begins there.

use crate::materialize;
use crate::node::live_nodes;
use crate::record::grad_enabled;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Recordings of this many values are cut where a turn begins: without derivatives, and with them, where a training
/// step's passes want to see it whole.
const LONG: [u64; 2] = [4_096, 16_384];
/// One of this many is cut wherever it is.
const TOO_LONG: u64 = 32_768;
/// How many of a piece's first operators are watched: those before the loop and some of its body.
const WATCHED: usize = 64;

/// How many values were alive when everything was last computed.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// What is recorded since the last computation.
#[derive(Default)]
struct Piece {
    /// [`materialize::computations`] when it began.
    number: u64,
    /// Places of the first operators, and how often each was met again in the second half.
    first: Vec<(u64, u32)>,
    /// Where it is to be cut, once that is known.
    cut: Option<u64>,
}

thread_local! {
    static PIECE: RefCell<Piece> = RefCell::default();
}

/// Notes that everything was computed.
pub(crate) fn note_flush() {
    KEPT.store(live_nodes(), Ordering::Relaxed);
}

/// Whether what is recorded should be computed before the operator that is called at `place`, a number for a place in
/// the program's text. To be asked before every operator.
pub fn is_due(place: u64) -> bool {
    PIECE.with_borrow_mut(|piece| {
        let number = materialize::computations();
        if piece.number != number || piece.first.is_empty() {
            piece.number = number;
            piece.first.clear();
            piece.cut = None;
        }
        if piece.first.len() < WATCHED {
            piece.first.push((place, 0));
            return false;
        }
        let recorded = live_nodes().saturating_sub(KEPT.load(Ordering::Relaxed));
        let long = LONG[usize::from(grad_enabled())];
        if recorded <= long / 2 {
            return false;
        }
        if recorded <= long {
            if let Some((_, count)) = piece.first.iter_mut().find(|(p, _)| *p == place) {
                *count += 1;
            }
            return false;
        }
        let rarest = || piece.first.iter().filter(|(_, n)| *n > 0).min_by_key(|(_, n)| *n).map(|(p, _)| *p);
        piece.cut = piece.cut.or_else(rarest);
        recorded > TOO_LONG || piece.cut == Some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Recorder, no_grad};
    use ttk_ir::{Builder, DType, Type};

    /// A loop with one inside: setup at place 1, turns at 2, four layers at 10 and 11 in each.
    #[test]
    fn a_loop_is_cut_where_its_turns_begin() {
        let mut b = Recorder::new();
        let mut kept = vec![b.zeros(&Type::fixed(DType::F32, &[2]))];
        let mut cuts = Vec::new();
        no_grad(|| {
            let mut call = |place: u64, turn: u64| {
                if is_due(place) {
                    cuts.push((place, turn));
                    // As a computation does.
                    materialize::note_computation();
                    note_flush();
                }
                let last = kept[kept.len() - 1].clone();
                kept.push(b.neg(&last));
            };
            call(1, 0);
            for turn in 0..3_000 {
                call(2, turn);
                for _ in 0..4 {
                    call(10, turn);
                    call(11, turn);
                }
            }
        });
        assert!(cuts.len() >= 4, "{cuts:?}");
        assert!(cuts.iter().all(|(place, _)| *place == 2), "{cuts:?}");
        let lengths: Vec<u64> = cuts.windows(2).map(|w| w[1].1 - w[0].1).collect();
        assert!(lengths[1..].iter().all(|n| *n == lengths[1]), "{lengths:?}");
    }
}
