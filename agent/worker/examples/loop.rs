//! The production loop under another program's command, for comparisons: one block per line `go` on standard input, one JSON line per
//! block on standard output. `tests/bench/python_loop.py` speaks the same protocol.
//!
//! `cargo run -p batchstep-worker --example loop -- --workload linear --batch-size 32 --threads 1 --blocks 30 --iterations 1000`; `--device cuda` takes the first visible GPU.

use std::{
    io::{BufRead as _, Write as _},
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use batchstep_proto::domain::{Dtype, Mode, Timing};
use batchstep_worker::{
    cuda::{self, Driver, Preload},
    failure::Failure,
    measure::{Subject as _, block, pace},
    session::{Place, Session, SessionKey},
};
use serde_json::json;

struct Options {
    key: SessionKey,
    batch_size: u32,
    blocks: u32,
    iterations: Option<u32>,
    cuda: bool,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        key: SessionKey {
            workload: "linear".parse()?,
            mode: Mode::Train,
            dtype: Dtype::F32,
            seed: 0,
            threads: Some(1),
        },
        batch_size: 32,
        blocks: u32::MAX,
        iterations: None,
        cuda: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        let wrong = || format!("{name} {value}");
        match name.as_str() {
            "--workload" => options.key.workload = value.parse().with_context(wrong)?,
            "--mode" => options.key.mode = value.parse().with_context(wrong)?,
            "--dtype" => options.key.dtype = value.parse().with_context(wrong)?,
            "--seed" => options.key.seed = value.parse().with_context(wrong)?,
            "--threads" => options.key.threads = Some(value.parse().with_context(wrong)?),
            "--batch-size" => options.batch_size = value.parse().with_context(wrong)?,
            "--blocks" => options.blocks = value.parse().with_context(wrong)?,
            "--device" => {
                options.cuda = match value.as_str() {
                    "cpu" => false,
                    "cuda" => true,
                    _ => bail!("unknown device {value}; known: cpu, cuda"),
                }
            }
            "--iterations" => options.iterations = Some(value.parse().with_context(wrong)?),
            _ => bail!("unknown option {name}"),
        }
    }
    Ok(options)
}

fn first_gpu(preload: &Preload) -> anyhow::Result<Place> {
    if *preload != Preload::Loaded {
        bail!("CUDA is not there: {preload:?}");
    }
    let failed = |failure: Failure| anyhow!(failure.message);
    let driver = Driver::load().map_err(failed)?;
    let device = driver
        .devices()
        .map_err(failed)?
        .into_iter()
        .next()
        .context("no GPU is visible")?;
    Ok(Place::Cuda {
        index: device.index,
        driver,
        memory_bytes: device.memory_bytes,
    })
}

fn main() -> anyhow::Result<()> {
    // Before any call into tch.
    let preload = cuda::preload();
    let mut options = options()?;
    let place = if options.cuda {
        options.key.threads = None;
        first_gpu(&preload)?
    } else {
        Place::Cpu
    };
    let mut session = Session::build(&place, &options.key)?;
    session.prepare(options.batch_size)?;
    let timing = Timing::protocol(!options.cuda);
    let stop = AtomicBool::new(false);
    let warm_up = block::warm_up(
        &mut session,
        timing.first_visit_warm_up,
        Duration::from_millis(200),
        None,
        &stop,
    )?;
    let iterations = options
        .iterations
        .unwrap_or_else(|| pace::block_iterations(&timing, warm_up.fastest));
    let mut out = std::io::stdout().lock();
    let ready = json!({"ready": true, "iterations": iterations, "parameters": session.model().parameter_count()});
    writeln!(out, "{ready}")?;
    out.flush()?;
    let mut commands = std::io::stdin().lock().lines();
    for number in 0..options.blocks {
        match commands.next().transpose()?.as_deref() {
            Some("go") => {}
            Some(other) => bail!("unknown command {other:?}; known: go"),
            None => break,
        }
        let timed = block::time(&mut session, iterations, &stop)?;
        let line = json!({
            "block": number,
            "iterations": iterations,
            "seconds_per_iteration": timed.elapsed.as_secs_f64() / f64::from(iterations),
        });
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}
