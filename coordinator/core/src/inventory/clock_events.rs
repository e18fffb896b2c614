//! The bits of `clock_event_reasons`: what NVML's numbers are called, and which of them are bad news. Bits that are not here stay in the raw number.

/// One reason why the clocks are not higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockEvent {
    /// As the driver sets it.
    pub bit: u64,
    /// Stable word for programs.
    pub word: &'static str,
    /// What slows the device down against everybody's wish, and what to do; `None` for a bit that is part of normal work.
    pub complaint: Option<(&'static str, &'static str)>,
}

/// Every known bit, ascending.
pub const KNOWN: [ClockEvent; 9] = [
    normal(0x1, "gpu_idle"),
    normal(0x2, "application_clocks_setting"),
    normal(0x4, "software_power_cap"),
    ClockEvent {
        bit: 0x8,
        word: "hardware_slowdown",
        complaint: Some((
            "the hardware halves its clocks, for heat, for power, or because something else asks for it",
            "look at its cooling and power supply",
        )),
    },
    normal(0x10, "sync_boost"),
    ClockEvent {
        bit: 0x20,
        word: "software_thermal_slowdown",
        complaint: Some((
            "the driver lowers the clocks because chip or memory are too hot",
            "improve the air flow, or lower the power limit",
        )),
    },
    ClockEvent {
        bit: 0x40,
        word: "hardware_thermal_slowdown",
        complaint: Some((
            "the hardware lowers the clocks because it is too hot",
            "look at fans, dust and the temperature of the room",
        )),
    },
    ClockEvent {
        bit: 0x80,
        word: "hardware_power_brake",
        complaint: Some((
            "the power supply asks for less",
            "look at the power supply of the host and its cables",
        )),
    },
    normal(0x100, "display_clock_setting"),
];

const fn normal(bit: u64, word: &'static str) -> ClockEvent {
    ClockEvent {
        bit,
        word,
        complaint: None,
    }
}
