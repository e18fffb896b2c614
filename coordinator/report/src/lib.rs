//! Reports: what a sweep found and what nights were, as files that people open.
//!
//! [`write()`] turns a table and its timed blocks into a folder of JSON, CSV, Markdown, SVG plots and one self-contained HTML page;
//! [`cells`], [`siblings`], [`table_markdown`] and [`table_csv`] hold the wording that the command line shares with the page. Rendering is pure: only
//! [`write()`] and [`write_history`] touch the file system, and nothing here asks a coordinator, reads a clock or decides what the numbers mean.

use batchstep_core::steptable::Table;
use batchstep_proto::wire;

mod blocks_csv;
pub mod cells;
mod distinct;
mod draw;
mod error;
mod history;
mod markdown;
mod page;
mod plots;
pub mod siblings;
mod table_csv;
mod write;

pub use blocks_csv::blocks_csv;
pub use draw::Theme;
pub use error::ReportError;
pub use history::{
    Acknowledgement, HISTORY_SCHEMA_VERSION, Histories, Hit, NightPoint, NightStep, SeriesHistory,
    Unjudged,
};
pub use markdown::{escape as markdown_text, table_markdown};
pub use page::{html, nights_html};
pub use plots::{devices_picture, history_picture, step_picture, timings_picture};
pub use table_csv::table_csv;
pub use write::{write, write_history};

/// Everything a report says, gathered by the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// The command line that made it, as typed.
    pub command: String,
    /// When, as it should be shown: RFC 3339.
    pub generated_at: String,
    /// Name of the host it was made on.
    pub host: Option<String>,
    /// Name of the preset; `article` adds the article's two plots.
    pub preset: Option<String>,
    /// The rows, with points and fitted curves where there are some.
    pub table: Table,
    /// Every timed block behind the table, in order of series, round and visit.
    pub blocks: Vec<wire::BlockRecord>,
    /// Remarks for the reader of the page: interruptions, devices left out.
    pub notes: Vec<String>,
}
