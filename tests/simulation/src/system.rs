//! The operating system of a simulated process: its randomness and its clocks come from the seed and from simulated time.
//!
//! Everything random below coordinator, agent and libraries (ids, jitter, the order in which tokio polls, hash maps) ends in `getrandom`, and every clock
//! in `clock_gettime`: the two are defined here, so the linker binds the whole program to them, and no other source has to be found. Called by the
//! world; this and `disk` are the only unsafe code of the package.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::runtime::{self, Handle};

/// Seconds since 1970 at the beginning of every simulation: 2026-01-01.
const BEGINNING: i64 = 1_767_225_600;
/// Where the monotonic clock begins. Not 0: programs subtract from it.
const UPTIME: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;

static TAKEN_OVER: AtomicBool = AtomicBool::new(false);
static RANDOM: AtomicU64 = AtomicU64::new(0);
static ELAPSED_NS: AtomicI64 = AtomicI64::new(0);
static WALL_CLOCKS: Mutex<WallClocks> = Mutex::new(WallClocks {
    off_ns: BTreeMap::new(),
    runtimes: Vec::new(),
});

/// The wall clocks of the hosts, each of which has a runtime of its own.
struct WallClocks {
    /// By how much each is off, by name of the host.
    off_ns: BTreeMap<String, i64>,
    /// Whose a runtime is. One that is gone may leave its number to another.
    runtimes: Vec<(runtime::Id, String)>,
}

/// From here on this process is simulated: `seed` decides what is random, and time stands still until it is set.
pub fn take_over(seed: u64) {
    RANDOM.store(seed, Relaxed);
    ELAPSED_NS.store(0, Relaxed);
    let mut clocks = wall_clocks();
    clocks.off_ns.clear();
    clocks.runtimes.clear();
    drop(clocks);
    TAKEN_OVER.store(true, Relaxed);
}

/// Sets simulated time.
pub fn set_elapsed(elapsed: Duration) {
    ELAPSED_NS.store(nanos(elapsed), Relaxed);
}

/// Simulated time.
pub fn elapsed() -> Duration {
    Duration::from_nanos(ELAPSED_NS.load(Relaxed).unsigned_abs())
}

/// Lets the wall clock of a host jump; its monotonic one goes on as it did.
pub fn shift_wall_clock(host: &str, seconds: i64) {
    let mut clocks = wall_clocks();
    let off = clocks.off_ns.entry(host.to_owned()).or_default();
    *off = off.saturating_add(seconds.saturating_mul(NANOS));
}

/// Says whose the runtime is that calls: what runs on it sees that host's wall clock.
pub fn run_as(host: &str) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let id = runtime.id();
    let mut clocks = wall_clocks();
    clocks.runtimes.retain(|(other, _)| *other != id);
    clocks.runtimes.push((id, host.to_owned()));
}

/// By how much the wall clock is off that is asked here: that of the host on whose runtime this is.
fn wall_clock_off_ns() -> i64 {
    let Ok(runtime) = Handle::try_current() else {
        return 0;
    };
    let id = runtime.id();
    let clocks = wall_clocks();
    let mut runtimes = clocks.runtimes.iter();
    let host = runtimes.find(|(other, _)| *other == id);
    let off = host.and_then(|(_, host)| clocks.off_ns.get(host));
    off.copied().unwrap_or(0)
}

fn wall_clocks() -> MutexGuard<'static, WallClocks> {
    WALL_CLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// True from [`take_over`] on.
pub fn is_simulated() -> bool {
    TAKEN_OVER.load(Relaxed)
}

/// The next random number: SplitMix64.
pub fn random() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = RANDOM.fetch_add(STEP, Relaxed).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// In the place of the C library's.
///
/// # Safety
/// `buffer` is writable for `length` bytes, as the C library demands.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if !is_simulated() {
        // SAFETY: the caller's promise is the kernel's condition.
        let written = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return libc::ssize_t::try_from(written).unwrap_or(-1);
    }
    if length > 0 {
        // SAFETY: the caller promises that so many bytes are writable; none of them is read.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random().to_le_bytes()[..chunk.len()]);
        }
    }
    libc::ssize_t::try_from(length).unwrap_or(-1)
}

/// In the place of the C library's.
///
/// # Safety
/// `time` is writable, as the C library demands.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    if !is_simulated() {
        // SAFETY: the caller's promise is the kernel's condition.
        let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return libc::c_int::try_from(result).unwrap_or(-1);
    }
    let elapsed = ELAPSED_NS.load(Relaxed);
    let (seconds, nanos) = if clock == libc::CLOCK_REALTIME {
        let shown = elapsed.saturating_add(wall_clock_off_ns());
        (BEGINNING + shown.div_euclid(NANOS), shown.rem_euclid(NANOS))
    } else {
        (UPTIME + elapsed / NANOS, elapsed % NANOS)
    };
    // SAFETY: the caller promises that it is writable.
    unsafe {
        time.write(libc::timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        });
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_wall_clock_of_its_own() {
        let runtime = || {
            let mut builder = runtime::Builder::new_current_thread();
            builder.build().expect("a runtime needs nothing")
        };
        let (one, other) = (runtime(), runtime());
        one.block_on(async { run_as("one") });
        other.block_on(async { run_as("other") });
        shift_wall_clock("one", 5);
        shift_wall_clock("one", 2);
        let off = |runtime: &runtime::Runtime| runtime.block_on(async { wall_clock_off_ns() });
        assert_eq!((off(&one), off(&other)), (7 * NANOS, 0));
        assert_eq!(wall_clock_off_ns(), 0);
    }
}
