//! A lab whose nights pass within seconds: a real coordinator that keeps them by a file, real agents on made-up machines, and devices whose times follow laws that
//! change from night to night.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use batchstep_proto::wire::{self, nightly_service_client::NightlyServiceClient};
use batchstep_tests::{Agent, Host, Lab, Process};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// Longest wait for one night. It is over in seconds; the machine may be busy.
const NIGHT_LIMIT: Duration = Duration::from_secs(240);

/// A model of device, and how it is in a night.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// Its name for people.
    pub model: &'static str,
    /// Times over the usual ones.
    pub factor: f64,
    /// Its step, samples.
    pub step: u32,
    /// Version of its driver.
    pub driver: &'static str,
}

/// A machine of the lab.
#[derive(Debug)]
pub struct Machine {
    name: &'static str,
    host: Host,
    agent: Option<Agent>,
}

/// The lab.
pub struct World {
    pub machines: Vec<Machine>,
    coordinator: Option<Process>,
    environment: Vec<(String, String)>,
    runtime: Runtime,
    /// Last: its folder outlives whoever uses it.
    pub lab: Lab,
}

impl World {
    /// Machines of these names, and a coordinator with these variables.
    pub fn new(names: &[&'static str], environment: &[(&str, &str)]) -> Self {
        let lab = Lab::new();
        let machines = names
            .iter()
            .map(|name| Machine {
                name,
                host: Host::new(&lab, name, ""),
                agent: None,
            })
            .collect();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            machines,
            coordinator: None,
            environment,
            runtime,
            lab,
        }
    }

    fn clock(&self) -> PathBuf {
        self.lab.path("clock")
    }

    /// Lets nights know that it is `time`, RFC 3339.
    pub fn set_clock(&self, time: &str) {
        let fresh = self.lab.path("clock.new");
        fs::write(&fresh, time).expect("the lab's folder can be written");
        fs::rename(fresh, self.clock()).expect("the lab's folder can be written");
    }

    /// Starts the coordinator, and waits until it answers.
    pub fn start_coordinator(&mut self) {
        let listen = self.lab.url().replace("http://", "");
        let mut command = self
            .lab
            .batchstep(&["serve", "--listen", &listen, "--data-dir", "data"]);
        command.env("BATCHSTEP_NIGHTS_CLOCK", self.clock());
        command.envs(self.environment.iter().cloned());
        self.coordinator = Some(Process::start("batchstep serve", &mut command));
        batchstep_tests::eventually("the coordinator to answer", || {
            self.lab
                .ask(&["sweep", "list"])
                .status
                .success()
                .then_some(())
        });
    }

    /// Kills it, as the kernel does.
    pub fn kill_coordinator(&mut self) {
        let coordinator = self.coordinator.take().expect("it runs");
        coordinator.signal(Signal::SIGKILL);
        drop(coordinator.finish());
    }

    /// Gives a machine these devices, and starts its agent anew.
    pub fn start_agent(&mut self, machine: usize, devices: &[Device]) {
        let machine = &mut self.machines[machine];
        stop(machine.agent.take());
        let file = self.lab.path(&format!("{}.toml", machine.name));
        let laws: String = devices.iter().map(law).collect();
        fs::write(&file, format!("speed = 'instant'\nseed = 1\n{laws}"))
            .expect("the lab's folder can be written");
        machine.agent = Some(machine.host.start_simulating(&self.lab, &file));
    }

    /// Takes a machine away.
    pub fn stop_agent(&mut self, machine: usize) {
        stop(self.machines[machine].agent.take());
    }

    /// A question to the coordinator.
    pub fn call<T, F>(&self, ask: impl FnOnce(NightlyServiceClient<Channel>) -> F) -> T
    where
        F: Future<Output = Result<T, tonic::Status>>,
    {
        let url = self.lab.url();
        self.runtime
            .block_on(async {
                let client = NightlyServiceClient::connect(url)
                    .await
                    .expect("it answers");
                ask(client).await
            })
            .unwrap_or_else(|status| panic!("{status}"))
    }

    /// The document of a night, once it is over.
    pub fn night(&self, schedule: &str, number: u32) -> Value {
        let began = Instant::now();
        loop {
            let night = self.try_night(schedule, number);
            if let Some(night) = &night
                && ["done", "missed", "abandoned"]
                    .contains(&night["night"]["state"].as_str().unwrap_or(""))
            {
                return night.clone();
            }
            assert!(
                began.elapsed() < NIGHT_LIMIT,
                "night {number} does not end: {night:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The same as it is; `None`: there is none yet.
    pub fn try_night(&self, schedule: &str, number: u32) -> Option<Value> {
        let request = wire::GetNightRequest {
            schedule: Some(schedule.to_owned()),
            which: Some(wire::get_night_request::Which::Number(number)),
        };
        let found = self.call(|mut client| async move {
            match client.get_night(request).await {
                Ok(night) => Ok(Some(night.into_inner().json)),
                Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
                Err(status) => Err(status),
            }
        });
        found.map(|json| serde_json::from_slice(&json).expect("it is JSON"))
    }

    /// Once all series of the newest sweep are done but for so many, which wait.
    pub fn all_done_but(&self, waiting: usize) -> Option<()> {
        let sweep = self.lab.ask_json(&["sweep", "show", "last"]);
        let series = sweep["sweep"]["series"].as_array()?;
        let count = |state: &str| {
            series
                .iter()
                .filter(|series| series["state"] == state)
                .count()
        };
        // Those of a night before are cancelled, and wait for nothing.
        let is_so = count("waiting") == waiting && count("done") + waiting == series.len();
        is_so.then_some(())
    }

    /// Every alarm that there ever was.
    pub fn alarms(&self) -> Vec<Value> {
        let request = wire::ListAlarmsRequest {
            schedule: None,
            since: Some("1970-01-01T00:00:00Z".to_owned()),
        };
        let json = self
            .call(|mut client| async move { client.list_alarms(request).await })
            .into_inner()
            .json;
        let document: Value = serde_json::from_slice(&json).expect("it is JSON");
        document["alarms"].as_array().expect("a list").clone()
    }
}

fn stop(agent: Option<Agent>) {
    if let Some(Agent(process)) = agent {
        process.signal(Signal::SIGTERM);
        drop(process.finish());
    }
}

/// A staircase: every `step` samples another wave of 3 % of the constant.
fn law(device: &Device) -> String {
    let (constant, jump) = (0.004 * device.factor, 0.000_12 * device.factor);
    format!(
        "[[device]]\nmodel = '{}'\ndriver = '{}'\nscatter = {{ sigma = 0.002 }}\nlaw = {{ constant = {constant}, combs = [{{ period = {}, jump = {jump} }}] }}\n",
        device.model, device.driver, device.step
    )
}
