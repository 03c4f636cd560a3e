//! Words of random streams, drawn where the last draw left off.

use parking_lot::Mutex;
use ttk_ir::op::RandomStream;
use ttk_ir::random::{Mt19937, Philox, random_words};

/// Mersenne twisters that were used last, the latest first. Going on from one is cheap, while reaching
/// the millionth word from a seed takes a millisecond.
static RECENT: Mutex<Vec<Mt19937>> = Mutex::new(Vec::new());

const KEPT: usize = 16;

/// The next words of a stream; `numbers` are seed, words drawn before, and threads where the stream has some.
pub(crate) fn fill(stream: RandomStream, numbers: [i64; 3], out: &mut [u32]) {
    let [seed, drawn, _] = numbers.map(|n| n as u64);
    match stream {
        RandomStream::Mt19937 => {
            let mut state = resume(seed, drawn);
            state.fill(out);
            let mut recent = RECENT.lock();
            recent.truncate(KEPT - 1);
            recent.insert(0, state);
        }
        RandomStream::Philox => {
            let mut state = Philox::new(seed);
            state.skip(drawn);
            state.fill(out);
        }
        RandomStream::PhiloxLanes
        | RandomStream::PhiloxPairs
        | RandomStream::PhiloxTwins
        | RandomStream::PhiloxVectors
        | RandomStream::PhiloxHalves => random_words(stream, &numbers, out),
    }
}

/// The generator of a seed after `drawn` words: the nearest one known, moved on, or a new one.
fn resume(seed: u64, drawn: u64) -> Mt19937 {
    let found = {
        let mut recent = RECENT.lock();
        let nearest = recent
            .iter()
            .enumerate()
            .filter(|(_, g)| g.seed() == seed && g.drawn() <= drawn)
            .max_by_key(|(_, g)| g.drawn())
            .map(|(i, g)| (i, g.drawn() == drawn));
        match nearest {
            Some((i, true)) => Some(recent.remove(i)),
            // One that is behind stays: who left it there will go on from it.
            Some((i, false)) => Some(recent[i].clone()),
            None => None,
        }
    };
    let mut state = found.unwrap_or_else(|| Mt19937::new(seed));
    state.skip(drawn - state.drawn());
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_in_any_order_are_the_words_of_the_stream() {
        for stream in RandomStream::ALL {
            for seed in [0i64, 42, -1] {
                for (at, len) in [(0, 10), (10, 700), (710, 5), (3, 20), (715, 2000), (5000, 1), (0, 0)] {
                    let (mut got, mut want) = (vec![0; len], vec![0; len]);
                    fill(stream, [seed, at, 256], &mut got);
                    random_words(stream, &[seed, at, 256], &mut want);
                    assert_eq!(got, want, "{stream:?} {seed} {at} {len}");
                }
            }
        }
    }
}
