//! Where a recording that nobody asks for is cut. In a process of its own: what is counted is the process's.

use ttk_frontend::record::{Recorder, no_grad};
use ttk_frontend::{materialize, pieces};
use ttk_ir::{Builder, DType, Type};

/// A loop with one inside: setup at place 1, turns at 2, four layers at 10 and 11 in each.
#[test]
fn a_loop_is_cut_where_its_turns_begin() {
    let mut b = Recorder::new();
    let mut kept = vec![b.zeros(&Type::fixed(DType::F32, &[2]))];
    let mut cuts = Vec::new();
    no_grad(|| {
        let mut call = |place: u64, turn: u64| {
            if pieces::is_due(place) {
                cuts.push((place, turn));
                materialize::flush().unwrap();
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
    assert!(lengths.iter().all(|n| *n == lengths[0]), "{lengths:?}");
}
