//! Figures as a person reads them, and as a program does.

use std::{fs, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

/// What was measured, in order.
#[derive(Default)]
pub struct Page {
    figures: Vec<Value>,
}

impl Page {
    /// Begins a table.
    pub fn table(&self, title: &str, columns: &[&str]) {
        println!("\n## {title}\n\n| {} |", columns.join(" | "));
        println!("|{}", "---|".repeat(columns.len()));
    }

    /// Prints a row of it, and keeps `figure` for the program.
    pub fn row(&mut self, cells: &[String], mut figure: Value) {
        println!("| {} |", cells.join(" | "));
        figure["cells"] = json!(cells);
        self.figures.push(figure);
    }

    /// Prints a line of text.
    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Writes what was kept.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec_pretty(&self.figures)?)?;
        Ok(())
    }
}
