//! Draws simulated nights, to look at every plot of them: `cargo run -p batchstep-report --example history -- FOLDER`. With `--images FOLDER` only
//! the two pictures of the guide, light and dark.

use std::path::{Path, PathBuf};

use batchstep_report::{SeriesHistory, Theme, devices_picture, history_picture, write_history};

#[path = "../tests/common/mod.rs"]
mod common;
use common::nights;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let images_only = arguments
        .next_if(|argument| argument == "--images")
        .is_some();
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "history".into()));
    if images_only {
        return images(&directory);
    }
    let mut series: Vec<SeriesHistory> = nights::fleet(8);
    series.extend(nights::gallery().into_iter().map(|(_, series)| series));
    series.extend(nights::fleet(70).into_iter().map(|mut series| {
        series.workload = "linear of a large fleet".to_owned();
        series
    }));
    for path in write_history(&directory, &series)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// The pictures of the guide.
fn images(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(directory)?;
    let fleet = nights::fleet(8);
    for theme in [Theme::Light, Theme::Dark] {
        for (name, svg) in [
            ("nights-series", history_picture(&fleet[3], Some(theme))),
            ("nights-devices", devices_picture(&fleet, Some(theme))),
        ] {
            let path = directory.join(format!("{name}-{theme}.svg"));
            std::fs::write(&path, svg)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}
