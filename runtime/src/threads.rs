//! One team of threads for every parallel region.
//!
//! A region is a number of independent chunks. Each thread is dealt those of its place, the same ones in each region of so
//! many chunks: what it wrote in one, or read in the last turn of a loop, may still be in its core's caches. Whoever has done
//! its own takes chunks of others, from their ends, so a region never waits for a helper that is still waking up. Helpers spin
//! for a while after a region, since the next one is usually near, and then sleep. (The same
//! regions through a rayon scope cost several times as much to enter from a thread that is not rayon's:
//! it must wait for each helper to have woken, even when no work is left for it.)
//!
//! How chunks are cut is the caller's affair and must not depend on the number of threads where the cut
//! shows in the result.

use parking_lot::Mutex;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Once, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// What runs one chunk: `(slot, chunk)`. Two chunks that run at once have different slots, below
/// [`num_threads`]; the calling thread has slot 0.
pub type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// The number of threads that share a region, the caller included.
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => default_threads(),
        n => n,
    }
}

/// Sets [`num_threads`] for regions that start from now on; 0 means one for each available core.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.min(MAX_THREADS), Ordering::Relaxed);
}

/// Which threads take part in a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sharing {
    /// The calling one.
    Alone,
    /// Helpers that are awake as well: for what is over before one is woken.
    Awake,
    /// All helpers.
    All,
}

/// Runs `work` for every chunk in `0..chunks`, on this thread and on helpers that are free, and returns
/// when all are done. Inside another region, or while another thread has the team, this thread does it
/// all.
///
/// # Panics
/// When `work` does; the other chunks have stopped or finished by then.
pub fn parallel(chunks: usize, work: &Work<'_>) {
    share(Sharing::All, num_threads(), chunks, work);
}

/// [`parallel`] with slots below `threads`, whatever [`num_threads`] has become meanwhile, on those that `sharing` says.
pub(crate) fn share(sharing: Sharing, threads: usize, chunks: usize, work: &Work<'_>) {
    let threads = threads.min(chunks);
    if sharing != Sharing::Alone
        && threads > 1
        && chunks <= MOST_CHUNKS
        && !IN_REGION.get()
        && let Some(mut region) = team().region.try_lock()
        && let Some(wakes) = region.opens(sharing, &team().seats[1..threads])
    {
        IN_REGION.set(true);
        region.run(team(), threads, wakes, chunks, work);
        return;
    }
    for chunk in 0..chunks {
        work(0, chunk);
    }
}

const MAX_THREADS: usize = 1024;

/// How often a helper looks for work before it sleeps: about a quarter of a millisecond. What a helper that sleeps is
/// woken for is often over before it is there.
const SPINS: u32 = 8000;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IN_REGION: Cell<bool> = const { Cell::new(false) };
}

fn default_threads() -> usize {
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    match FOUND.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var("OMP_NUM_THREADS").ok().and_then(|v| v.trim().parse().ok());
            let n = asked
                .filter(|&n| n > 0)
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
                .min(MAX_THREADS);
            FOUND.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

/// The threads' seats, and who may deal.
struct Team {
    /// Of the calling thread, then of each helper.
    seats: Box<[Seat]>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    region: Mutex<Region>,
}

/// Where a thread is dealt chunks of a region.
///
/// What a helper looks at while it waits, and what it needs to begin, is one line of memory: that it travels from one core to
/// another is most of what a small region costs.
#[repr(align(64))]
#[derive(Default)]
struct Seat {
    deal: Deal,
    /// The two words of a `&Work`, its lifetime ended by `Region::run` waiting for all helpers; written, as `threads` is, while
    /// the seat's helper is not in a region.
    work: [AtomicPtr<()>; 2],
    /// How many seats the region has.
    threads: AtomicUsize,
    bed: Bed,
}

/// A helper asleep.
#[repr(align(64))]
#[derive(Default)]
struct Bed {
    sleeping: AtomicBool,
    thread: OnceLock<Thread>,
}

/// Chunks from one to another, `ENTERED? | from << 32 | to`: their owner takes the first of them, others the last.
///
/// A helper enters a region by taking the first chunk that it was dealt, and stays in it until it says so; one that comes when
/// others have taken all of its own stays out. There is no other deal until all that entered have left. A helper may
/// read its deal in one region and take the chunk in a later one, if the two are written alike: then it has the later one's
/// chunk, and what it reads of its seat after that is the later one's.
#[derive(Default)]
struct Deal(AtomicU64);

const ENTERED: u64 = 1 << 63;

/// `from` has the 31 bits between `to` and [`ENTERED`].
const MOST_CHUNKS: usize = i32::MAX as usize;

impl Deal {
    fn set(&self, from: usize, to: usize) {
        self.0.store((from as u64) << 32 | to as u64, Ordering::Release);
    }

    /// The chunks that are left, as they are written.
    fn parts(left: u64) -> Option<(u64, u64)> {
        let (from, to) = ((left & !ENTERED) >> 32, left & u64::from(u32::MAX));
        (from < to).then_some((from, to))
    }

    /// Whether there are chunks to take.
    fn is_there(&self) -> bool {
        Deal::parts(self.0.load(Ordering::Relaxed)).is_some()
    }

    /// Takes a chunk.
    fn take(&self, is_owner: bool) -> Option<usize> {
        let mut left = self.0.load(Ordering::Relaxed);
        loop {
            let (from, to) = Deal::parts(left)?;
            let (chunk, new) =
                if is_owner { (from, (left + (1 << 32)) | ENTERED) } else { (to - 1, left - 1) };
            match self.0.compare_exchange_weak(left, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(chunk as usize),
                Err(now) => left = now,
            }
        }
    }

    /// Leaves nothing to take.
    fn drop_chunks(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left & ENTERED));
    }

    /// Leaves the region, when there is nothing to take any more.
    fn leave(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn is_entered(&self) -> bool {
        self.0.load(Ordering::Acquire) & ENTERED != 0
    }
}

/// The right to open a region.
#[derive(Default)]
struct Region {
    /// How many helpers there are.
    started: usize,
    /// How many small regions found nobody awake since one was opened.
    missed: u32,
}

/// Of so many small regions that find nobody awake, the last wakes helpers for those that follow: in a loop of them they
/// stay awake then.
const MISSED: u32 = 32;

static TEAM: AtomicPtr<Team> = AtomicPtr::new(std::ptr::null_mut());

/// The team, made on first use and again in a child of `fork`, which inherits no helper.
fn team() -> &'static Team {
    let mut current = TEAM.load(Ordering::Acquire);
    if current.is_null() {
        static AT_FORK: Once = Once::new();
        AT_FORK.call_once(|| {
            // SAFETY: the handler stores to an atomic and a thread-local cell.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        let new = Box::into_raw(Box::new(Team {
            seats: (0..MAX_THREADS).map(|_| Seat::default()).collect(),
            panic: Mutex::new(None),
            region: Mutex::new(Region::default()),
        }));
        match TEAM.compare_exchange(std::ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => current = new,
            Err(other) => {
                // SAFETY: `new` was made above and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                current = other;
            }
        }
    }
    // SAFETY: a team is never freed; the child of a fork leaves its parent's behind.
    unsafe { &*current }
}

extern "C" fn in_child() {
    TEAM.store(std::ptr::null_mut(), Ordering::Release);
    IN_REGION.set(false);
}

impl Region {
    /// Whether helpers are started and woken for a region; `None` if there is nobody to open it for. Counts those.
    fn opens(&mut self, sharing: Sharing, helpers: &[Seat]) -> Option<bool> {
        let awake = |seats: &[Seat]| seats.iter().any(|seat| !seat.bed.sleeping.load(Ordering::Relaxed));
        if sharing == Sharing::Awake {
            if awake(&helpers[..helpers.len().min(self.started)]) {
                return Some(false);
            }
            self.missed += 1;
            if self.missed < MISSED {
                return None;
            }
        }
        self.missed = 0;
        Some(true)
    }

    fn run(&mut self, team: &'static Team, threads: usize, wakes: bool, chunks: usize, work: &Work<'_>) {
        if wakes {
            self.start_helpers(team, threads - 1);
        }
        // SAFETY: a reference to a trait's object is two pointers. Helpers use it between entering and leaving, and `Close`
        // below waits for all of them before this function ends, by return or by panic.
        let words: [*mut (); 2] = unsafe { std::mem::transmute::<&Work<'_>, [*mut (); 2]>(work) };
        let seats = &team.seats[..threads];
        let close = Close { seats, panic: &team.panic };
        for (slot, seat) in seats.iter().enumerate() {
            seat.work.iter().zip(words).for_each(|(part, word)| part.store(word, Ordering::Relaxed));
            seat.threads.store(threads, Ordering::Relaxed);
            // Where they do not come out even, those who have begun by then, the calling thread first, have more.
            let from = |slot: usize| (chunks * slot).div_ceil(threads);
            // The first chunk is the calling thread's without asking, which would wait for what was written here.
            seat.deal.set(from(slot).max(1), from(slot + 1));
        }
        if wakes {
            wake(seats);
        }
        work(0, 0);
        claim(seats, 0, work);
        drop(close);
    }

    fn start_helpers(&mut self, team: &'static Team, wanted: usize) {
        while self.started < wanted {
            let slot = self.started + 1;
            let helper = std::thread::Builder::new().name(format!("ttk-{slot}"));
            match helper.spawn(move || serve(team, slot)) {
                Ok(handle) => {
                    let _ = team.seats[slot].bed.thread.set(handle.thread().clone());
                }
                // The caller does the work alone when the system gives no thread.
                Err(_) => return,
            }
            self.started += 1;
        }
    }
}

/// Wakes the helpers that sleep.
fn wake(seats: &[Seat]) {
    // One of the two sees the other: this thread that a helper sleeps, or the helper, in [`rest`], that it was dealt chunks.
    fence(Ordering::SeqCst);
    for Seat { bed, .. } in &seats[1..] {
        if bed.sleeping.load(Ordering::Relaxed)
            && bed.sleeping.swap(false, Ordering::Relaxed)
            && let Some(thread) = bed.thread.get()
        {
            thread.unpark();
        }
    }
}

/// Closes the region: there is nothing left to take, and those that entered have left. The panic of one of them goes on here.
struct Close<'a> {
    seats: &'a [Seat],
    panic: &'a Mutex<Option<Box<dyn Any + Send>>>,
}

impl Drop for Close<'_> {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        // A panic of the caller's own chunk: nobody needs the rest.
        if panicking {
            self.seats.iter().for_each(|seat| seat.deal.drop_chunks());
        }
        for seat in &self.seats[1..] {
            let mut spins = 0u32;
            while seat.deal.is_entered() {
                spins += 1;
                if spins > SPINS {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            }
        }
        IN_REGION.set(false);
        let panic = self.panic.lock().take();
        if let Some(panic) = panic
            && !panicking
        {
            resume_unwind(panic);
        }
    }
}

/// Runs chunks until there are none left to take, those of the thread's own deal first.
fn claim(seats: &[Seat], slot: usize, work: &Work<'_>) {
    for i in 0..seats.len() {
        let deal = &seats[(slot + i) % seats.len()].deal;
        while let Some(chunk) = deal.take(i == 0) {
            work(slot, chunk);
        }
    }
}

/// The life of a helper.
fn serve(team: &'static Team, slot: usize) {
    IN_REGION.set(true);
    let seat = &team.seats[slot];
    loop {
        let Some(first) = seat.deal.take(true) else {
            rest(seat);
            continue;
        };
        let seats = &team.seats[..seat.threads.load(Ordering::Relaxed)];
        let words = [seat.work[0].load(Ordering::Relaxed), seat.work[1].load(Ordering::Relaxed)];
        // SAFETY: these are the words of such a reference, and of this region's: `take` acquires what `set` released, also where
        // others took chunks in between. From entering, above, to leaving, below, the region is alive, and so is its work.
        let work: &Work<'_> = unsafe { std::mem::transmute::<[*mut (); 2], &Work<'_>>(words) };
        let all = || {
            work(slot, first);
            claim(seats, slot, work);
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            seats.iter().for_each(|seat| seat.deal.drop_chunks());
            *team.panic.lock() = Some(panic);
        }
        seat.deal.leave();
    }
}

/// Waits until there may be a region to enter.
fn rest(seat: &Seat) {
    for _ in 0..SPINS {
        if seat.deal.is_there() {
            return;
        }
        std::hint::spin_loop();
    }
    seat.bed.sleeping.store(true, Ordering::Relaxed);
    // See [`wake`].
    fence(Ordering::SeqCst);
    while seat.bed.sleeping.load(Ordering::Relaxed) && !seat.deal.is_there() {
        std::thread::park_timeout(Duration::from_secs(3600));
    }
    seat.bed.sleeping.store(false, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_chunk_runs_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            set_num_threads(threads);
            for chunks in [0, 1, 2, 5, 100, 1000] {
                let counts: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
                let busy: Vec<AtomicU32> = (0..threads).map(|_| AtomicU32::new(0)).collect();
                for sharing in [Sharing::All, Sharing::Awake, Sharing::Alone, Sharing::Awake].repeat(5) {
                    share(sharing, threads, chunks, &|slot, chunk| {
                        assert_eq!(busy[slot].fetch_add(1, Ordering::SeqCst), 0, "slot used twice at once");
                        counts[chunk].fetch_add(1, Ordering::Relaxed);
                        busy[slot].fetch_sub(1, Ordering::SeqCst);
                    });
                }
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 20));
            }
        }
        set_num_threads(0);
    }

    #[test]
    fn regions_nest_and_meet() {
        let total = AtomicU32::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50 {
                        parallel(8, &|_, _| {
                            parallel(4, &|_, _| {
                                total.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 50 * 32);
    }

    #[test]
    fn a_panic_comes_back_and_the_team_lives_on() {
        // That of the calling thread, of whoever has the last chunk, and of all.
        for bad in [0..1, 63..64, 0..64] {
            let caught = catch_unwind(|| {
                parallel(64, &|_, chunk| assert!(!bad.contains(&chunk), "chunk"));
            });
            assert!(caught.is_err());
            let n = AtomicU32::new(0);
            parallel(64, &|_, _| {
                n.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(n.load(Ordering::Relaxed), 64);
        }
    }
}
