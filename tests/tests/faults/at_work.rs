//! Real workers, with libtorch, that are killed, stand still and hang in the middle of a round.

use std::{thread, time::Duration};

use batchstep_laws::Random;
use batchstep_tests::{Agent, Lab, Process, eventually};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{books, random::seed};

/// Twelve batch sizes of a small network, one block of a fixed length each: quick, and answered however busy this machine is.
const SWEEP: [&str; 17] = [
    "sweep",
    "run",
    "--detach",
    "--workload",
    "linear:inputs=64,outputs=64",
    "--threads",
    "1",
    "--batch-sizes",
    "1-12",
    "--devices",
    "cpu",
    "--budget",
    "2m",
    "--precision",
    "20%",
    "--iterations",
    "200",
];

/// A coordinator, an agent and a sweep that a real worker measures.
struct Measuring {
    lab: Lab,
    agent: Agent,
    watch: Process,
    _coordinator: batchstep_tests::Coordinator,
}

impl Measuring {
    fn begin() -> Self {
        let lab = Lab::new();
        let coordinator = lab.start_coordinator();
        let agent = lab.start_agent_with("agent", &["--log-format", "json"]);
        let end = lab.ask(&SWEEP);
        assert_eq!(end.code(), 0, "{}", end.stderr);
        let mut watch = lab.batchstep(&["sweep", "watch", "last", "--format", "json"]);
        let watch = Process::start(
            "batchstep sweep watch",
            watch.env("BATCHSTEP_COORDINATOR", lab.url()),
        );
        Self {
            lab,
            agent,
            watch,
            _coordinator: coordinator,
        }
    }

    /// The worker, once it is in the middle of its so-manieth round.
    fn worker_in_round(&self, number: usize) -> Pid {
        eventually("a round of a worker", || {
            let begun = self.agent.0.stderr().matches("A round begins.").count();
            let worker = Lab::workers_of(&self.agent.0).first().copied();
            worker.filter(|_| begun >= number).map(Pid::from_raw)
        })
    }

    /// Every batch size is measured, whatever happened, and all that was measured is on record once.
    fn answers_everything(self) {
        let end = self.watch.finish();
        let states = [self.lab.path("agent")];
        books::kept(&self.lab, "last", &states, |_| self.agent.0.stderr());
        let row = end.json()["rows"][0].clone();
        assert_eq!(row["batch_sizes_measured"], 12, "{row}\n{}", end.stderr);
        let blocks = self.lab.ask(&["export", "last", "--format", "csv"]).stdout;
        assert_eq!(
            blocks.lines().count() as u64,
            1 + row["blocks"].as_u64().expect("a count"),
            "one line for each block and none twice"
        );
    }
}

#[test]
fn a_worker_that_is_killed_at_any_moment_of_a_round_is_replaced() {
    let measuring = Measuring::begin();
    let worker = measuring.worker_in_round(2);
    let mut random = Random::named("killed worker", seed());
    thread::sleep(Duration::from_millis(random.whole(0, 500).into()));
    kill(worker, Signal::SIGKILL).expect("the worker lives");
    measuring.answers_everything();
}

#[test]
fn a_worker_that_stands_still_for_a_while_goes_on() {
    let measuring = Measuring::begin();
    let worker = measuring.worker_in_round(2);
    kill(worker, Signal::SIGSTOP).expect("the worker lives");
    thread::sleep(Duration::from_secs(2));
    kill(worker, Signal::SIGCONT).expect("the worker lives");
    measuring.answers_everything();
}

/// A hung worker costs its round, when that is over its time; one minute of it is the allowance for starting a worker.
#[test]
fn a_worker_that_hangs_is_killed_when_its_round_is_over_time() {
    let mut measuring = Measuring::begin();
    let worker = measuring.worker_in_round(2);
    kill(worker, Signal::SIGSTOP).expect("the worker lives");
    measuring.agent.0.wait_for_stderr("over its time limit");
    eventually("the end of the worker", || {
        kill(worker, None).is_err().then_some(())
    });
    measuring.answers_everything();
}
