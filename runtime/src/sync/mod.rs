//! Counting and locking for what every operator makes, reads and drops.
//!
//! Of what recording an operator costs, the read-modify-write instructions of reference counts and locks were a third: 16 for
//! an addition that is recorded and dropped, each of which takes ten times as long as a plain one. [`bias`] does without
//! them while one thread alone records, [`Counted`] and [`Lock`] count and lock that way.

pub mod bias;
mod counted;
mod lock;

pub use counted::{Counted, Last, Weak};
pub use lock::Lock;
