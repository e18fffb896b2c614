//! What can go wrong while a report is rendered or written. Each variant names the file; the cause is its source.

use std::path::PathBuf;

/// A report that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder for the report cannot be made.
    #[error("cannot create the report folder {}: make its parent writable, or choose another folder with --output", path.display())]
    CreateDirectory {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the report cannot be written.
    #[error("cannot write {}: check that its folder is writable and has space left, or choose another folder with --output", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A plot of an earlier report cannot be removed.
    #[error("cannot remove {} of an earlier report: remove it yourself, or choose another folder with --output", path.display())]
    RemoveFile {
        /// The file, or the folder that cannot be listed.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A CSV file cannot be rendered.
    #[error("cannot render {file}")]
    Csv {
        /// Its name in the report folder.
        file: &'static str,
        /// What the CSV writer said.
        source: csv::Error,
    },
    /// The JSON cannot be rendered.
    #[error("cannot render {file}")]
    Json {
        /// Its name in the report folder.
        file: &'static str,
        /// What the JSON writer said.
        source: serde_json::Error,
    },
}
