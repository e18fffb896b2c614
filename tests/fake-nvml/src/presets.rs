//! Devices as they are told apart in practice, each a TOML file of its own in `presets/`. `{n}` in it is the device's place in the world's file, two
//! digits.

/// The presets' names.
pub const NAMES: [&str; 7] = [
    "h200",
    "a100_mig",
    "t4",
    "rtx_laptop",
    "gb10",
    "v100",
    "future",
];

/// A preset's fields, for a device at `index`.
pub fn table(name: &str, index: usize) -> Result<toml::Table, String> {
    let text = match name {
        "h200" => include_str!("presets/h200.toml"),
        "a100_mig" => include_str!("presets/a100_mig.toml"),
        "t4" => include_str!("presets/t4.toml"),
        "rtx_laptop" => include_str!("presets/rtx_laptop.toml"),
        "gb10" => include_str!("presets/gb10.toml"),
        "v100" => include_str!("presets/v100.toml"),
        "future" => include_str!("presets/future.toml"),
        other => {
            return Err(format!(
                "no preset is called `{other}`; there are {}",
                NAMES.join(", ")
            ));
        }
    };
    toml::from_str(&text.replace("{n}", &format!("{:02}", index % 100)))
        .map_err(|error| format!("preset {name}: {error}"))
}
