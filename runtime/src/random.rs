//! Words of random streams, drawn where the last draw left off.

use parking_lot::Mutex;
use ttk_ir::op::RandomStream;
use ttk_ir::random::{Mt19937, Philox, random_words};

/// Mersenne twisters to go on from: reaching the millionth word from a seed takes a millisecond.
static KNOWN: Mutex<Known> = Mutex::new(Known { recent: Vec::new(), passed: Vec::new() });

struct Known {
    /// Those that were used last, the latest first.
    recent: Vec<Mt19937>,
    /// Of the seeds that were used last, the latest first: places that were passed.
    passed: Vec<Passed>,
}

const KEPT: usize = 16;
const SEEDS: usize = 4;

/// Places of a stream that were passed, so that what is drawn again, as a mask of `dropout` by the derivative of a step of long
/// ago, is drawn from near by.
struct Passed {
    seed: u64,
    /// In their order, so many words apart at least.
    places: Vec<Mt19937>,
    apart: u64,
}

/// Words between two places at first, and how many places are kept, of 2.5 kB each: with more, every second one goes.
const APART: u64 = 8192;
const PLACES: usize = 1024;

impl Passed {
    /// Keeps a place, if none is known near by.
    fn note(&mut self, state: &Mt19937) {
        let at = self.places.partition_point(|p| p.drawn() <= state.drawn());
        let near = |p: &Mt19937| p.drawn().abs_diff(state.drawn()) < self.apart;
        if state.drawn() < self.apart || self.places[at.saturating_sub(1)..].iter().take(2).any(near) {
            return;
        }
        self.places.insert(at, state.clone());
        if self.places.len() > PLACES {
            self.apart *= 2;
            let mut last = 0;
            self.places.retain(|p| {
                let stays = p.drawn() >= last + self.apart;
                last = if stays { p.drawn() } else { last };
                stays
            });
        }
    }

    /// The last place that is not beyond a word.
    fn before(&self, drawn: u64) -> Option<&Mt19937> {
        self.places[..self.places.partition_point(|p| p.drawn() <= drawn)].last()
    }
}

impl Known {
    /// The last place known of a seed's stream that is not beyond a word.
    fn before(&self, seed: u64, drawn: u64) -> Option<&Mt19937> {
        self.passed.iter().find(|p| p.seed == seed).and_then(|p| p.before(drawn))
    }

    /// Keeps a place. Seeds of which little is drawn have none, and take nobody's.
    fn note(&mut self, state: &Mt19937) {
        if state.drawn() < APART {
            return;
        }
        match self.passed.iter().position(|p| p.seed == state.seed()) {
            Some(at) => self.passed[..=at].rotate_right(1),
            None => {
                self.passed.truncate(SEEDS - 1);
                self.passed.insert(0, Passed { seed: state.seed(), places: Vec::new(), apart: APART });
            }
        }
        self.passed[0].note(state);
    }
}

/// The next words of a stream; `numbers` are seed, words drawn before, and threads where the stream has some.
pub(crate) fn fill(stream: RandomStream, numbers: [i64; 3], out: &mut [u32]) {
    let [seed, drawn, _] = numbers.map(|n| n as u64);
    match stream {
        RandomStream::Mt19937 => {
            let mut state = resume(seed, drawn);
            state.fill(out);
            let mut known = KNOWN.lock();
            known.note(&state);
            known.recent.truncate(KEPT - 1);
            known.recent.insert(0, state);
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
        let mut known = KNOWN.lock();
        let usable = known.recent.iter().enumerate().filter(|(_, g)| g.seed() == seed && g.drawn() <= drawn);
        let nearest = usable.max_by_key(|(_, g)| g.drawn()).map(|(i, g)| (i, g.drawn()));
        match nearest {
            Some((i, at)) if at == drawn => Some(known.recent.remove(i)),
            // One that is behind stays: who left it there will go on from it.
            Some((i, at)) => match known.before(seed, drawn) {
                Some(place) if place.drawn() > at => Some(place.clone()),
                _ => Some(known.recent[i].clone()),
            },
            None => known.before(seed, drawn).cloned(),
        }
    };
    let mut state = found.unwrap_or_else(|| Mt19937::new(seed));
    while state.drawn() < drawn {
        state.skip((drawn - state.drawn()).min(APART));
        KNOWN.lock().note(&state);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_apart_in_order_and_not_too_many() {
        let mut passed = Passed { seed: 7, places: Vec::new(), apart: APART };
        let mut state = Mt19937::new(7);
        let mut ahead = state.clone();
        ahead.skip(3 * APART + 5);
        passed.note(&ahead);
        for _ in 0..4 * PLACES {
            state.skip(APART / 2 + 1);
            passed.note(&state);
        }
        assert!(passed.places.len() <= PLACES && passed.places.len() > PLACES / 4);
        assert!(passed.places.windows(2).all(|two| two[1].drawn() - two[0].drawn() >= passed.apart));
        for word in [0, APART, 100 * APART + 3, state.drawn(), state.drawn() + APART] {
            let behind = word.min(state.drawn()) - passed.before(word).map_or(0, Mt19937::drawn);
            assert!(behind <= 3 * passed.apart, "{behind}");
        }
    }

    #[test]
    fn draws_in_any_order_are_the_words_of_the_stream() {
        for stream in RandomStream::ALL {
            for seed in [0i64, 42, -1] {
                let far = [(90_000, 3), (40_000, 9000), (30_000, 100), (89_990, 20), (30_100, 70_000)];
                for (at, len) in [(0, 10), (10, 700), (710, 5), (3, 20), (715, 2000), (5000, 1), (0, 0)]
                    .into_iter()
                    .chain(far)
                {
                    let (mut got, mut want) = (vec![0; len], vec![0; len]);
                    fill(stream, [seed, at, 256], &mut got);
                    random_words(stream, &[seed, at, 256], &mut want);
                    assert_eq!(got, want, "{stream:?} {seed} {at} {len}");
                }
            }
        }
    }
}
