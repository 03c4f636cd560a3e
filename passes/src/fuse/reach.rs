//! Which groups depend on which, kept up to date while groups are joined.
//!
//! A row of bits a group: those that depend on it, directly or not. Joining two groups costs one pass over
//! the rows; asking costs a look at a bit, where a search of the graph would be made anew for each pair of
//! groups that fusion considers.

/// The dependencies of groups, numbered from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    words: usize,
    rows: Vec<u64>,
}

impl Reach {
    /// From the direct users of each group, every one of which has a larger number than the group.
    pub(super) fn new(groups: usize, users: impl Fn(u32, &mut dyn FnMut(u32))) -> Reach {
        let words = groups.div_ceil(64);
        let mut reach = Reach { words, rows: vec![0; words * groups] };
        for g in (0..groups).rev() {
            users(g as u32, &mut |user| {
                let (own, others) = reach.rows.split_at_mut((g + 1) * words);
                let own = &mut own[g * words..];
                let at = (user as usize - g - 1) * words;
                for (o, u) in own.iter_mut().zip(&others[at..at + words]) {
                    *o |= u;
                }
                own[user as usize / 64] |= 1 << (user % 64);
            });
        }
        reach
    }

    /// Whether `to` depends on `from`, directly or not.
    pub(super) fn reaches(&self, from: u32, to: u32) -> bool {
        self.rows[from as usize * self.words + to as usize / 64] >> (to % 64) & 1 != 0
    }

    /// `from` becomes a part of `to`. Neither may depend on the other but directly.
    pub(super) fn join(&mut self, from: u32, to: u32) {
        let words = self.words;
        let mut union: Vec<u64> = self.row(to).iter().zip(self.row(from)).map(|(a, b)| a | b).collect();
        for g in [from, to] {
            union[g as usize / 64] &= !(1 << (g % 64));
        }
        self.rows[to as usize * words..][..words].copy_from_slice(&union);
        union[to as usize / 64] |= 1 << (to % 64);
        for g in 0..(self.rows.len() / words.max(1)) as u32 {
            if g != to && (self.reaches(g, from) || self.reaches(g, to)) {
                let row = &mut self.rows[g as usize * words..][..words];
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
}
