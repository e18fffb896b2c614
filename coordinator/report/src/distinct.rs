//! What a reader needs in order to tell the rows of one table apart: whole workload specs where names alone are ambiguous, versions where they
//! differ. Used by the Markdown table and the page.

use std::collections::BTreeSet;

use batchstep_core::steptable::Row;
use batchstep_proto::domain::Software;

use crate::cells;

/// The workload's name where that is unambiguous among `rows`, otherwise its whole spec.
pub(crate) fn workload(row: &Row, rows: &[&Row]) -> String {
    if rows
        .iter()
        .any(|other| other.workload == row.workload && other.parameters != row.parameters)
    {
        cells::workload_spec(row)
    } else {
        row.workload.clone()
    }
}

/// The setting, with those versions that differ among the rows of the same device model.
pub(crate) fn setting(row: &Row, rows: &[&Row]) -> String {
    type Version = fn(&Software) -> &Option<String>;
    let versions: [(&str, Version); 5] = [
        ("driver", |software| &software.driver),
        ("libtorch", |software| &software.libtorch),
        ("CUDA", |software| &software.cuda),
        ("cuDNN", |software| &software.cudnn),
        ("batchstep", |software| &software.batchstep),
    ];
    let mut setting = cells::setting(row);
    for (name, version) in versions {
        let seen: BTreeSet<&Option<String>> = rows
            .iter()
            .filter(|other| other.device_model == row.device_model)
            .map(|other| version(&other.software))
            .collect();
        if seen.len() > 1 {
            let known = version(&row.software).as_deref().unwrap_or("unknown");
            setting = format!("{setting} · {name} {known}");
        }
    }
    setting
}
