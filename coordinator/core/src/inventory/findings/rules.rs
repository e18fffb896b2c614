//! Which findings there are: each rule with its code, how bad it is, when it is found and what to do. The documentation's table is made of these.

use crate::inventory::{severity::Severity, view::HostView};

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable word for programs.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// When it is found, for the documentation.
    pub when: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

macro_rules! rules {
    ($($key:ident: $code:literal, $severity:ident, $when:literal, $action:literal;)*) => {
        $(
            #[doc = $when]
            pub(super) static $key: Rule = Rule {
                code: $code,
                severity: Severity::$severity,
                when: $when,
                action: $action,
            };
        )*

        /// Every kind of finding, as it is documented.
        pub static RULES: &[&Rule] = &[$(&$key),*];
    };
}

rules! {
    LOST: "lost", Critical,
        "the device does not answer any more: it fell off the bus, or needs a reset",
        "drain the host and reset the GPU (`nvidia-smi --gpu-reset`), or reboot; look for Xid errors in `dmesg`";
    ROW_REMAP_FAILED: "row_remap_failed", Critical,
        "`row_remap_failed` is true: no row was left to replace a broken one",
        "have the board replaced";
    ECC_UNCORRECTED: "ecc_uncorrected", Critical,
        "`ecc_uncorrected` is above 0: results computed since the driver was loaded may be wrong",
        "reset the GPU; if it comes back, have the board replaced";
    NVML_HUNG: "nvml_hung", Critical,
        "`nvml.state` is `hung`: a call does not come back",
        "look for Xid errors in `dmesg`; a hung driver usually needs a reboot";
    NVML_VERSION_MISMATCH: "nvml_version_mismatch", Critical,
        "NVML fails because library and kernel module have different versions, as after an upgrade of the driver",
        "reboot, or unload and load the nvidia kernel modules";
    NVML_FAILED: "nvml_failed", Critical,
        "`nvml.state` is `failed`: NVML does not work; a warning where the host never had a GPU",
        "run `batchstep-agent doctor` on the host";
    VANISHED: "vanished", Warning,
        "a GPU that was there in the last 30 days is on no host any more",
        "if nobody took it out, look for it with `lspci`, and reseat it";
    DUPLICATE_UUID: "duplicate_uuid", Warning,
        "two hosts report the same UUID at the same time: a copied machine, a shared device, or a broken info ROM",
        "find out which host really has the device";
    SHARED_MACHINE_ID: "shared_machine_id", Warning,
        "agents with different host names report the same machine id: a copied disk image",
        "make a new /etc/machine-id on one of the hosts (`systemd-machine-id-setup`) and restart its agent";
    SHARED_HOSTNAME: "shared_hostname", Warning,
        "hosts with different machine ids have the same name",
        "give one of them another name; until then their tables and metrics say the machine id, too";
    ROW_REMAP_PENDING: "row_remap_pending", Warning,
        "`row_remap_pending` is true: a row of memory waits to be replaced",
        "reset the GPU when it is idle";
    RETIRED_PAGES_PENDING: "retired_pages_pending", Warning,
        "`retired_pages_pending` is true: a page of memory waits to be given up",
        "reboot the host, or reset the GPU, when it is idle";
    PCIE_WIDTH: "pcie_width", Warning,
        "`pcie_width` is below `pcie_width_max`: fewer lanes than card and slot can do",
        "reseat the card, or look at riser and slot";
    PCIE_GENERATION: "pcie_generation", Warning,
        "`pcie_generation_max` is lower than that of most devices of its model",
        "look at the slot and at the link speed in the BIOS";
    NVLINK_DOWN: "nvlink_down", Warning,
        "`nvlink_active` is below `nvlink_count`",
        "look at bridges, switches and the fabric manager";
    CLOCKS_SLOWED: "clocks_slowed", Warning,
        "`clock_event_reasons` has a bit for heat, power brake or hardware slowdown now",
        "look at cooling and power supply";
    TEMPERATURE: "temperature", Warning,
        "`temperature_celsius` has reached `temperature_slowdown_celsius`",
        "look at fans, dust and the temperature of the room";
    POWER_LIMIT: "power_limit", Notice,
        "`power_limit_watts` is below `power_limit_default_watts`",
        "raise it with `nvidia-smi --power-limit` unless somebody wants it so";
    ECC_PENDING: "ecc_pending", Notice,
        "`ecc_pending` differs from `ecc_enabled`",
        "reboot the host to make it so";
    MIG_PENDING: "mig_pending", Notice,
        "`mig_pending` differs from `mig_enabled`",
        "reset the GPU to make it so";
    SKEW: "skew", Notice,
        "devices of one model differ in a setting; a warning where it makes one slower than the others",
        "bring them to the same, or compare their results with care";
    AGENT_OFFLINE: "agent_offline", Warning,
        "no agent of the host is connected",
        "start `batchstep-agent run` on the host, and see that it reaches the coordinator";
    STALE_SNAPSHOT: "stale_snapshot", Warning,
        "an agent is connected, and its hardware was last read more than 5 minutes ago",
        "run `batchstep-agent doctor` on the host";
    NO_INVENTORY: "no_inventory", Notice,
        "an agent is connected and has sent no inventory",
        "update the agent";
    PROBLEM: "problem", Notice,
        "something that was read makes no sense",
        "run `batchstep-agent doctor` on the host";
    INELIGIBLE: "ineligible", Notice,
        "no trial may start on the device, and why; not of the GPU of MIG instances, which are measured in its place",
        "do what the sentence says, or measure on another device";
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Stable word for programs: one of [`RULES`].
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where: the machine id; `None`: on several hosts.
    pub machine_id: Option<String>,
    /// That host's name.
    pub hostname: Option<String>,
    /// Of which device.
    pub uuid: Option<String>,
    /// That device's model, or the one that the finding is about.
    pub model: Option<String>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub action: String,
}

impl Finding {
    pub(super) fn new(rule: &'static Rule, message: impl Into<String>) -> Self {
        Self {
            code: rule.code,
            severity: rule.severity,
            machine_id: None,
            hostname: None,
            uuid: None,
            model: None,
            message: message.into(),
            action: rule.action.to_owned(),
        }
    }

    pub(super) fn on(mut self, host: &HostView) -> Self {
        self.machine_id = Some(host.host.machine_id.clone());
        self.hostname = Some(host.hostname());
        self
    }
}
