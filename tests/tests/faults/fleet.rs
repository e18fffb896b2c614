//! A coordinator and three agents as processes that a test kills, stops and starts again, and one sweep over all of them.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use batchstep_tests::{Finished, Lab, Process, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    books,
    network::{Flow, Network},
};

/// Agents of a fleet.
pub const AGENTS: usize = 3;

/// Two devices without scatter: whatever happens around them, a batch size takes the time of its law, to the nanosecond.
const DEVICES: &str = "
[[device]]
model = 'Sixteen'
law = { constant = 0.004, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }

[[device]]
model = 'Twelve'
law = { constant = 0.003, slope = 1e-5, combs = [{ period = 12, jump = 0.0008 }] }
";

/// Device seconds that pass in one: a sweep takes about twenty seconds, so that faults meet it at work.
const SPEED: u32 = 2;

/// What every sweep here measures.
const SWEEP: [&str; 9] = [
    "sweep",
    "run",
    "--detach",
    "--workload",
    "linear",
    "--batch-sizes",
    "1-64",
    "--budget",
    "10m",
];

/// A process of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Coordinator,
    Agent(usize),
}

/// The processes, and what those before them have said.
pub struct Fleet {
    pub lab: Lab,
    pub network: Network,
    coordinator: Option<Process>,
    agents: [Option<Process>; AGENTS],
    /// Of agents that have ended.
    said: [String; AGENTS],
    devices: PathBuf,
    sweep: Option<(String, Process)>,
}

/// A sweep at its end.
pub struct Outcome {
    /// `batchstep sweep watch --format json`.
    pub table: Value,
    /// Fastest and slowest block, in seconds per iteration, by device model and batch size.
    pub blocks: Vec<books::Range>,
}

impl Fleet {
    /// A fleet that takes about twenty seconds for a sweep.
    pub fn new() -> Self {
        Self::at_speed(SPEED)
    }

    /// The same with another number of device seconds in one: for a sweep that is to meet many faults.
    pub fn at_speed(speed: u32) -> Self {
        Self::with_devices(&format!("speed = {speed}\n{DEVICES}"))
    }

    /// The same with other simulated devices on each agent.
    pub fn with_devices(devices: &str) -> Self {
        let lab = Lab::new();
        let url = lab.url();
        let address = url.trim_start_matches("http://").parse::<SocketAddr>();
        let network = Network::to(address.expect("an address and a port"));
        let file = lab.path("devices.toml");
        fs::write(&file, devices).expect("the lab's folder can be written");
        let mut fleet = Self {
            lab,
            network,
            coordinator: None,
            agents: [const { None }; AGENTS],
            said: [const { String::new() }; AGENTS],
            devices: file,
            sweep: None,
        };
        fleet.start(Who::Coordinator);
        for index in 0..AGENTS {
            fleet.start(Who::Agent(index));
        }
        fleet
    }

    /// Starts a process that is not running, on the folder of the one before it, and waits until it serves or is connected.
    pub fn start(&mut self, who: Who) {
        match who {
            Who::Coordinator => {
                // Agents come back when the test goes on, however long its own questions took.
                self.network.set_both(Flow::Held);
                self.coordinator = Some(self.lab.start_coordinator().0);
                self.network.set_both(Flow::Free);
            }
            Who::Agent(index) => {
                self.start_unconnected(index);
                let agent = self.agents[index].as_mut().expect("it was started");
                agent.wait_for_stderr("Connected.");
            }
        }
    }

    /// Starts an agent without waiting for its connection.
    pub fn start_unconnected(&mut self, index: usize) {
        assert!(self.agents[index].is_none(), "agent {index} is running");
        let mut command = self.agent_command(index);
        let process = Process::start(&format!("agent {index}"), &mut command);
        self.agents[index] = Some(process);
    }

    fn agent_command(&self, index: usize) -> Command {
        // Gone with the test, however that ends.
        let run = ["run", "--exit-with-parent", "--log-format", "json"];
        let mut command = self.lab.agent_command(&run);
        command
            .args(["--coordinator", &self.network.url()])
            .arg("--state-dir")
            .arg(self.state_dir(index))
            .arg("--simulate")
            .arg(&self.devices);
        command
    }

    /// Where an agent keeps what must not be lost.
    pub fn state_dir(&self, index: usize) -> PathBuf {
        self.lab.path(&format!("agent-{index}"))
    }

    /// A running process.
    pub fn process(&self, who: Who) -> &Process {
        let process = match who {
            Who::Coordinator => &self.coordinator,
            Who::Agent(index) => &self.agents[index],
        };
        process
            .as_ref()
            .unwrap_or_else(|| panic!("{who:?} is not running"))
    }

    pub fn signal(&self, who: Who, signal: Signal) {
        self.process(who).signal(signal);
    }

    /// Waits for the end of a process that was told to end, and keeps what it said.
    pub fn ended(&mut self, who: Who) -> Finished {
        let process = match who {
            Who::Coordinator => &mut self.coordinator,
            Who::Agent(index) => &mut self.agents[index],
        };
        let end = process.take().expect("it was running").finish();
        if let Who::Agent(index) = who {
            self.said[index].push_str(&end.stderr);
            self.said[index].push('\n');
        }
        end
    }

    /// Ends a process without a warning.
    pub fn kill(&mut self, who: Who) {
        self.signal(who, Signal::SIGKILL);
        let _ = self.ended(who);
    }

    /// Ends a process as an administrator would, and checks that it ends well.
    pub fn stop(&mut self, who: Who) -> Finished {
        self.signal(who, Signal::SIGTERM);
        let end = self.ended(who);
        assert_eq!(end.code(), 0, "{who:?}: {}", end.stderr);
        end
    }

    /// Submits the sweep and follows it.
    pub fn submit(&mut self) {
        let end = self.lab.ask(&SWEEP);
        assert_eq!(end.code(), 0, "{}", end.stderr);
        let id = end.stdout.split_whitespace().last().expect("an id");
        self.follow(id.to_owned());
    }

    fn follow(&mut self, id: String) {
        let watch = ["sweep", "watch", &id, "--format", "json"];
        let mut command = self.lab.batchstep(&watch);
        command.env("BATCHSTEP_COORDINATOR", self.lab.url());
        let watch = Process::start("batchstep sweep watch", &mut command);
        self.sweep = Some((id, watch));
    }

    /// Everything that an agent has written to its log, over all its processes.
    pub fn said(&self, index: usize) -> String {
        let now = self.agents[index].as_ref().map(Process::stderr);
        format!("{}{}", self.said[index], now.unwrap_or_default())
    }

    /// Rounds that agents have begun.
    pub fn rounds_begun(&self) -> usize {
        (0..AGENTS).map(|index| self.rounds_begun_by(index)).sum()
    }

    /// Rounds that one agent has begun.
    pub fn rounds_begun_by(&self, index: usize) -> usize {
        self.said(index).matches("A round begins.").count()
    }

    /// Waits until so many further rounds have begun, and then so much longer: a moment within a sweep, however busy this machine is.
    pub fn work_on(&mut self, rounds: usize, then: Duration) {
        let wanted = self.rounds_begun() + rounds;
        self.at_work_until("rounds to begin", |fleet| fleet.rounds_begun() >= wanted);
        thread::sleep(then);
    }

    /// The same of one agent's rounds.
    pub fn work_on_agent(&mut self, index: usize, rounds: usize, then: Duration) {
        let wanted = self.rounds_begun_by(index) + rounds;
        self.at_work_until("an agent's rounds to begin", |fleet| {
            fleet.rounds_begun_by(index) >= wanted
        });
        thread::sleep(then);
    }

    /// Waits for a connection that was to be disturbed to carry something: `before` is how many were when the fault was set.
    pub fn network_hit(&mut self, before: usize) {
        self.at_work_until("bytes on the line", |fleet| fleet.network.hits() > before);
    }

    /// Keeps the fleet at work until something is the case: where the sweep ends before that, it is checked and the next one takes its place.
    fn at_work_until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        loop {
            let at_work = eventually(what, || {
                let reached = reached(self);
                (reached || self.is_over()).then_some(reached)
            });
            if at_work {
                return;
            }
            self.ends_undisturbed();
            self.submit();
        }
    }

    fn is_over(&mut self) -> bool {
        let (_, watch) = self.sweep.as_mut().expect("a sweep was submitted");
        watch.has_ended()
    }

    /// Waits until every agent has given up its connection.
    pub fn wait_until_all_are_cut_off(&mut self) {
        eventually("all agents to notice that they are cut off", || {
            let all = (0..AGENTS).all(|index| {
                let said = self.said(index);
                let place = |text| said.rfind(text);
                place("The connection to the coordinator was lost") > place("Connected.")
            });
            all.then_some(())
        });
    }

    /// Cuts all connections while no round of an agent is under way and some wait there, and leaves them cut.
    pub fn cut_off_between_rounds_of(&mut self, index: usize) {
        loop {
            self.work_on_agent(index, 2, Duration::ZERO);
            self.network.set_both(Flow::Held);
            self.network.cut();
            self.wait_until_all_are_cut_off();
            eventually("what runs to end", || {
                let ended = self.said(index).matches("A round ended.").count();
                (ended == self.rounds_begun_by(index)).then_some(())
            });
            if books::count(&self.state_dir(index).join("accepted")) > 0 {
                return;
            }
            self.network.set_both(Flow::Free);
        }
    }

    /// The identity of an agent that has run.
    pub fn agent_id(&self, index: usize) -> String {
        let file = self.state_dir(index).join("agent_id");
        let id = fs::read_to_string(file).expect("it has an identity");
        id.trim().to_owned()
    }

    /// Reports that wait in an agent's spool.
    pub fn spooled_by(&self, index: usize) -> usize {
        books::spooled(&self.state_dir(index))
    }

    /// Reports that wait in all spools.
    pub fn spooled(&self) -> usize {
        (0..AGENTS).map(|index| self.spooled_by(index)).sum()
    }

    /// Waits for the sweep's end and checks the books.
    pub fn outcome(&mut self) -> Outcome {
        let (id, watch) = self.sweep.take().expect("a sweep was submitted");
        let end = watch.finish();
        assert_eq!(end.code(), 0, "{}", end.stderr);
        books::balance(self, &id);
        Outcome {
            table: end.json(),
            blocks: books::blocks(self, &id),
        }
    }

    /// Waits for the sweep's end and checks that the faults have left no trace in it.
    pub fn ends_undisturbed(&mut self) {
        static UNDISTURBED: OnceLock<Outcome> = OnceLock::new();
        let outcome = self.outcome();
        let undisturbed = UNDISTURBED.get_or_init(|| {
            let mut fleet = Self::with_devices(&format!("speed = 'instant'\n{DEVICES}"));
            fleet.submit();
            fleet.outcome()
        });
        books::same(&outcome, undisturbed);
    }
}

/// Runs `act` and says that it was over within `limit`, a bound that the product promises and a loaded machine can keep.
pub fn within<T>(limit: Duration, what: &str, act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = act();
    let took = began.elapsed();
    assert!(took < limit, "{what} took {took:?}, more than {limit:?}");
    result
}
