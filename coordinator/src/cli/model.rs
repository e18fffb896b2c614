//! `batchstep model ..`: what people's own networks the coordinator keeps. They come with `sweep run` and `local`; here they are listed and removed.

use anyhow::Result;
use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::{domain::model_digest, model::ModelDigest, size::Size, wire};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Exit,
    args::{CoordinatorArgs, ListFormat},
    endpoint::{Client, Connection, refusal},
    exit, grid, sweep_view, text,
};

/// The commands about models.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the models that the coordinator keeps.
    List(List),
    /// Remove one; what was measured with it is kept.
    Remove(Remove),
}

/// Flags of `batchstep model list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep model list
  batchstep model list --format json")]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// Flags of `batchstep model remove`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep model remove net.pt
  batchstep model remove sha256:3f2a9c01be12")]
pub(super) struct Remove {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its name, its digest, or the beginning of that, where it is unique.
    #[arg(value_name = "MODEL")]
    model: String,
}

/// Runs one of them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::List(options) => list(options).await,
        Command::Remove(options) => remove(options).await,
    }
}

async fn list(options: List) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let answer = all(&mut connection.client).await?;
    match options.format {
        ListFormat::Json => {
            let models = answer
                .models
                .iter()
                .map(as_json)
                .collect::<Result<Vec<_>>>()?;
            text::print_json(&json!({
                "schema_version": SCHEMA_VERSION,
                "models": models,
                "limit_bytes": answer.limit_bytes,
                "total_limit_bytes": answer.total_limit_bytes,
            }))?;
        }
        ListFormat::Table => text::print_line(&for_people(&answer)?)?,
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn all(client: &mut Client) -> Result<wire::ListModelsResponse> {
    let answer = client.list_models(wire::ListModelsRequest {}).await;
    Ok(answer.map_err(refusal)?.into_inner())
}

fn as_json(model: &wire::Model) -> Result<serde_json::Value> {
    Ok(json!({
        "model": digest(model)?.to_string(),
        "name": (!model.name.is_empty()).then_some(&model.name),
        "size_bytes": model.size_bytes,
        "uploaded_at": model.uploaded_at,
        "in_use": model.in_use,
    }))
}

fn digest(model: &wire::Model) -> Result<ModelDigest> {
    Ok(model_digest("models.digest", &model.digest)?)
}

fn for_people(answer: &wire::ListModelsResponse) -> Result<String> {
    let mut table = grid::grid();
    table.set_header(["name", "model", "size", "uploaded", "in use"]);
    for model in &answer.models {
        table.add_row([
            model.name.clone(),
            digest(model)?.short(),
            Size(model.size_bytes).to_string(),
            sweep_view::when(&model.uploaded_at),
            if model.in_use { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let taken: u64 = answer.models.iter().map(|model| model.size_bytes).sum();
    let room = format!(
        "{} of {} taken; one model may have {}",
        Size(taken),
        Size(answer.total_limit_bytes),
        Size(answer.limit_bytes)
    );
    Ok(if answer.models.is_empty() {
        format!("no models; {room}")
    } else {
        format!("{}\n{room}", grid::trim_lines(&table.to_string()))
    })
}

async fn remove(options: Remove) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let models = all(&mut connection.client).await?.models;
    let wanted = options.model.as_str();
    let mut matching = Vec::new();
    for model in &models {
        let digest = digest(model)?;
        let begins = |text: &str| !wanted.is_empty() && text.starts_with(&wanted.to_lowercase());
        if model.name == wanted || begins(&digest.to_string()) || begins(&digest.hex()) {
            matching.push((model, digest));
        }
    }
    let (model, digest) = match matching.as_slice() {
        [one] => *one,
        [] => {
            return Err(exit::usage(format!(
                "the coordinator has no model {wanted:?}; `batchstep model list` shows those it has"
            )));
        }
        several => {
            return Err(exit::usage(format!(
                "{} models are meant by {wanted:?}; write more of the digest, as `batchstep model list` shows it",
                several.len()
            )));
        }
    };
    let request = wire::RemoveModelRequest {
        digest: model.digest.clone(),
    };
    connection
        .client
        .remove_model(request)
        .await
        .map_err(refusal)?;
    eprintln!(
        "Removed {} ({}, {}).",
        model.name,
        Size(model.size_bytes),
        digest.short()
    );
    connection.close().await?;
    Ok(Exit::Done)
}
