//! The production loop under another program's command, for comparisons: one block per line `go` on standard input, one JSON line per
//! block on standard output. `tests/bench/python_loop.py` speaks the same protocol.
//!
//! `cargo run -p batchstep-worker --example loop -- --workload linear --batch-size 32 --threads 1 --blocks 30 --iterations 1000`

use std::{
    io::{BufRead as _, Write as _},
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context as _, bail};
use batchstep_proto::domain::{Dtype, Mode, Timing};
use batchstep_worker::{
    cuda,
    measure::{Subject as _, block, pace},
    session::{Place, Session, SessionKey},
};
use serde_json::json;

struct Options {
    key: SessionKey,
    batch_size: u32,
    blocks: u32,
    iterations: Option<u32>,
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
            "--iterations" => options.iterations = Some(value.parse().with_context(wrong)?),
            _ => bail!("unknown option {name}"),
        }
    }
    Ok(options)
}

fn main() -> anyhow::Result<()> {
    // Before any call into tch.
    let _preload = cuda::preload();
    let options = options()?;
    let place = Place::Cpu;
    let mut session = Session::build(&place, &options.key)?;
    session.prepare(options.batch_size)?;
    let timing = Timing::protocol(true);
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
