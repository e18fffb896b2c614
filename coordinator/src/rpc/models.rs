//! Models on their way in and out: operators upload, list and remove them, agents download what their rounds name. Called by both services.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    io,
    time::Duration,
};

use batchstep_proto::{
    domain::{InvalidField, ModelUpload, SweepSpec, model_digest},
    limits,
    model::{ModelDigest, ModelHasher},
    wire::{
        self, DownloadModelRequest, FindModelRequest, FindModelResponse, ListModelsResponse, Model,
        ModelChunk, RemoveModelRequest, RemoveModelResponse, UploadModelRequest,
        UploadModelResponse, upload_model_request::Part,
    },
    workload::{ModelSource, WorkloadSpec},
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{invalid, store_failed};
use crate::{
    engine::Engine,
    store::{Content, Found, ModelError, Models, NightlyStore as _, Store, StoredModel},
};

/// An upload that is silent for so long has broken off; its digest is free for another one.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a reader to take the reason why its download ends.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(1);
/// Pieces that may wait for a reader.
const CHUNKS_AHEAD: usize = 2;

/// What an agent downloads.
pub(super) type Chunks = ReceiverStream<Result<ModelChunk, Status>>;

/// Whether a model is here, and what would be taken.
pub(super) fn find(
    models: &Models,
    request: &FindModelRequest,
) -> Result<FindModelResponse, Status> {
    let digest = model_digest("digest", &request.digest).map_err(invalid)?;
    let (complete, received_bytes) = match models.find(&digest) {
        Found::Complete => (true, 0),
        Found::Partial(received) => (false, received),
    };
    Ok(FindModelResponse {
        complete,
        received_bytes,
        limit_bytes: models.limits().one,
    })
}

/// Takes a model in. What came of one that breaks off stays for the next try.
pub(super) async fn upload(
    models: &Models,
    mut parts: Streaming<UploadModelRequest>,
    shutdown: &CancellationToken,
) -> Result<UploadModelResponse, Status> {
    let Some(Part::Begin(announced)) = next(&mut parts, shutdown).await? else {
        let problem = "the first message must be `begin`";
        return Err(invalid(InvalidField::new("part", problem)));
    };
    let announced = ModelUpload::try_from(announced).map_err(invalid)?;
    let (digest, size) = (announced.digest, announced.size);
    let name = announced.name.clone();
    let mut upload = models.begin(announced).await.map_err(refused)?;
    while let Some(part) = next(&mut parts, shutdown).await? {
        let Part::Data(data) = part else {
            return Err(invalid(InvalidField::new("part", "a second `begin`")));
        };
        if data.len() > limits::MODEL_CHUNK_BYTES {
            let most = limits::MODEL_CHUNK_BYTES;
            let problem = format!("{} bytes, more than the {most} allowed", data.len());
            return Err(invalid(InvalidField::new("data", problem)));
        }
        upload = upload.write(&data).await.map_err(refused)?;
    }
    upload.finish().await.map_err(refused)?;
    tracing::info!(%digest, %name, size, "A model was uploaded.");
    Ok(UploadModelResponse {})
}

async fn next(
    parts: &mut Streaming<UploadModelRequest>,
    shutdown: &CancellationToken,
) -> Result<Option<Part>, Status> {
    let message = tokio::select! {
        message = tokio::time::timeout(SILENCE_LIMIT, parts.message()) => message,
        () = shutdown.cancelled() => return Err(Status::unavailable("the coordinator is stopping")),
    };
    let silent = || Status::deadline_exceeded("the upload was silent for too long; begin it again");
    match message.map_err(|_| silent())?? {
        None => Ok(None),
        Some(message) => message
            .part
            .map(Some)
            .ok_or_else(|| invalid(InvalidField::new("part", "is missing"))),
    }
}

/// Every model, newest first.
pub(super) async fn list(
    store: &impl Store,
    engine: &Engine,
) -> Result<ListModelsResponse, Status> {
    let models = store.models();
    let mut in_use = in_use(engine).await?;
    in_use.extend(scheduled(store).await?.into_keys());
    let entry = |model: StoredModel| Model {
        digest: model.digest.as_bytes().to_vec(),
        name: model.name.map_or_else(String::new, |name| name.to_string()),
        size_bytes: model.size,
        uploaded_at: model.uploaded_at.to_string(),
        in_use: in_use.contains(&model.digest),
    };
    let listed = models.list().into_iter().take(limits::MODELS_LISTED);
    Ok(ListModelsResponse {
        models: listed.map(entry).collect(),
        limit_bytes: models.limits().one,
        total_limit_bytes: models.limits().all,
    })
}

/// Removes a model that no active sweep and no schedule needs.
pub(super) async fn remove(
    store: &impl Store,
    engine: &Engine,
    request: &RemoveModelRequest,
) -> Result<RemoveModelResponse, Status> {
    let digest = model_digest("digest", &request.digest).map_err(invalid)?;
    if in_use(engine).await?.contains(&digest) {
        return Err(Status::failed_precondition(format!(
            "an active sweep measures the model {digest}; wait for its end, or cancel it with `batchstep sweep cancel`"
        )));
    }
    if let Some(schedule) = scheduled(store).await?.get(&digest) {
        return Err(Status::failed_precondition(format!(
            "the nights of schedule {schedule} measure the model {digest}; remove the schedule first, with `batchstep schedule remove {schedule}`"
        )));
    }
    let removed = store.models().remove(&digest).map_err(refused)?;
    if removed {
        tracing::info!(%digest, "A model was removed.");
    }
    Ok(RemoveModelResponse { removed })
}

/// The models of active sweeps.
async fn in_use(engine: &Engine) -> Result<BTreeSet<ModelDigest>, Status> {
    let sweeps = engine.sweeps().await?;
    let specs = sweeps.into_iter().filter_map(|sweep| sweep.spec);
    Ok(specs.flat_map(|spec| named_by(&spec)).collect())
}

/// The models of schedules, each with the name of one that needs it.
async fn scheduled(store: &impl Store) -> Result<BTreeMap<ModelDigest, String>, Status> {
    let schedules = store.nightly().schedules().await.map_err(store_failed)?;
    let mut models = BTreeMap::new();
    for stored in schedules {
        // One that cannot be read has no nights, and is told about where they are kept.
        let schedule = wire::Schedule::decode(stored.definition.as_slice());
        let spec = schedule.ok().and_then(|schedule| schedule.sweep);
        let digests = spec.iter().flat_map(named_by);
        models.extend(digests.map(|digest| (digest, stored.name.clone())));
    }
    Ok(models)
}

/// The models that a sweep measures.
fn named_by(spec: &wire::SweepSpec) -> Vec<ModelDigest> {
    let workloads = spec.workloads.iter();
    workloads
        .filter_map(|text| text.parse::<WorkloadSpec>().ok())
        .filter_map(|workload| workload.model().map(|model| model.digest))
        .collect()
}

/// Refuses a sweep whose models are not here.
pub(super) fn require(models: &Models, spec: &SweepSpec) -> Result<(), Status> {
    for workload in &spec.workloads {
        if let WorkloadSpec::TorchScript(network) = workload
            && let ModelSource::File(path) = &network.source
        {
            let problem = format!(
                "{path} is a file, which agents on other hosts cannot see; upload its content and name its digest (model=sha256:..), as the \
                 batchstep command of this version does"
            );
            return Err(invalid(InvalidField::new("spec.workloads", problem)));
        }
        if let Some(model) = workload.model()
            && models.find(&model.digest) != Found::Complete
        {
            return Err(Status::not_found(format!(
                "this coordinator does not have the model {}; give its file once, as in --workload torchscript:path=FILE,..",
                model.digest
            )));
        }
    }
    Ok(())
}

/// Sends a model to an agent.
pub(super) async fn download(
    models: &Models,
    request: &DownloadModelRequest,
    shutdown: CancellationToken,
) -> Result<Chunks, Status> {
    let digest = model_digest("digest", &request.digest).map_err(invalid)?;
    let mut content = models
        .read(&digest)
        .await
        .map_err(refused)?
        .ok_or_else(|| {
            Status::not_found(format!(
                "the coordinator has no model {digest} any more; submit the sweep again with its file"
            ))
        })?;
    let offset = request.offset;
    if offset > content.size() {
        let problem = format!("{offset} is beyond the {} bytes", content.size());
        return Err(invalid(InvalidField::new("offset", problem)));
    }
    content.skip_to(offset).await.map_err(refused)?;
    let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
    let models = models.clone();
    tokio::spawn(async move {
        let sent = async {
            match send(&chunks, content, offset).await {
                Ok(Some(found)) if found != digest => damaged(&models, digest),
                Ok(_) => Ok(()),
                Err(status) => Err(status),
            }
        };
        let outcome = tokio::select! {
            outcome = sent => outcome,
            () = shutdown.cancelled() => Err(Status::unavailable("the coordinator is stopping")),
        };
        if let Err(status) = outcome {
            // A reader that reads nothing is cut off without a word.
            let _ = tokio::time::timeout(LAST_WORD_LIMIT, chunks.send(Err(status))).await;
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// Sends content to its end, or until its reader is gone; its digest, where all of it was read.
async fn send(
    chunks: &mpsc::Sender<Result<ModelChunk, Status>>,
    mut content: Content,
    offset: u64,
) -> Result<Option<ModelDigest>, Status> {
    let mut size_bytes = Some(content.size());
    let mut hasher = ModelHasher::default();
    loop {
        let data = content.next().await.map_err(refused)?;
        let is_last = data.is_empty();
        hasher.update(&data);
        let size_bytes = size_bytes.take();
        let chunk = ModelChunk { size_bytes, data };
        if (!is_last || size_bytes.is_some()) && chunks.send(Ok(chunk)).await.is_err() {
            return Ok(None);
        }
        if is_last {
            return Ok((offset == 0).then(|| hasher.finish()));
        }
    }
}

/// A copy that has changed on our disk is of no use to anybody: without it the next upload brings a good one.
fn damaged(models: &Models, digest: ModelDigest) -> Result<(), Status> {
    tracing::error!(%digest, "A model's file was damaged and is removed.");
    let _ = models.remove(&digest);
    Err(Status::data_loss(format!(
        "the coordinator's copy of the model {digest} was damaged; submit the sweep again with its file"
    )))
}

/// The status for a model that cannot be kept or read.
fn refused(error: ModelError) -> Status {
    let cause = error.source();
    let is_full = cause
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .is_some_and(|cause| {
            matches!(
                cause.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        });
    let message = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    match error {
        ModelError::Complete { .. } => Status::already_exists(message),
        ModelError::Busy { .. } => Status::aborted(message),
        ModelError::WrongOffset { .. } => Status::failed_precondition(message),
        ModelError::NoRoom { .. } => Status::resource_exhausted(message),
        ModelError::TooLarge { .. }
        | ModelError::Incomplete { .. }
        | ModelError::TooLong { .. }
        | ModelError::WrongDigest { .. } => Status::invalid_argument(message),
        ModelError::Disk { .. } => {
            tracing::error!(error = message, "A model cannot be kept or read.");
            if is_full {
                Status::resource_exhausted(message)
            } else {
                Status::internal(message)
            }
        }
    }
}
