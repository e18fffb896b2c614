//! Hands the networks that a sweep names as files to the coordinator, and puts their digests in the files' place. Called by `sweep run` and `local`
//! before they submit; after it no host needs to see the files.

use std::{
    fs,
    io::{self, Read as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use batchstep_proto::{
    domain::{ModelUpload, SweepSpec},
    limits::MODEL_CHUNK_BYTES,
    model::{ModelDigest, ModelHasher, ModelName},
    size::Size,
    wire::{self, UploadModelRequest, upload_model_request::Part},
    workload::{ModelRef, ModelSource, WorkloadSpec},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::{
    endpoint::{Client, refusal},
    exit,
};

/// How what torch.jit.save writes begins: as every ZIP archive.
const ARCHIVE: &[u8; 4] = b"PK\x03\x04";
/// Pause before an upload that broke off goes on.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries in a row that bring nothing new before an upload is given up.
const TRIES: u32 = 5;
/// The same while somebody else uploads the content: the coordinator gives up a silent one after half a minute.
const TRIES_BEHIND_OTHERS: u32 = 60;
/// Uploads of so many bytes take long enough to be announced.
const TOLD_FROM: u64 = 64 << 20;
/// Pieces that may wait for the network.
const CHUNKS_AHEAD: usize = 2;

/// A file, read once.
struct Model {
    path: PathBuf,
    name: ModelName,
    digest: ModelDigest,
    size: u64,
}

/// Finds out before anything is started that a file cannot be read.
///
/// # Errors
/// Names the file and the flag.
pub(super) fn check(spec: &SweepSpec) -> Result<()> {
    for path in spec.workloads.iter().filter_map(file) {
        let unusable = |what: String| exit::usage(format!("--workload: {path}: {what}"));
        let (mut opened, about) = fs::File::open(path)
            .and_then(|opened| opened.metadata().map(|about| (opened, about)))
            .map_err(|error| unusable(format!("cannot be read: {error}")))?;
        if !about.is_file() {
            return Err(unusable("is not a file".to_owned()));
        }
        if about.len() == 0 {
            return Err(unusable(
                "is empty; torch.jit.save writes the network".to_owned(),
            ));
        }
        let mut begins = [0; ARCHIVE.len()];
        if opened.read_exact(&mut begins).is_err() || begins != *ARCHIVE {
            return Err(unusable(
                "is no TorchScript archive; torch.jit.save writes one, of a traced or scripted network".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Uploads what the coordinator does not have yet, and names every file of `spec` by its content.
///
/// # Errors
/// When a file cannot be read or is too large, or the coordinator does not take it.
pub(super) async fn hand_over(client: &mut Client, spec: &mut SweepSpec) -> Result<()> {
    for workload in &mut spec.workloads {
        let WorkloadSpec::TorchScript(network) = workload else {
            continue;
        };
        let ModelSource::File(path) = &network.source else {
            continue;
        };
        let model = read(PathBuf::from(path)).await?;
        upload(client, &model).await?;
        network.source = ModelSource::Content(ModelRef {
            digest: model.digest,
            name: Some(model.name),
        });
    }
    Ok(())
}

fn file(workload: &WorkloadSpec) -> Option<&str> {
    match workload {
        WorkloadSpec::TorchScript(network) => match &network.source {
            ModelSource::File(path) => Some(path),
            ModelSource::Content(_) => None,
        },
        _ => None,
    }
}

async fn read(path: PathBuf) -> Result<Model> {
    let name = ModelName::of_file(&path)
        .ok_or_else(|| exit::usage(format!("--workload: {} names no file", path.display())))?;
    let (path, hashed) = tokio::task::spawn_blocking(move || {
        let hashed = hash(&path);
        (path, hashed)
    })
    .await
    .context("reading a model was interrupted")?;
    let (digest, size) =
        hashed.with_context(|| format!("--workload: cannot read {}", path.display()))?;
    Ok(Model {
        path,
        name,
        digest,
        size,
    })
}

fn hash(path: &Path) -> io::Result<(ModelDigest, u64)> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; MODEL_CHUNK_BYTES];
    let (mut hasher, mut size) = (ModelHasher::default(), 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Brings a model to the coordinator, going on where a try broke off.
async fn upload(client: &mut Client, model: &Model) -> Result<()> {
    let (mut fruitless, mut received) = (0, 0);
    let short = model.digest.short();
    loop {
        let request = wire::FindModelRequest {
            digest: model.digest.as_bytes().to_vec(),
        };
        let found = client
            .find_model(request)
            .await
            .map_err(refusal)?
            .into_inner();
        if found.complete {
            eprintln!("The coordinator has {} ({short}).", model.name);
            return Ok(());
        }
        if model.size > found.limit_bytes {
            return Err(exit::usage(format!(
                "--workload: {} is too large: {} ({} bytes), and the coordinator takes {} ({} bytes) for one model; raise its limit with \
                 --max-model-size",
                model.path.display(),
                Size(model.size),
                model.size,
                Size(found.limit_bytes),
                found.limit_bytes,
            )));
        }
        if found.received_bytes > received {
            fruitless = 0;
        }
        received = found.received_bytes;
        let offset = received.min(model.size);
        if model.size >= TOLD_FROM {
            eprintln!(
                "Uploading {} ({} of {} to go) ..",
                model.name,
                Size(model.size - offset),
                Size(model.size)
            );
        }
        match send(client, model, offset).await? {
            Ok(()) => {
                eprintln!("Uploaded {} ({}, {short}).", model.name, Size(model.size));
                return Ok(());
            }
            Err(status) => {
                fruitless += 1;
                let tries = match status.code() {
                    Code::Aborted => TRIES_BEHIND_OTHERS,
                    // The next look finds it, or where the next try is to begin.
                    Code::AlreadyExists | Code::FailedPrecondition => TRIES,
                    Code::Unavailable | Code::DeadlineExceeded | Code::Unknown => TRIES,
                    // What was there before was not its beginning, and is gone now.
                    Code::InvalidArgument if offset > 0 => TRIES,
                    _ => 0,
                };
                if fruitless >= tries {
                    return Err(
                        refusal(status).context(format!("cannot upload {}", model.path.display()))
                    );
                }
                if fruitless == 1 {
                    eprintln!("The upload of {} waits: {}", model.name, status.message());
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Sends a model from `offset` on; the inner error is the coordinator's.
async fn send(client: &mut Client, model: &Model, offset: u64) -> Result<Result<(), Status>> {
    let (parts, queue) = mpsc::channel(CHUNKS_AHEAD);
    let begin = wire::ModelUpload::from(ModelUpload {
        digest: model.digest,
        name: model.name.clone(),
        size: model.size,
        offset,
    });
    let path = model.path.clone();
    let reader = tokio::spawn(async move {
        let mut file = tokio::fs::File::open(&path).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        let mut part = Part::Begin(begin);
        loop {
            let message = UploadModelRequest { part: Some(part) };
            if parts.send(message).await.is_err() {
                // The coordinator has answered already.
                return Ok(());
            }
            let mut data = Vec::with_capacity(MODEL_CHUNK_BYTES);
            let mut piece = (&mut file).take(MODEL_CHUNK_BYTES as u64);
            piece.read_to_end(&mut data).await?;
            if data.is_empty() {
                return Ok::<(), io::Error>(());
            }
            part = Part::Data(data);
        }
    });
    let answer = client.upload_model(ReceiverStream::new(queue)).await;
    // A file that cannot be read to its end is the better reason.
    reader
        .await
        .context("reading a model was interrupted")?
        .with_context(|| format!("--workload: cannot read {}", model.path.display()))?;
    Ok(answer.map(|_| ()))
}
