//! Made-up machines: each has a name, a kernel and GPUs of its own, and runs the real agent.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{Agent, FakeNvml, Finished, Lab, Process, fake_nvml};

/// A machine of a lab.
#[derive(Debug)]
pub struct Host {
    name: String,
    folder: PathBuf,
    /// Its GPUs.
    pub nvml: FakeNvml,
}

impl Host {
    /// A machine with this name and these GPUs, given as in [`FakeNvml::write`].
    ///
    /// # Panics
    /// When the lab's folder cannot be written.
    #[must_use]
    pub fn new(lab: &Lab, name: &str, gpus: &str) -> Self {
        let folder = lab.path(name);
        let host = Self {
            name: name.to_owned(),
            nvml: FakeNvml::new(&folder),
            folder,
        };
        host.nvml.write(gpus);
        host.write("etc/hostname", name);
        host.write("etc/machine-id", &format!("machine {name}"));
        host.write("proc/sys/kernel/osrelease", "6.12.0-lab");
        host.write(
            "proc/meminfo",
            "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n",
        );
        host.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Test CPU\n");
        host.describe(&[]);
        host
    }

    /// Writes a file of the machine, such as `proc/sys/kernel/osrelease`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        let folder = path.parent().expect("a file has a folder");
        fs::create_dir_all(folder).expect("the lab's folder can be written");
        fs::write(path, text).expect("the lab's folder can be written");
    }

    /// Lets the worker of this machine say that CUDA reaches these GPUs, and that its libtorch is the published one.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn describe(&self, uuids: &[&str]) {
        self.describe_with(uuids, None);
    }

    /// The same where CUDA has something to complain of.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn describe_with(&self, uuids: &[&str], problem: Option<&str>) {
        let devices: Vec<Value> = uuids
            .iter()
            .map(|uuid| {
                json!({"uuid": uuid, "name": "by CUDA", "multiprocessors": 132, "memory_bytes": 1_u64 << 34, "compute_capability": "9.0"})
            })
            .collect();
        let description = json!({
            "libtorch_built": "2.11.0", "libtorch_loaded": "2.11.0", "cuda": "13.0",
            "cuda_architectures": ["7.5", "8.0", "8.6", "9.0", "10.0", "12.0"], "devices": devices,
            "cuda_problem": problem,
        });
        self.write("../description.json", &description.to_string());
        let script = format!("#!/bin/sh\ncat <<'END'\n{description}\nEND\n");
        let fresh = self.folder.join("worker.new");
        fs::write(&fresh, script).expect("the lab's folder can be written");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).expect("its mode is ours");
        fs::rename(fresh, self.worker()).expect("the lab's folder can be written");
    }

    /// Where the machine's file system is.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn worker(&self) -> PathBuf {
        self.folder.join("worker")
    }

    /// `batchstep-agent` on this machine.
    #[must_use]
    pub fn agent(&self, lab: &Lab, arguments: &[&str]) -> Command {
        self.agent_with(lab, &self.worker(), arguments)
    }

    /// The same with another worker.
    #[must_use]
    pub fn agent_with(&self, lab: &Lab, worker: &Path, arguments: &[&str]) -> Command {
        let mut command = lab.agent_command(arguments);
        self.nvml.env(&mut command);
        let description = fs::read_to_string(self.folder.join("description.json"));
        command
            // For a scripted worker; the usual one has it in itself.
            .env(
                "SCRIPTED_WORKER_DESCRIPTION",
                description.expect("it was written"),
            )
            .env("BATCHSTEP_HOST_ROOT", self.root())
            .env("BATCHSTEP_LOCK_DIR", self.folder.join("locks"))
            .env("BATCHSTEP_WORKER", worker);
        command
    }

    /// What `batchstep-agent inventory` says there.
    #[must_use]
    pub fn inventory(&self, lab: &Lab) -> Finished {
        Process::run(
            "batchstep-agent inventory",
            &mut self.agent(lab, &["inventory", "--format", "json"]),
        )
    }

    /// Starts the agent, which looks again many times a second.
    #[must_use]
    pub fn start(&self, lab: &Lab) -> Agent {
        self.start_with(lab, &self.worker(), &[])
    }

    /// The same with another worker and further arguments.
    #[must_use]
    pub fn start_with(&self, lab: &Lab, worker: &Path, arguments: &[&str]) -> Agent {
        let mut command = self.run_command(lab, worker);
        command.args(arguments);
        self.connected(&mut command)
    }

    /// Starts the agent with the simulated devices of this file, and no worker.
    #[must_use]
    pub fn start_simulating(&self, lab: &Lab, devices: &Path) -> Agent {
        let mut command = self.run_command(lab, &self.worker());
        command.env_remove("BATCHSTEP_WORKER").arg("--simulate").arg(devices);
        self.connected(&mut command)
    }

    fn run_command(&self, lab: &Lab, worker: &Path) -> Command {
        let url = lab.url();
        let mut command = self.agent_with(lab, worker, &["run", "--coordinator", &url]);
        command
            .env("BATCHSTEP_TELEMETRY_INTERVAL", "100ms")
            .env("BATCHSTEP_INVENTORY_INTERVAL", "200ms")
            .arg("--state-dir")
            .arg(self.folder.join("state"));
        command
    }

    fn connected(&self, command: &mut Command) -> Agent {
        let mut process = Process::start(&self.name, command);
        process.wait_for_stderr("Connected");
        Agent(process)
    }
}

/// The TOML of a device of a preset with a UUID of its own, to which further lines may be added.
#[must_use]
pub fn card(preset: &str, uuid: &str) -> String {
    format!("{}uuid = \"{uuid}\"\n", fake_nvml::device(preset))
}
