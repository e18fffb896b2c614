//! `batchstep inventory`: what hosts and GPUs there are, what happened to them, and what to look at. Asks the coordinator, which evaluates the filters, and
//! prints its JSON; the modules below each print one kind of answer and ask nothing.

mod cells;
mod changes;
mod fields;
mod health;
mod hosts;
mod hosts_csv;
mod models;

use anyhow::{Context as _, Result};
use batchstep_proto::wire::{
    InventoryFilter, InventoryItem, ListInventoryChangesRequest, ListInventoryRequest,
};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tonic::{Response, Status, Streaming};

use self::cells::SCHEMA_VERSION;
use super::{
    Exit,
    args::{CoordinatorArgs, Format},
    endpoint::{Client, Connection, refusal},
    exit::usage,
    moment::Moment,
    text,
};

/// Changes that a table shows when no time is given.
const CHANGES_SHOWN: usize = 200;

/// Flags of `batchstep inventory`.
#[derive(Debug, Args)]
#[command(
    after_help = "EXPR is FIELD OP VALUE, several joined by commas or `and`. OP is one of = != < <= > >= and ~ (contains); versions are compared number by
number, bytes may have units, flags are yes or no, and `absent` is a value for = and !=. A GPU's fields come before its host's, and short
names do where they are unambiguous. With --health the exit code is 1 when there is a critical finding.

Examples:
  batchstep inventory
  batchstep inventory --by model
  batchstep inventory --model h200 --where 'driver<580'
  batchstep inventory --where 'memory>=80GiB, ecc=no' --format csv
  batchstep inventory --where 'serial=absent'
  batchstep inventory --changes --since 7d
  batchstep inventory --health
  batchstep inventory --fields"
)]
pub(super) struct Options {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// One row for each GPU and MIG instance, host by host, or one for each model.
    #[arg(long, value_enum, default_value = "host", conflicts_with_all = ["changes", "health", "fields"])]
    by: By,
    /// Only devices whose name contains this text; case does not matter. With --changes only what happened to devices, not to their hosts.
    #[arg(long, value_name = "TEXT")]
    model: Option<String>,
    /// Only hosts whose name, machine id or agent id contains this text.
    #[arg(long, value_name = "TEXT")]
    host: Option<String>,
    /// Only devices and hosts for which this holds, as driver<580 (repeatable: all must hold).
    #[arg(long = "where", value_name = "EXPR")]
    expressions: Vec<String>,
    /// What happened: devices that came, went and moved, and every field that changed.
    #[arg(long, conflicts_with_all = ["health", "fields"])]
    changes: bool,
    /// With --changes: from then on; a time such as 2026-11-24T08:00:00Z, a day such as 2026-11-24 (UTC), or how long ago, such as 36h or 7d.
    #[arg(long, value_name = "TIME", requires = "changes")]
    since: Option<Moment>,
    /// With --changes: before then; written as --since.
    #[arg(long, value_name = "TIME", requires = "changes")]
    until: Option<Moment>,
    /// What somebody should look at, the worst first.
    #[arg(long, conflicts_with = "fields")]
    health: bool,
    /// Every field there is, with type, unit, meaning and source; asks no coordinator.
    #[arg(long, conflicts_with_all = ["model", "host", "expressions"])]
    fields: bool,
    /// Also hosts that have been away, and GPUs that have been gone, for more than 30 days; JSON and CSV always have them.
    #[arg(long, conflicts_with_all = ["changes", "health", "fields"])]
    all: bool,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `--by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Host by host.
    Host,
    /// Model by model.
    Model,
}

/// What one question is answered with.
struct Answer {
    /// The name of the list in the JSON.
    name: &'static str,
    items: Vec<Json>,
}

/// Prints the inventory.
///
/// # Errors
/// When the coordinator cannot be asked, or refuses a filter.
pub(super) async fn run(options: Options) -> Result<Exit> {
    if options.fields {
        fields::print(options.format)?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    if let (Some(since), Some(until)) = (options.since, options.until)
        && since.before(now) >= until.before(now)
    {
        return Err(usage(
            "--since is not before --until; the earlier time comes first, as --since 2h --until 1h",
        ));
    }
    let mut connection = Connection::open(&options.coordinator).await?;
    let filter = InventoryFilter {
        host: options.host.clone(),
        model: options.model.clone(),
        r#where: options.expressions.clone(),
    };
    let is_filtered = filter != InventoryFilter::default();
    let mut answer = ask(&mut connection.client, &options, filter).await?;
    let nothing = if answer.items.is_empty() {
        Some(why_nothing(&mut connection.client, &options, is_filtered).await?)
    } else {
        None
    };
    if matches!(options.format, Format::Table | Format::Markdown) {
        shorten(&options, &mut answer.items);
    }
    match (options.format, &nothing) {
        (Format::Json, _) => {
            let mut object = json!({"schema_version": SCHEMA_VERSION});
            object[answer.name] = answer.items.clone().into();
            let json =
                serde_json::to_string_pretty(&object).context("cannot write the answer as JSON")?;
            text::print_line(&text::harmless_json(&json))?;
        }
        (Format::Table, Some(nothing)) => text::print_line(nothing)?,
        (Format::Table, None) if answer.items.is_empty() => {
            text::print_line("Nothing of it was seen in the last 30 days.")?;
        }
        (format, _) => print(&options, &answer.items, format)?,
    }
    if connection.is_embedded() && !answer.items.is_empty() && !options.changes {
        eprintln!(
            "Shown is what was last known: no agent is connected to a coordinator that runs only for this command."
        );
    }
    connection.close().await?;
    let is_critical = |finding: &Json| finding["severity"] == "critical";
    Ok(if options.health && answer.items.iter().any(is_critical) {
        Exit::BadNews
    } else {
        Exit::Done
    })
}

async fn ask(client: &mut Client, options: &Options, filter: InventoryFilter) -> Result<Answer> {
    if options.changes {
        let now = Timestamp::now();
        let time = |moment: Option<Moment>| moment.map(|moment| moment.before(now).to_string());
        let request = ListInventoryChangesRequest {
            filter: Some(filter),
            since: time(options.since),
            until: time(options.until),
        };
        let items = collect(client.list_inventory_changes(request).await).await?;
        return Ok(Answer {
            name: "changes",
            items,
        });
    }
    let request = ListInventoryRequest {
        filter: Some(filter),
    };
    let (name, answered) = match (options.health, options.by) {
        (true, _) => ("findings", client.list_inventory_findings(request).await),
        (false, By::Model) => ("models", client.list_inventory_models(request).await),
        (false, By::Host) => ("hosts", client.list_inventory(request).await),
    };
    Ok(Answer {
        name,
        items: collect(answered).await?,
    })
}

/// Leaves out of what people read what hardly anybody wants to, and says so.
fn shorten(options: &Options, items: &mut Vec<Json>) {
    if options.changes {
        let more = items.len().saturating_sub(CHANGES_SHOWN);
        if options.since.is_none() && more > 0 {
            items.drain(..more);
            eprintln!(
                "Shown are the newest {CHANGES_SHOWN} changes, {more} more are known; `--since 7d` shows all since then, `--format json` all."
            );
        }
    } else if options.by == By::Host && !options.health && !options.all {
        let (hosts, gpus) = leave_out_retired(items);
        if hosts + gpus > 0 {
            eprintln!(
                "Not shown: {} and {} that nobody has seen for 30 days; --all shows them.",
                text::count(hosts, "host"),
                text::count(gpus, "GPU")
            );
        }
    }
}

/// Removes what is away for good; how many hosts, and GPUs of the others.
fn leave_out_retired(hosts: &mut Vec<Json>) -> (u64, u64) {
    let is_retired = |it: &Json| it["retired"] == true;
    let before = hosts.len();
    hosts.retain(|host| !is_retired(host));
    let mut gone = 0;
    for host in hosts.iter_mut() {
        if let Some(gpus) = host["gpus"].as_array_mut() {
            let before = gpus.len();
            gpus.retain(|gpu| !is_retired(gpu));
            gone += before - gpus.len();
        }
    }
    ((before - hosts.len()) as u64, gone as u64)
}

async fn collect(
    answered: Result<Response<Streaming<InventoryItem>>, Status>,
) -> Result<Vec<Json>> {
    let mut stream = answered.map_err(refusal)?.into_inner();
    let mut items = Vec::new();
    while let Some(item) = stream.message().await.map_err(refusal)? {
        let json = serde_json::from_slice(&item.json).context(
            "the coordinator's inventory is of a form that this batchstep does not know",
        )?;
        items.push(json);
    }
    Ok(items)
}

/// What an empty answer means, and what to do.
async fn why_nothing(client: &mut Client, options: &Options, is_filtered: bool) -> Result<String> {
    let all = ListInventoryRequest { filter: None };
    let hosts = collect(client.list_inventory(all).await).await?;
    if hosts.is_empty() {
        return Ok(format!(
            "No host has reported yet. On every host: batchstep-agent run --coordinator URL --state-dir DIR{}",
            if options.changes || options.health {
                ""
            } else {
                "; then ask again."
            }
        ));
    }
    let gpus: usize = hosts
        .iter()
        .map(|host| host["gpus"].as_array().map_or(0, Vec::len))
        .sum();
    let known = format!(
        "{} with {}",
        text::count(hosts.len() as u64, "host"),
        text::count(gpus as u64, "GPU")
    );
    Ok(match (is_filtered, options.changes, options.health) {
        (true, true, _) => format!(
            "No change of what matches in this time; {known} are known. Without --host, --model and --where all changes are listed."
        ),
        (false, true, _) => format!("No change in this time; {known} are known."),
        (true, _, true) => format!("No finding among what matches; {known} are known."),
        (false, _, true) => format!("Nothing to look at: {known}, and no finding."),
        (true, ..) => format!(
            "Nothing matches; {known} are known. `batchstep inventory --fields` lists what can be asked for."
        ),
        (false, ..) => format!("No GPU among {known}."),
    })
}

fn print(options: &Options, items: &[Json], format: Format) -> Result<()> {
    if options.changes {
        changes::print(items, format)
    } else if options.health {
        health::print(items, format)
    } else {
        match (options.by, format) {
            (By::Model, _) => models::print(items, format),
            (By::Host, Format::Csv) => hosts_csv::print(items),
            (By::Host, _) => hosts::print(items, format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_for_good_is_left_out_and_counted() {
        let mut hosts = vec![
            json!({"hostname": "old", "retired": true, "gpus": [{"retired": false}]}),
            json!({"hostname": "new", "retired": false, "gpus": [{"retired": true}, {"retired": false}]}),
        ];
        assert_eq!(leave_out_retired(&mut hosts), (1, 1));
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0]["gpus"].as_array().unwrap().len(), 1);
    }
}
