//! Read-modify-write operations that are plain ones while a single thread does all of them.
//!
//! The first thread to come is the owner. It marks itself busy, sees that it still is the owner, reads, writes, and is busy no
//! more: plain instructions, which no other thread sees in between, because any other that comes first ends the
//! ownership, for good: it takes the owner's title, has every running thread pass a memory barrier
//! (`membarrier`), and waits until the owner isn't busy. By then the owner has either seen that it is none, or has
//! been seen at work and is done. From then on all threads use atomic instructions.
//!
//! The idea is that of biased locks and biased reference counts (Choi, Shull, Torrellas: "Biased Reference Counting",
//! PACT 2018); the barrier on one side only is that of Linux, see `man 2 membarrier`. Elsewhere there is no owner.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, compiler_fence};

/// Who may do without atomic instructions. A cache line of its own: every operation reads it.
#[derive(Debug)]
#[repr(align(64))]
struct Bias {
    /// The [`thread_key`] of the owner, or one of the constants below, which are no thread's.
    owner: AtomicUsize,
    /// Whether the owner is between reading and writing.
    busy: AtomicBool,
}

/// No thread has come yet.
const NOBODY: usize = 0;
/// Every thread uses atomic instructions.
const ALL: usize = 1;
/// Whose ownership ends at this moment.
const ENDING: usize = 2;

static PROCESS: Bias = Bias::new();

/// Adds to a number, and gives what it was. As `fetch_add` with `Relaxed`. A number that is changed here is changed nowhere
/// else: the owner would not see a change between its reading and its writing.
#[inline(always)]
pub fn add(number: &AtomicU64, by: u64) -> u64 {
    PROCESS.add(number, by, Ordering::Relaxed)
}

/// Whether this thread is the owner: what it counts is plain.
pub fn is_owner() -> bool {
    PROCESS.owner.load(Ordering::Relaxed) == thread_key()
}

/// Whether this system can have an owner.
pub fn can_have_owner() -> bool {
    barrier::works()
}

/// Takes from a number, and gives what it was. As `fetch_sub` with `Release`.
#[inline(always)]
pub(super) fn sub(number: &AtomicU64, by: u64) -> u64 {
    PROCESS.add(number, by.wrapping_neg(), Ordering::Release)
}

/// Adds one to a number that is not zero, and says whether it was not. As a loop of `compare_exchange` with `Relaxed`.
#[inline(always)]
pub(super) fn add_unless_zero(number: &AtomicU64) -> bool {
    PROCESS.add_unless_zero(number)
}

/// Sets a flag, and says whether it was not set. As `compare_exchange_weak` with `Acquire`.
#[inline(always)]
pub(crate) fn raise(flag: &AtomicBool) -> bool {
    PROCESS.raise(flag)
}

/// The owner is busy as long as this is there.
struct Alone<'a>(&'a Bias);

impl Drop for Alone<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

impl Bias {
    const fn new() -> Bias {
        Bias { owner: AtomicUsize::new(NOBODY), busy: AtomicBool::new(false) }
    }

    /// `order` is that of the writing: `Relaxed` or `Release`.
    #[inline(always)]
    fn add(&self, number: &AtomicU64, by: u64, order: Ordering) -> u64 {
        match self.alone() {
            Some(_alone) => {
                let before = number.load(Ordering::Relaxed);
                number.store(before.wrapping_add(by), order);
                before
            }
            None => number.fetch_add(by, order),
        }
    }

    #[inline(always)]
    fn add_unless_zero(&self, number: &AtomicU64) -> bool {
        match self.alone() {
            Some(_alone) => {
                let before = number.load(Ordering::Relaxed);
                if before != 0 {
                    number.store(before + 1, Ordering::Relaxed);
                }
                before != 0
            }
            None => {
                let more = |n| if n == 0 { None } else { Some(n + 1) };
                number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
            }
        }
    }

    #[inline(always)]
    fn raise(&self, flag: &AtomicBool) -> bool {
        match self.alone() {
            Some(_alone) => {
                let before = flag.load(Ordering::Relaxed);
                flag.store(true, Ordering::Relaxed);
                !before
            }
            None => flag.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok(),
        }
    }

    /// Something if this thread is the owner, who is busy until that is dropped; nothing if there is none any more.
    #[inline(always)]
    fn alone(&self) -> Option<Alone<'_>> {
        // What the owner did before there was none is seen: a `Release` of `ALL` follows it, this `Acquire` sees that.
        let (me, owner) = (thread_key(), self.owner.load(Ordering::Acquire));
        if owner == me {
            self.busy.store(true, Ordering::Relaxed);
            let alone = Alone(self);
            // In this order for this thread; others see it in this order by the barrier that they have it pass.
            compiler_fence(Ordering::SeqCst);
            if self.owner.load(Ordering::Relaxed) == me {
                return Some(alone);
            }
            drop(alone);
            return self.contended(me);
        }
        if owner == ALL { None } else { self.contended(me) }
    }

    /// [`Bias::alone`] of a thread that is not the owner, or not any more.
    #[cold]
    #[inline(never)]
    fn contended(&self, me: usize) -> Option<Alone<'_>> {
        loop {
            let owner = self.owner.load(Ordering::Acquire);
            let become_it =
                |new| self.owner.compare_exchange(owner, new, Ordering::AcqRel, Ordering::Acquire).is_ok();
            match owner {
                ALL => return None,
                NOBODY => {
                    if become_it(if barrier::works() { me } else { ALL }) {
                        return self.alone();
                    }
                }
                ENDING => std::thread::yield_now(),
                _ => {
                    if become_it(ENDING) {
                        barrier::pass();
                        while self.busy.load(Ordering::Acquire) {
                            std::thread::yield_now();
                        }
                        self.owner.store(ALL, Ordering::Release);
                    }
                }
            }
        }
    }
}

/// In a process that was just made there is one thread, which is in no operation, whatever others of its parent were at.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
extern "C" fn after_fork() {
    PROCESS.busy.store(false, Ordering::Relaxed);
    if PROCESS.owner.load(Ordering::Relaxed) == ENDING {
        PROCESS.owner.store(ALL, Ordering::Relaxed);
    }
}

/// A number that this thread has and no other that lives: where its control block is. Asked for with every operation, so
/// that a thread-local variable, which is a call in a library, would cost more than what is saved.
#[inline(always)]
fn thread_key() -> usize {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        let key: usize;
        // SAFETY: reads the first word of the thread's control block, which the ABI says is its own address.
        unsafe {
            std::arch::asm!("mov {}, fs:0", out(reg) key, options(pure, nomem, nostack, preserves_flags));
        }
        key
    }
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    {
        let key: usize;
        // SAFETY: reads the register that holds the address of the thread's control block.
        unsafe {
            std::arch::asm!("mrs {}, tpidr_el0", out(reg) key, options(pure, nomem, nostack, preserves_flags));
        }
        key
    }
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        // Nobody's: there is no owner here, see [`barrier::works`].
        usize::MAX
    }
}

/// A memory barrier in all threads that run.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod barrier {
    /// As in `linux/membarrier.h`.
    const QUERY: libc::c_int = 0;
    const GLOBAL: libc::c_int = 1;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    fn membarrier(command: libc::c_int) -> libc::c_long {
        // SAFETY: the call reads no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    }

    pub(super) fn works() -> bool {
        static AT_FORK: std::sync::Once = std::sync::Once::new();
        // SAFETY: the handler only writes atomic variables.
        AT_FORK.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(super::after_fork));
        });
        let commands = membarrier(QUERY);
        commands > 0 && commands & libc::c_long::from(GLOBAL) != 0
    }

    /// Some milliseconds, once in a process. The command that takes microseconds has to be registered for, which takes those
    /// milliseconds in every process that has two threads.
    pub(super) fn pass() {
        let passed = membarrier(GLOBAL) == 0
            || membarrier(REGISTER_PRIVATE_EXPEDITED) == 0 && membarrier(PRIVATE_EXPEDITED) == 0;
        if !passed {
            // It was there when the owner came: someone has forbidden it since. No processor keeps a write to itself for
            // longer than microseconds.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod barrier {
    pub(super) fn works() -> bool {
        false
    }

    pub(super) fn pass() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owner counts when others come; nothing is lost on the way, many times over.
    #[test]
    fn others_come_while_the_owner_counts() {
        for round in 0..60_u64 {
            let (bias, number, started) = (Bias::new(), AtomicU64::new(0), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for i in 0..200_000 {
                        bias.add(&number, 1, Ordering::Relaxed);
                        if i == 100 {
                            started.store(true, Ordering::Release);
                        }
                    }
                });
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !started.load(Ordering::Acquire) {
                            std::hint::spin_loop();
                        }
                        (0..round * 500).for_each(|_| std::hint::spin_loop());
                        for _ in 0..50_000 {
                            bias.add(&number, 2, Ordering::Relaxed);
                            bias.add(&number, u64::MAX, Ordering::Release);
                        }
                    });
                }
            });
            assert_eq!(number.into_inner(), 300_000, "round {round}");
            assert_eq!(bias.owner.into_inner(), ALL);
        }
    }

    /// A flag that is raised is one thread's, whether it is the owner's or another's.
    #[test]
    fn a_raised_flag_is_one_threads() {
        for round in 0..60_u64 {
            let (bias, flag, inside) = (Bias::new(), AtomicBool::new(false), AtomicU64::new(0));
            let turn = |times: u64| {
                for _ in 0..times {
                    while !bias.raise(&flag) {
                        std::thread::yield_now();
                    }
                    let before = inside.load(Ordering::Relaxed);
                    inside.store(before + 1, Ordering::Relaxed);
                    flag.store(false, Ordering::Release);
                }
            };
            std::thread::scope(|scope| {
                scope.spawn(|| turn(100_000));
                scope.spawn(|| {
                    (0..round * 500).for_each(|_| std::hint::spin_loop());
                    turn(20_000);
                });
            });
            assert_eq!(inside.into_inner(), 120_000, "round {round}");
        }
    }

    #[test]
    fn one_thread_alone() {
        let (bias, number, flag) = (Bias::new(), AtomicU64::new(0), AtomicBool::new(false));
        assert!(!bias.add_unless_zero(&number));
        assert_eq!(bias.add(&number, 2, Ordering::Relaxed), 0);
        assert_eq!(bias.add(&number, u64::MAX, Ordering::Release), 2);
        assert!(bias.add_unless_zero(&number));
        assert_eq!(number.into_inner(), 2);
        assert!(bias.raise(&flag) && !bias.raise(&flag));
        assert_eq!(bias.owner.into_inner() == ALL, !barrier::works());
    }
}
