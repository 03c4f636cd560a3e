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
use std::sync::{Arc, Once};
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

/// Runs `work` for every chunk in `0..chunks`, on this thread and on helpers that are free, and returns
/// when all are done. Inside another region, or while another thread has the team, this thread does it
/// all.
///
/// # Panics
/// When `work` does; the other chunks have stopped or finished by then.
pub fn parallel(chunks: usize, work: &Work<'_>) {
    parallel_on(num_threads(), chunks, work);
}

/// [`parallel`] with slots below `threads`, whatever [`num_threads`] has become meanwhile.
pub(crate) fn parallel_on(threads: usize, chunks: usize, work: &Work<'_>) {
    let threads = threads.min(chunks);
    if threads > 1
        && chunks <= u32::MAX as usize
        && !IN_REGION.get()
        && let Some(mut region) = team().region.try_lock()
    {
        IN_REGION.set(true);
        region.run(team(), threads, chunks, work);
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

/// Helpers and the region they are in.
struct Team {
    /// `epoch << 32 | OPEN? | helpers inside`. A helper enters an open region by adding one, and each
    /// region at most once.
    state: AtomicU64,
    /// The chunks that are left of each slot's.
    left: Box<[Deal]>,
    job: Job,
    helpers: Mutex<Vec<Arc<Helper>>>,
    region: Mutex<Region>,
}

/// Chunks from one to another, `from << 32 | to`: their owner takes the first of them, others the last.
#[repr(align(64))]
#[derive(Default)]
struct Deal(AtomicU64);

impl Deal {
    fn set(&self, from: usize, to: usize) {
        self.0.store((from as u64) << 32 | to as u64, Ordering::Relaxed);
    }

    /// Takes a chunk.
    fn take(&self, is_owner: bool) -> Option<usize> {
        let mut left = self.0.load(Ordering::Relaxed);
        loop {
            let (from, to) = (left >> 32, left & u64::from(u32::MAX));
            if from >= to {
                return None;
            }
            let (chunk, new) = if is_owner { (from, left + (1 << 32)) } else { (to - 1, left - 1) };
            // A deal only shrinks within a region, so what is there again was there all the time.
            match self.0.compare_exchange_weak(left, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(chunk as usize),
                Err(now) => left = now,
            }
        }
    }
}

/// The region's work; written by the holder of `Team::region` while no helper is inside.
struct Job {
    /// A `*const &Work`, its lifetime ended by `Region::run` waiting for all helpers.
    work: AtomicPtr<&'static Work<'static>>,
    /// How many helpers may enter.
    places: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

struct Helper {
    thread: Mutex<Option<Thread>>,
    sleeping: AtomicBool,
}

/// The right to open a region.
#[derive(Default)]
struct Region {
    epoch: u32,
    started: usize,
}

const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;

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
            state: AtomicU64::new(0),
            left: (0..MAX_THREADS).map(|_| Deal::default()).collect(),
            job: Job {
                work: AtomicPtr::new(std::ptr::null_mut()),
                places: AtomicUsize::new(0),
                panic: Mutex::new(None),
            },
            helpers: Mutex::new(Vec::new()),
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
    fn run(&mut self, team: &'static Team, threads: usize, chunks: usize, work: &Work<'_>) {
        self.start_helpers(team, threads - 1);
        // SAFETY: only the lifetime changes. Helpers use the reference between entering and leaving,
        // and `Close` below waits for all of them before this function ends, by return or by panic.
        let work: &'static Work<'static> = unsafe { std::mem::transmute::<&Work<'_>, _>(work) };
        team.job.work.store((&raw const work).cast_mut(), Ordering::Relaxed);
        team.job.places.store(threads - 1, Ordering::Relaxed);
        for (slot, deal) in team.left[..threads].iter().enumerate() {
            deal.set(chunks * slot / threads, chunks * (slot + 1) / threads);
        }
        self.epoch = self.epoch.wrapping_add(1);
        // Sequentially consistent, and so is a helper's "I sleep": one of the two sees the other.
        team.state.store(u64::from(self.epoch) << 32 | OPEN, Ordering::SeqCst);
        team.wake(threads - 1);

        let close = Close(team);
        claim(team, 0, threads, work);
        drop(close);
        let panic = team.job.panic.lock().take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn start_helpers(&mut self, team: &'static Team, wanted: usize) {
        while self.started < wanted {
            let helper = Arc::new(Helper { thread: Mutex::new(None), sleeping: AtomicBool::new(false) });
            let (own, slot) = (helper.clone(), self.started + 1);
            let spawned = std::thread::Builder::new()
                .name(format!("ttk-{slot}"))
                .spawn(move || serve(team, &own, slot));
            match spawned {
                Ok(handle) => *helper.thread.lock() = Some(handle.thread().clone()),
                // The caller does the work alone when the system gives no thread.
                Err(_) => return,
            }
            team.helpers.lock().push(helper);
            self.started += 1;
        }
    }
}

impl Team {
    /// Leaves nothing to claim.
    fn drop_chunks(&self) {
        self.left.iter().for_each(|deal| deal.set(0, 0));
    }

    /// Wakes up to `wanted` of the helpers that sleep.
    fn wake(&self, wanted: usize) {
        for helper in self.helpers.lock().iter().take(wanted) {
            if helper.sleeping.swap(false, Ordering::SeqCst)
                && let Some(thread) = helper.thread.lock().as_ref()
            {
                thread.unpark();
            }
        }
    }
}

/// Closes the region: no helper may enter any more, and those inside have left.
struct Close(&'static Team);

impl Drop for Close {
    fn drop(&mut self) {
        // A panic of the caller's own chunk: nobody needs the rest.
        if std::thread::panicking() {
            self.0.drop_chunks();
        }
        let mut state = self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while state & INSIDE != 0 {
            spins += 1;
            if spins > SPINS {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            state = self.0.state.load(Ordering::Acquire);
        }
        IN_REGION.set(false);
    }
}

/// Runs chunks until there are none left to claim, those of the thread's own deal first.
fn claim(team: &Team, slot: usize, threads: usize, work: &Work<'_>) {
    for i in 0..threads {
        let deal = &team.left[(slot + i) % threads];
        while let Some(chunk) = deal.take(i == 0) {
            work(slot, chunk);
        }
    }
}

/// The life of a helper.
fn serve(team: &'static Team, own: &Helper, slot: usize) {
    IN_REGION.set(true);
    let mut done = 0;
    loop {
        let Some(epoch) = enter(team, done) else {
            rest(team, own, done);
            continue;
        };
        done = epoch;
        let places = team.job.places.load(Ordering::Relaxed);
        if slot <= places {
            // SAFETY: between `enter` and leaving below the region is alive, and so is its work.
            let work = unsafe { *team.job.work.load(Ordering::Relaxed) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| claim(team, slot, places + 1, work))) {
                team.drop_chunks();
                *team.job.panic.lock() = Some(panic);
            }
        }
        team.state.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Enters the open region, unless it is the one numbered `done`.
fn enter(team: &Team, done: u64) -> Option<u64> {
    let mut state = team.state.load(Ordering::Acquire);
    loop {
        if state & OPEN == 0 || state >> 32 == done {
            return None;
        }
        match team.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(state >> 32),
            Err(now) => state = now,
        }
    }
}

/// Waits until there may be a region to enter.
fn rest(team: &Team, own: &Helper, done: u64) {
    let waiting = |state: u64| state & OPEN == 0 || state >> 32 == done;
    for _ in 0..SPINS {
        if !waiting(team.state.load(Ordering::Relaxed)) {
            return;
        }
        std::hint::spin_loop();
    }
    own.sleeping.store(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    while own.sleeping.load(Ordering::Relaxed) && waiting(team.state.load(Ordering::SeqCst)) {
        std::thread::park_timeout(Duration::from_secs(3600));
    }
    own.sleeping.store(false, Ordering::Relaxed);
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
                for _ in 0..20 {
                    parallel(chunks, &|slot, chunk| {
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
        for bad in [0, 63] {
            let caught = catch_unwind(|| {
                parallel(64, &|_, chunk| assert_ne!(chunk, bad, "chunk"));
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
