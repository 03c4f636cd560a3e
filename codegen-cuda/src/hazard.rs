//! Where threads of a group must wait for each other: what has been touched since the last barrier.

use std::collections::HashSet;
use ttk_ir::expr::range::{Ranges, prove_less};
use ttk_ir::{Atom, Expr};

/// Which thread makes an access.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Who {
    /// Every thread the same element.
    All,
    /// The first thread of the group.
    First,
    /// The thread of a lane, always the same for an element: the index as a function of the lane's
    /// position is this.
    Private(Expr),
    /// The threads of a vector loop in some other manner.
    Spread,
}

/// A stretch of memory in which an access lies, both ends inclusive, where it is known.
pub(crate) type Stretch = Option<(Expr, Expr)>;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Touch {
    /// The memory's number.
    pub(crate) memory: usize,
    pub(crate) who: Who,
    pub(crate) write: bool,
    pub(crate) stretch: Stretch,
    /// Conditions under which it happens, and whether they hold or fail.
    pub(crate) under: Vec<(u32, bool)>,
}

impl Touch {
    /// Whether the two must not be reordered.
    fn conflicts(&self, other: &Touch, ranges: &Ranges) -> bool {
        if self.memory != other.memory || !(self.write || other.write) {
            return false;
        }
        let same_thread = match (&self.who, &other.who) {
            (Who::First, Who::First) => true,
            (Who::Private(a), Who::Private(b)) => a == b,
            _ => false,
        };
        let excluded = self.under.iter().any(|(c, yes)| other.under.contains(&(*c, !yes)));
        let apart = match (&self.stretch, &other.stretch) {
            (Some((a0, a1)), Some((b0, b1))) => prove_less(a1, b0, ranges) || prove_less(b1, a0, ranges),
            _ => false,
        };
        !(same_thread || excluded || apart)
    }
}

#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Hazards {
    touched: Vec<Touch>,
}

impl Hazards {
    pub(crate) fn conflict(&self, touches: &[Touch], ranges: &Ranges) -> bool {
        touches.iter().any(|t| self.touched.iter().any(|old| old.conflicts(t, ranges)))
    }

    /// Leaves a loop: a stretch that moved with its variable, from `first` to `last`, becomes all it went over.
    pub(crate) fn leave(&mut self, var: u32, first: &Expr, last: &Expr) {
        let at =
            |e: &Expr, value: &Expr| e.substitute(&mut |a| (*a == Atom::Var(var)).then(|| value.clone()));
        for touch in &mut self.touched {
            let Some((low, high)) = touch.stretch.take() else { continue };
            let forward =
                |e: &Expr| e.affine_in(var).is_some_and(|(step, _)| step.as_const().is_some_and(|c| c >= 0));
            if forward(&low) && forward(&high) {
                touch.stretch = Some((at(&low, first), at(&high, last)));
            }
        }
    }

    pub(crate) fn add(&mut self, touches: impl IntoIterator<Item = Touch>) {
        for touch in touches {
            if !self.touched.contains(&touch) {
                self.touched.push(touch);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.touched.clear();
    }

    /// Forgets conditions on values that are not among these.
    pub(crate) fn forget_conditions(&mut self, known: &HashSet<u32>) {
        for touch in &mut self.touched {
            touch.under.retain(|(c, _)| known.contains(c));
        }
    }

    pub(crate) fn join(&mut self, other: &Hazards) {
        self.add(other.touched.iter().cloned());
    }
}
