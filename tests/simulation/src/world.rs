//! One simulation from its first tick to its verdict: builds the hosts, lets time pass, and makes happen what the scenario says.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchstep_agent::Shutdown;
use futures_util::future;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use turmoil::Sim;

use crate::{
    answers::{self, Answer, Key},
    chronicle::Chronicle,
    disk,
    echo::{self, Copies},
    executions::Executions,
    fault::{Fault, QUICK, Silently, Target, Way},
    host::{Agent, Coordinator},
    ledger::SharedLedger,
    network::COORDINATOR,
    operator::{self, Drains, Submitted},
    panics,
    scenario::{Scenario, devices_file},
    store::{EXPIRED, SimulatedStore},
    system, verdict,
};

/// What time is counted in.
const TICK: Duration = Duration::from_millis(20);
/// Simulated time after which a world that has not come to rest never will: what remains after the last fault takes minutes.
const LIMIT: Duration = Duration::from_secs(3600);
/// Simulated time for late reports and copies after the last sweep is over.
const AFTERMATH: Duration = Duration::from_secs(120);
/// Messages that may be on the way or unread on one connection; more would be a defect of the simulation.
const TCP_CAPACITY: usize = 65_536;

/// Broken rules after which a world is left alone.
const ENOUGH: usize = 20;
/// Of a process that simulates: the simulation, what waits for it, and what gives it up.
const THREADS: usize = 3;
/// Host of everyone who asks for sweeps.
const PEOPLE: &str = "people";
/// Host of what the network delivers twice.
const ECHO: &str = "echo";

/// What came of a simulation.
#[derive(Debug)]
pub struct Outcome {
    pub chronicle: Arc<Chronicle>,
    pub answers: BTreeMap<Key, Answer>,
    /// Simulated.
    pub lasted: Duration,
}

/// Runs a scenario with its disks in `folder`.
///
/// # Errors
/// When the disks cannot be made.
pub fn run(scenario: &Scenario, folder: &Path) -> io::Result<Outcome> {
    system::take_over(scenario.seed);
    let mut world = World::new(scenario, folder)?;
    let mut faults: VecDeque<_> = scenario.faults.iter().cloned().collect();
    let aftermath = if scenario.is_disturbed {
        AFTERMATH
    } else {
        Duration::ZERO
    };
    let mut rests_at = None;
    loop {
        while let Some((_, fault)) = faults.pop_front_if(|(at, _)| *at <= world.sim.elapsed()) {
            world.suffer(&fault);
        }
        let stepped = world.sim.step();
        let now = world.sim.elapsed();
        system::set_elapsed(now);
        for panic in panics::take() {
            world.chronicle.violation(panic);
        }
        match stepped {
            Ok(true) if faults.is_empty() || !scenario.is_disturbed => {
                rests_at.get_or_insert(now + aftermath);
            }
            Ok(_) => {}
            Err(error) => {
                world
                    .chronicle
                    .violation(format_args!("a host failed: {error}"));
                break;
            }
        }
        if rests_at.is_some_and(|at| now >= at) {
            break;
        }
        // What is broken stays broken: more of it tells nobody anything.
        if world.chronicle.broken() > ENOUGH {
            break;
        }
        if now >= LIMIT {
            world.chronicle.violation("the world does not come to rest");
            break;
        }
    }
    if !scenario.is_disturbed && world.chronicle.counts().contains_key(EXPIRED) {
        world
            .chronicle
            .violation("a lease ran out and nothing had gone wrong");
    }
    Ok(world.judge())
}

struct World<'a> {
    sim: Sim<'a>,
    chronicle: Arc<Chronicle>,
    ledger: SharedLedger,
    executions: Arc<Executions>,
    coordinator: Coordinator,
    agents: Vec<Agent>,
    part_interval: Duration,
    submitted: Submitted,
    drains: Drains,
    /// Agents whose link is cut or held.
    impaired: BTreeSet<usize>,
}

impl World<'_> {
    fn new(scenario: &Scenario, folder: &Path) -> io::Result<Self> {
        let chronicle = Arc::new(Chronicle::default());
        let ledger = SharedLedger::new(Arc::clone(&chronicle));
        let executions = Arc::new(Executions::new(Arc::clone(&chronicle), ledger.clone()));
        let copies = Copies::new(scenario.seed);
        let coordinator = Coordinator {
            store: SimulatedStore::new(Arc::clone(&chronicle), ledger.clone(), copies.clone()),
            fleet: scenario.fleet.clone(),
            chronicle: Arc::clone(&chronicle),
            stop: Arc::new(Mutex::new(CancellationToken::new())),
        };
        let mut agents = Vec::new();
        for (number, devices) in scenario.agents.iter().enumerate() {
            let agent = Agent {
                number,
                folder: folder.join(format!("agent-{number}")),
                part_interval: scenario.part_interval,
                executions: Arc::clone(&executions),
                chronicle: Arc::clone(&chronicle),
                shutdown: Arc::new(Mutex::new(watch::channel(Shutdown::No).0)),
            };
            fs::create_dir_all(&agent.folder)?;
            fs::write(agent.devices_file(), devices_file(devices))?;
            agents.push(agent);
        }
        let mut world = Self {
            sim: turmoil::Builder::new()
                .rng_seed(scenario.seed)
                .tick_duration(TICK)
                .simulation_duration(Duration::MAX)
                .min_message_latency(Duration::from_millis(1))
                .max_message_latency(QUICK)
                .tcp_capacity(TCP_CAPACITY)
                .enable_random_order()
                .build(),
            chronicle,
            ledger,
            executions,
            coordinator,
            agents,
            part_interval: scenario.part_interval,
            submitted: Submitted::default(),
            drains: Drains::default(),
            impaired: BTreeSet::new(),
        };
        world.populate(scenario, &copies);
        Ok(world)
    }

    fn populate(&mut self, scenario: &Scenario, copies: &Copies) {
        let coordinator = self.coordinator.clone();
        self.sim.host(COORDINATOR, move || {
            on(COORDINATOR.to_owned(), coordinator.clone().run())
        });
        for agent in self.agents.clone() {
            let name = name(agent.number);
            self.sim
                .host(name.clone(), move || on(name.clone(), agent.clone().run()));
        }
        let (copies, chronicle) = (copies.clone(), Arc::clone(&self.chronicle));
        self.sim.host(ECHO, move || {
            echo::run(copies.clone(), Arc::clone(&chronicle))
        });
        let people: Vec<_> = scenario
            .sweeps
            .iter()
            .enumerate()
            .map(|(place, request)| {
                let (submitted, chronicle) =
                    (Arc::clone(&self.submitted), Arc::clone(&self.chronicle));
                operator::measure(place, request.clone(), submitted, chronicle)
            })
            .collect();
        let drains = operator::drain(Arc::clone(&self.drains));
        self.sim.client(PEOPLE, async {
            tokio::select! {
                _ = future::join_all(people) => Ok(()),
                drained = drains => drained,
            }
        });
    }

    /// Makes a fault happen.
    fn suffer(&mut self, fault: &Fault) {
        self.chronicle.note(format_args!("FAULT {fault:?}"));
        // What is so from the beginning does not happen.
        if let Some(name) = fault.name()
            && !self.sim.elapsed().is_zero()
        {
            self.chronicle.count(name);
            self.chronicle.count("faults");
        }
        match fault {
            Fault::Partition(agent, _) | Fault::Hold(agent) => {
                self.impaired.insert(*agent);
            }
            Fault::Repair(agent, _) | Fault::Release(agent) => {
                self.impaired.remove(agent);
            }
            _ => {}
        }
        match fault {
            Fault::Kill(target, silently) => self.kill(*target, *silently),
            Fault::Start(target) => self.sim.bounce(host(*target)),
            Fault::Stop(Target::Coordinator, _) => self.coordinator.signal(),
            Fault::Stop(Target::Agent(agent), how) => self.agents[*agent].signal(*how),
            Fault::Partition(agent, way) => {
                let agent = name(*agent);
                match way {
                    Way::Both => self.sim.partition(agent, COORDINATOR),
                    Way::ToCoordinator => self.sim.partition_oneway(agent, COORDINATOR),
                    Way::ToAgent => self.sim.partition_oneway(COORDINATOR, agent),
                }
            }
            Fault::Repair(agent, way) => {
                let agent = name(*agent);
                match way {
                    Way::Both => self.sim.repair(agent, COORDINATOR),
                    Way::ToCoordinator => self.sim.repair_oneway(agent, COORDINATOR),
                    Way::ToAgent => self.sim.repair_oneway(COORDINATOR, agent),
                }
            }
            Fault::Hold(agent) => self.sim.hold(name(*agent), COORDINATOR),
            Fault::Release(agent) => self.sim.release(name(*agent), COORDINATOR),
            Fault::Slow(agent, latency) => {
                self.sim
                    .set_link_max_message_latency(name(*agent), COORDINATOR, *latency);
            }
            Fault::Disk(disk) => self.coordinator.store.set_disk(*disk),
            Fault::WallClock(whose, seconds) => {
                system::shift_wall_clock(&host(*whose), *seconds);
            }
            Fault::Drain(agent, drain) => {
                if let Some(id) = self.agents[*agent].id() {
                    let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
                    drains.push((id, *drain));
                }
            }
        }
    }

    /// Ends a process; where its machine is gone with it, nobody hears of its connections again.
    fn kill(&mut self, target: Target, silently: Silently) {
        let victim = host(target);
        if !silently {
            self.sim.crash(victim);
            return;
        }
        // What its end sends to others is lost with what was on the way.
        let links = self.links_of(target);
        for (from, to) in &links {
            self.sim.partition_oneway(*from, *to);
        }
        self.sim.crash(victim);
        for (from, to) in &links {
            self.sim.repair_oneway(*from, *to);
        }
        if let Target::Agent(agent) = target
            && let Err(error) = disk::cut_power(&self.agents[agent].state())
        {
            self.chronicle
                .violation(format_args!("a simulated disk failed: {error}"));
        }
    }

    /// Links of a host to others, without those that are cut or held already.
    fn links_of(&self, target: Target) -> Vec<(IpAddr, IpAddr)> {
        let from = self.sim.lookup(host(target));
        let others: Vec<String> = match target {
            Target::Coordinator => [ECHO.to_owned(), PEOPLE.to_owned()]
                .into_iter()
                .chain(
                    self.agents
                        .iter()
                        .filter(|agent| !self.impaired.contains(&agent.number))
                        .map(|agent| name(agent.number)),
                )
                .collect(),
            Target::Agent(agent) if self.impaired.contains(&agent) => Vec::new(),
            Target::Agent(_) => vec![COORDINATOR.to_owned()],
        };
        others
            .into_iter()
            .map(|other| (from, self.sim.lookup(other)))
            .collect()
    }

    fn judge(self) -> Outcome {
        let lasted = self.sim.elapsed();
        let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        if threads > THREADS {
            self.chronicle.violation(format_args!(
                "{threads} threads run: their order is nobody's"
            ));
        }
        // Dropping the world ends what still runs, which is no event any more.
        let executions = self.executions.all();
        verdict::check(
            &self.ledger.lock(),
            &executions,
            &self.agents,
            self.part_interval,
            &self.chronicle,
        );
        self.chronicle.add("executions", executions.len() as u64);
        let submitted = self
            .submitted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.chronicle.add("sweeps", submitted.len() as u64);
        Outcome {
            chronicle: Arc::clone(&self.chronicle),
            answers: answers::answers(self.coordinator.store.memory(), &submitted),
            lasted,
        }
    }
}

/// What runs on a host, with the clocks of that host.
async fn on(host: String, software: impl Future<Output = turmoil::Result>) -> turmoil::Result {
    system::run_as(&host);
    software.await
}

fn host(target: Target) -> String {
    match target {
        Target::Coordinator => COORDINATOR.to_owned(),
        Target::Agent(number) => name(number),
    }
}

fn name(agent: usize) -> String {
    format!("agent-{agent}")
}
