//! Writes the README's picture of the step, light and dark: `cargo run -p batchstep-report --example readme_picture -- docs/images`.

use std::path::PathBuf;

use batchstep_report::{Theme, step_picture};

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    std::fs::create_dir_all(&directory)?;
    for theme in [Theme::Light, Theme::Dark] {
        let path = directory.join(format!("step-{theme}.svg"));
        std::fs::write(&path, step_picture(theme))?;
        println!("{}", path.display());
    }
    Ok(())
}
