//! What Linux tells of memory and processors, for measurements on a CPU. Everything is `None` where /proc does not answer.

use std::{fs, path::Path, sync::Once, time::Duration};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};

/// Keeps freed memory in the process instead of giving it back to the kernel at once.
///
/// Every iteration frees what it allocated. glibc returns large pieces to the kernel, which then hands out and clears the same pages
/// again in the next iteration: a cost of the allocator, half of a small layer's iteration, that starts at some tensor sizes and not at
/// others and so looks like a step of the processor.
pub fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    // The values are glibc's: no piece is mapped by itself, and the heap's top is never trimmed (mallopt(3)).
    // SAFETY: sets two numbers of the allocator.
    ONCE.call_once(|| unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    });
}

/// Gives freed memory back to the kernel, so that the next peak is the next batch's own.
pub fn return_freed_memory() {
    // SAFETY: no preconditions; only pages without live allocations are given back.
    unsafe { libc::malloc_trim(0) };
}

/// Starts a new peak of resident memory.
pub fn reset_peak_resident() {
    // 5 resets the high-water mark (proc(5)). Where that is forbidden the peak covers the whole process.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Highest resident memory since the last reset, bytes.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Resident memory now, bytes.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// What this process could use without pushing others out: what is available and what it holds, within its control group's limit.
#[must_use]
pub fn memory_budget_bytes() -> Option<u64> {
    let held = resident_bytes()?;
    let available = kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let host = available.saturating_add(held);
    let limit = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|groups| control_group_limit(&groups, Path::new("/sys/fs/cgroup")));
    Some(limit.map_or(host, |limit| limit.min(host)))
}

/// The memory limit of the control groups in `groups` (`/proc/self/cgroup`), if they have one, bytes: of version 2, mounted at `root`, and
/// of version 1, whose controller for memory is mounted below it.
fn control_group_limit(groups: &str, root: &Path) -> Option<u64> {
    groups
        .lines()
        .filter_map(|line| {
            let (_, group) = line.split_once(':')?;
            let (controllers, path) = group.split_once(':')?;
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                tightest_limit(root, path, "memory.max")
            } else if controllers.split(',').any(|name| name == "memory") {
                tightest_limit(&root.join("memory"), path, "memory.limit_in_bytes")
            } else {
                None
            }
        })
        .min()
}

/// The least number in the files `name` of a group and of all groups above it. A container may see those above only.
fn tightest_limit(root: &Path, group: &str, name: &str) -> Option<u64> {
    root.join(group)
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| fs::read_to_string(folder.join(name)).ok())
        .filter_map(|limit| limit.trim().parse().ok())
        .min()
}

/// Reads "Name:   123 kB".
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// Processor time that all processes and this one have used so far.
#[derive(Debug, Clone, Copy)]
pub struct LoadMark {
    host: Duration,
    own: Duration,
}

impl LoadMark {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
        let ticks = busy_ticks(&stat)?;
        let own = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok()?;
        Some(Self {
            host: Duration::from_millis(ticks * 1000 / u64::try_from(per_second).ok()?.max(1)),
            own: own.into(),
        })
    }

    /// Cores that other processes kept busy between two marks. The kernel counts in ticks of 10 ms, so short spans are coarse.
    #[must_use]
    pub fn foreign_cores(self, later: Self, elapsed: Duration) -> f64 {
        let host = later.host.saturating_sub(self.host);
        let own = later.own.saturating_sub(self.own);
        host.saturating_sub(own).as_secs_f64() / elapsed.as_secs_f64().max(1e-9)
    }
}

/// Ticks that the processors were not idle: user, nice, system, interrupts; without time the hypervisor took.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal ..
    [0, 1, 2, 5, 6]
        .into_iter()
        .map(|field| fields.get(field).copied())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(
            kibibytes("Name:\tx\nVmHWM:\t    2048 kB\n", "VmHWM:"),
            Some(2 << 20)
        );
        assert_eq!(kibibytes("VmHWM: lots\n", "VmHWM:"), None);
        assert_eq!(
            busy_ticks("cpu  10 20 30 1000 5 7 8 9 0 0\ncpu0 1 1 1 1"),
            Some(75)
        );
        assert_eq!(busy_ticks("intr 1 2 3"), None);
    }

    #[test]
    fn a_peak_is_seen_and_forgotten() {
        const BYTES: usize = 64 << 20;
        reset_peak_resident();
        let before = peak_resident_bytes().unwrap();
        let held = vec![1_u8; BYTES];
        assert!(held.iter().step_by(4096).all(|byte| *byte == 1));
        let during = peak_resident_bytes().unwrap();
        assert!(during >= before + (BYTES as u64) / 2, "{before} {during}");
        drop(held);
        // The kernel counts pages in batches per thread, so the last few are late.
        let slack = 4 << 20;
        assert!(
            peak_resident_bytes().unwrap() + slack >= during,
            "a peak outlives what made it"
        );
        assert!(memory_budget_bytes().unwrap() > 0);
    }

    #[test]
    fn limits_of_both_versions_of_control_groups_are_read() {
        let root = tempfile::tempdir().unwrap();
        let limit = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let read = |groups| control_group_limit(groups, root.path());
        limit("job/memory.max", "5000\n");
        limit("job/step/memory.max", "max\n");
        limit("memory/memory.limit_in_bytes", "9223372036854771712\n");
        limit("memory/batch/memory.limit_in_bytes", "3000\n");
        assert_eq!(read("0::/job/step\n"), Some(5000));
        assert_eq!(read("0::/elsewhere\n"), None);
        let first = "5:cpu,cpuacct:/job\n4:memory:/batch/unseen\n";
        assert_eq!(read(first), Some(3000));
        assert_eq!(read(&format!("{first}0::/job/step\n")), Some(3000));
    }

    #[test]
    fn own_work_is_not_foreign() {
        let mark = |host, own| LoadMark {
            host: Duration::from_millis(host),
            own: Duration::from_millis(own),
        };
        let second = Duration::from_secs(1);
        let cores = mark(1000, 500).foreign_cores(mark(2500, 1500), second);
        assert!((cores - 0.5).abs() < 1e-9);
        assert!(mark(0, 0).foreign_cores(mark(990, 1000), second).abs() < 1e-9);
        assert!(LoadMark::now().is_some());
    }
}
