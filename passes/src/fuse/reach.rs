//! Which groups depend on which, kept up to date while groups are joined.
//!
//! A row of bits a group: those that depend on it, directly or not. Joining two groups costs one pass over
//! the rows; asking costs a look at a bit, where a search of the graph would be made anew for each pair of
//! groups that fusion considers.
//!
//! The groups of a long graph are cut into windows, in the order of the graph, and only groups of one window are
//! joined: all that would grow with the square of the graph. No path between two groups of a window leaves it, because
//! what is outside comes before both or after both.

/// Groups of a window.
const WINDOW: usize = 2048;

/// The dependencies of groups, numbered from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    window: usize,
    words: usize,
    /// Bit `i` of row `g` is for the `i`-th group of `g`'s window.
    rows: Vec<u64>,
    /// For each window, the groups that were not joined to others.
    alive: Vec<Vec<u32>>,
}

impl Reach {
    /// From the direct users of each group, every one of which has a larger number than the group.
    pub(super) fn new(groups: usize, users: impl Fn(u32, &mut dyn FnMut(u32))) -> Reach {
        Reach::with_window(WINDOW, groups, users)
    }

    fn with_window(window: usize, groups: usize, users: impl Fn(u32, &mut dyn FnMut(u32))) -> Reach {
        let words = window.min(groups).div_ceil(64);
        let ids: Vec<u32> = (0..groups as u32).collect();
        let alive = ids.chunks(window).map(<[u32]>::to_vec).collect();
        let mut reach = Reach { window, words, rows: vec![0; words * groups], alive };
        for g in (0..groups).rev() {
            users(g as u32, &mut |user| {
                if !reach.share_window(g as u32, user) {
                    return;
                }
                let (own, others) = reach.rows.split_at_mut((g + 1) * words);
                let own = &mut own[g * words..];
                let at = (user as usize - g - 1) * words;
                for (o, u) in own.iter_mut().zip(&others[at..at + words]) {
                    *o |= u;
                }
                let bit = user as usize % window;
                own[bit / 64] |= 1 << (bit % 64);
            });
        }
        reach
    }

    /// Whether two groups may be joined.
    pub(super) fn share_window(&self, a: u32, b: u32) -> bool {
        a as usize / self.window == b as usize / self.window
    }

    /// Whether `to` depends on `from`, directly or not, both being of one window; false for others.
    pub(super) fn reaches(&self, from: u32, to: u32) -> bool {
        let bit = to as usize % self.window;
        self.share_window(from, to) && self.rows[from as usize * self.words + bit / 64] >> (bit % 64) & 1 != 0
    }

    /// `from` becomes a part of `to`, of one window. Neither may depend on the other but directly.
    pub(super) fn join(&mut self, from: u32, to: u32) {
        let words = self.words;
        let mut union: Vec<u64> = self.row(to).iter().zip(self.row(from)).map(|(a, b)| a | b).collect();
        let bit = |g: u32| (g as usize % self.window / 64, 1u64 << (g as usize % self.window % 64));
        let ((from_word, from_bit), (to_word, to_bit)) = (bit(from), bit(to));
        union[from_word] &= !from_bit;
        union[to_word] &= !to_bit;
        self.rows[to as usize * words..][..words].copy_from_slice(&union);
        union[to_word] |= to_bit;
        let alive = &mut self.alive[to as usize / self.window];
        alive.retain(|&g| g != from);
        for &g in alive.iter().filter(|&&g| g != to) {
            let row = &mut self.rows[g as usize * words..][..words];
            if row[from_word] & from_bit != 0 || row[to_word] & to_bit != 0 {
                row.iter_mut().zip(&union).for_each(|(r, u)| *r |= u);
            }
        }
    }

    fn row(&self, g: u32) -> &[u64] {
        &self.rows[g as usize * self.words..][..self.words]
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;

    /// 0 -> 1 -> 3, 0 -> 2 -> 4, 3 -> 4.
    fn diamond() -> Reach {
        let users: [&[u32]; 5] = [&[1, 2], &[3], &[4], &[4], &[]];
        Reach::new(5, |g, f| users[g as usize].iter().for_each(|&u| f(u)))
    }

    #[test]
    fn dependencies_are_transitive() {
        let r = diamond();
        assert!(r.reaches(0, 4) && r.reaches(1, 4) && r.reaches(2, 4));
        assert!(!r.reaches(1, 2) && !r.reaches(4, 0) && !r.reaches(2, 3));
    }

    #[test]
    fn a_joined_group_has_the_dependencies_of_both() {
        let mut r = diamond();
        // 1 and 2 do not depend on each other; as one group they feed 3 and 4.
        r.join(1, 2);
        assert!(r.reaches(2, 3) && r.reaches(2, 4) && r.reaches(0, 2) && !r.reaches(2, 2));
        r.join(3, 4);
        assert!(r.reaches(2, 4) && r.reaches(0, 4) && !r.reaches(4, 4));
    }

    #[test]
    fn windows_are_apart() {
        let users: [&[u32]; 5] = [&[1, 2], &[3], &[4], &[4], &[]];
        let mut r = Reach::with_window(3, 5, |g, f| users[g as usize].iter().for_each(|&u| f(u)));
        assert!(r.reaches(0, 1) && r.reaches(0, 2) && r.reaches(3, 4));
        assert!(!r.share_window(1, 3) && !r.reaches(1, 3) && !r.reaches(0, 4));
        r.join(0, 1);
        assert!(r.reaches(1, 2) && !r.reaches(2, 1) && !r.reaches(1, 4));
    }
}
