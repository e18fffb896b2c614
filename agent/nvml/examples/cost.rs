//! What a look at the GPUs costs: `cargo run --release -p batchstep-nvml --example cost`. Reads whatever `libnvidia-ml.so.1` the loader finds.
//!
//! Prints processor time and wall time for each kind of reading, and beside them the processor time of reading `/proc/stat` in the same run.

use std::{collections::BTreeSet, fs, process::ExitCode, time::Instant};

use batchstep_nvml::{Depth, Root, Session};

const READINGS: u32 = 200;

fn main() -> ExitCode {
    let mut session = match Session::open(Root::default(), "here") {
        Ok(session) => session,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    let mut seen = BTreeSet::new();
    let first = match session.survey(Depth::Full, &mut seen) {
        Ok(survey) => survey,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    println!("{} GPUs, {READINGS} readings each", first.gpus.len());
    let reference = measure(|| {
        let _ = fs::read_to_string("/proc/stat");
    });
    let uuid = first.gpus.first().map(|gpu| gpu.uuid()).unwrap_or_default();
    let rows = [
        (
            "everything",
            measure(|| {
                let _ = session.survey(Depth::Full, &mut seen);
            }),
        ),
        (
            "live values",
            measure(|| {
                let _ = session.survey(Depth::Live, &mut seen);
            }),
        ),
        (
            "one sample of one GPU",
            measure(|| {
                let _ = session.sample(&uuid);
            }),
        ),
    ];
    println!(
        "{:24} {:>12} {:>12} {:>20}",
        "", "CPU ms", "wall ms", "times /proc/stat"
    );
    for (name, (cpu, wall)) in rows {
        println!(
            "{name:24} {:12.3} {:12.3} {:20.1}",
            cpu * 1e3,
            wall * 1e3,
            cpu / reference.0
        );
    }
    ExitCode::SUCCESS
}

/// Processor time of the whole process and wall time, seconds per call.
fn measure(mut call: impl FnMut()) -> (f64, f64) {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    for _ in 0..READINGS {
        call();
    }
    let each = |seconds: f64| seconds / f64::from(READINGS);
    (
        each(cpu_seconds() - cpu),
        each(wall.elapsed().as_secs_f64()),
    )
}

fn cpu_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    usage.map_or(0.0, |usage| {
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    })
}
