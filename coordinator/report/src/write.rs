//! The folders of reports and of nights: renders everything first, writes each file under a temporary name, and renames them at the end, so that a full disk or an
//! interruption leaves an earlier report whole. The only module of this crate that touches the file system.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::draw::Picture;
use crate::history::{Histories, SeriesHistory};
use crate::plots::{self, Plot, nights};
use crate::{Report, ReportError, Theme, blocks_csv, markdown, page, table_csv};

/// Folder of the plots within the report.
const PLOTS: &str = "plots";

/// Writes `results.json`, `blocks.csv`, `table.csv`, `table.md`, `report.html` and `plots/*.svg` into `directory`, which is made if it does not
/// exist, and returns their paths in that order. Files of an earlier report are replaced, and its plots of other rows are removed.
///
/// # Errors
/// When the folder cannot be made, or a file cannot be written or removed; the error names it.
pub fn write(directory: &Path, report: &Report) -> Result<Vec<PathBuf>, ReportError> {
    replace(directory, &render(report)?, plots::is_file_name)
}

/// Writes `nights.html`, `history.json` and the plots `plots/history-*.svg` (each series over its nights) and `plots/devices-*.svg` (the devices of
/// a model beside each other, where there are two) into `directory`, which is made if it does not exist, and returns their paths in that order.
/// Files of earlier nights are replaced, and plots of series that are no longer there are removed; a report in the same folder is left alone.
///
/// # Errors
/// When the folder cannot be made, or a file cannot be written or removed; the error names it.
pub fn write_history(
    directory: &Path,
    series: &[SeriesHistory],
) -> Result<Vec<PathBuf>, ReportError> {
    replace(directory, &render_history(series)?, nights::is_file_name)
}

/// Writes `files` into `directory`, all or none, and then removes the plots that `is_plot` knows by name and that are not among them.
fn replace(
    directory: &Path,
    files: &[(String, String)],
    is_plot: fn(&str) -> bool,
) -> Result<Vec<PathBuf>, ReportError> {
    let plots = directory.join(PLOTS);
    fs::create_dir_all(&plots).map_err(|source| ReportError::CreateDirectory {
        path: plots.clone(),
        source,
    })?;
    let mut staged = Staged::default();
    for (name, content) in files {
        staged.write(directory.join(name), content)?;
    }
    let written = staged.publish()?;
    remove_earlier_plots(&plots, &written, is_plot)?;
    Ok(written)
}

/// Removes plots that this report does not have; leaves everything that is not named like a plot.
fn remove_earlier_plots(
    folder: &Path,
    written: &[PathBuf],
    is_plot: fn(&str) -> bool,
) -> Result<(), ReportError> {
    let written: HashSet<&PathBuf> = written.iter().collect();
    let failed = |path: &Path, source| ReportError::RemoveFile {
        path: path.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let entry = entry.map_err(|source| failed(folder, source))?;
        let path = entry.path();
        let is_earlier =
            entry.file_name().to_str().is_some_and(is_plot) && !written.contains(&path);
        if is_earlier {
            fs::remove_file(&path).map_err(|source| failed(&path, source))?;
        }
    }
    Ok(())
}

/// Every file by its path within the report folder.
fn render(report: &Report) -> Result<Vec<(String, String)>, ReportError> {
    let rows = || report.table.rows.iter().map(|detailed| &detailed.row);
    let mut files = vec![
        json("results.json", serde_json::to_string_pretty(&report.table))?,
        (
            "blocks.csv".to_owned(),
            blocks_csv(&report.blocks).map_err(|source| ReportError::Csv {
                file: "blocks.csv",
                source,
            })?,
        ),
        (
            "table.csv".to_owned(),
            table_csv::render(rows()).map_err(|source| ReportError::Csv {
                file: "table.csv",
                source,
            })?,
        ),
        (
            "table.md".to_owned(),
            markdown::render(&rows().collect::<Vec<_>>()),
        ),
        ("report.html".to_owned(), page::html(report)),
    ];
    for (index, row) in report.table.rows.iter().enumerate() {
        let stem = plots::file_stem(index, &row.row);
        for plot in plots::of(row, report.preset.as_deref()) {
            let Plot { name, svg } = &plot;
            for theme in [Theme::Light, Theme::Dark] {
                files.push((
                    format!("{PLOTS}/{}", plots::file_name(&stem, name, theme)),
                    svg.standalone(theme),
                ));
            }
        }
    }
    Ok(files)
}

/// Every file of nights by its path within the folder.
fn render_history(series: &[SeriesHistory]) -> Result<Vec<(String, String)>, ReportError> {
    let mut files = vec![
        (
            "nights.html".to_owned(),
            page::nights_html(series, Some(PLOTS)),
        ),
        // Without line breaks: a year of a fleet has a hundred thousand nights.
        json(
            "history.json",
            serde_json::to_string(&Histories::from(series.to_vec())),
        )?,
    ];
    let mut plot = |name: &dyn Fn(Theme) -> String, picture: &Picture| {
        for theme in [Theme::Light, Theme::Dark] {
            files.push((
                format!("{PLOTS}/{}", name(theme)),
                picture.standalone(theme),
            ));
        }
    };
    for group in nights::groups(series) {
        if let Some(devices) = group.devices() {
            plot(&|theme| group.file_name(theme), &devices);
        }
        for member in &group.members {
            plot(&|theme| member.file_name(theme), &member.picture());
        }
    }
    Ok(files)
}

/// What a serializer of JSON made, as the file of this name.
fn json(
    file: &'static str,
    serialized: serde_json::Result<String>,
) -> Result<(String, String), ReportError> {
    let mut json = serialized.map_err(|source| ReportError::Json { file, source })?;
    json.push('\n');
    Ok((file.to_owned(), json))
}

/// Files under temporary names. Whatever still has its temporary name when this is dropped is removed.
#[derive(Default)]
struct Staged {
    /// Temporary and final path.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Staged {
    fn write(&mut self, path: PathBuf, content: &str) -> Result<(), ReportError> {
        let mut name = path
            .file_name()
            .map(std::ffi::OsStr::to_owned)
            .unwrap_or_default();
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(name);
        let written = fs::File::create(&temporary).and_then(|mut file| {
            self.files.push((temporary, path.clone()));
            file.write_all(content.as_bytes())?;
            file.sync_data()
        });
        written.map_err(|source| ReportError::WriteFile { path, source })
    }

    fn publish(self) -> Result<Vec<PathBuf>, ReportError> {
        for (temporary, path) in &self.files {
            fs::rename(temporary, path).map_err(|source| ReportError::WriteFile {
                path: path.clone(),
                source,
            })?;
        }
        Ok(self.files.iter().map(|(_, path)| path.clone()).collect())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (temporary, _) in &self.files {
            // Fails for published files, which have another name by now; nothing better can be done about the others.
            let _ = fs::remove_file(temporary);
        }
    }
}
