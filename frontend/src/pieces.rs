//! Where a recording that nobody asks for is cut: the safety net under a loop that never looks at a result.
//!
//! Pieces should be whole turns of the program's outermost loop: then they are alike, and one plan serves all of them.
//! In a piece that grows long, it is counted how often each place in the program calls an operator. The one that comes
//! again least often is called once a turn, and the next piece begins there.

use crate::materialize;
use crate::node::live_nodes;
use crate::record::grad_enabled;
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

/// Recordings of this many values are cut where a turn begins: without derivatives, and with them, where a training
/// step's passes want to see it whole.
const LONG: [u64; 2] = [4_096, 16_384];
/// One of this many is cut wherever it is.
const TOO_LONG: u64 = 32_768;

/// How many values were alive when everything was last computed.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// What is recorded since the last computation. Noted at every operator: it costs no more than a look at a thread's own memory.
struct Piece {
    /// [`materialize::computations`] when it began.
    number: Cell<u64>,
    /// Operators called since.
    calls: Cell<u64>,
    /// Whether derivatives were on at any of them. An optimizer turns them off, and belongs to the step before it.
    derivatives: Cell<bool>,
}

/// Where a piece that grows long can be cut.
#[derive(Default)]
struct Search {
    /// By how many values it may be longer than others, for want of a place to cut it.
    more: u64,
    /// How often each place was met in the second half, and the number of the first time.
    places: FxHashMap<u64, (u32, u64)>,
    /// Where it is to be cut, once that is known.
    cut: Option<u64>,
    /// Where the last piece was cut, and how many operators it had: the next one, which begins there, gets as many.
    last: Option<(u64, u64)>,
}

thread_local! {
    static PIECE: Piece =
        const { Piece { number: Cell::new(0), calls: Cell::new(0), derivatives: Cell::new(false) } };
    static SEARCH: RefCell<Search> = RefCell::default();
    static WHOLE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, whose recording is not cut however long it gets: a trace that is cut has lost its arguments.
pub fn keep_whole<T>(f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WHOLE.set(self.0);
        }
    }
    let _restore = Restore(WHOLE.replace(true));
    f()
}

/// Whether the recording of this thread is kept whole from now on; whether it was before.
pub(crate) fn set_whole(whole: bool) -> bool {
    WHOLE.replace(whole)
}

/// Notes that everything was computed.
pub(crate) fn note_flush() {
    KEPT.store(live_nodes(), Ordering::Relaxed);
}

/// Whether what is recorded should be computed before the operator that is called at `place`, a number for a place in
/// the program's text. To be asked before every operator.
pub fn is_due(place: u64) -> bool {
    let number = materialize::computations();
    PIECE.with(|piece| {
        if piece.number.replace(number) != number {
            piece.calls.set(0);
            piece.derivatives.set(false);
            SEARCH.with_borrow_mut(|search| search.begin(place));
        }
        piece.calls.set(piece.calls.get() + 1);
        piece.derivatives.set(piece.derivatives.get() | grad_enabled());
        let recorded = live_nodes().saturating_sub(KEPT.load(Ordering::Relaxed));
        recorded > piece.long() / 2
            && !WHOLE.get()
            && SEARCH.with_borrow_mut(|search| search.is_due(piece, place, recorded))
    })
}

impl Piece {
    fn long(&self) -> u64 {
        LONG[usize::from(self.derivatives.get())]
    }
}

impl Search {
    /// Forgets the last piece, but for its length where the next one begins at `place` as it did.
    fn begin(&mut self, place: u64) {
        *self = Search { last: self.last.filter(|(cut, _)| *cut == place), ..Search::default() };
    }

    fn is_due(&mut self, piece: &Piece, place: u64, recorded: u64) -> bool {
        if recorded > TOO_LONG {
            self.last = None;
            return true;
        }
        if let Some((cut, calls)) = self.last {
            return place == cut && piece.calls.get() > calls;
        }
        if self.cut.is_none() {
            self.places.entry(place).or_insert((0, piece.calls.get())).0 += 1;
            if recorded <= piece.long() + self.more {
                return false;
            }
            let again = self.places.iter().filter(|(_, (n, _))| *n > 1);
            self.cut = again.min_by_key(|(_, seen)| **seen).map(|(place, _)| *place);
            self.more += piece.long() / 2;
        }
        if self.cut != Some(place) {
            return false;
        }
        self.last = Some((place, piece.calls.get() - 1));
        true
    }
}
