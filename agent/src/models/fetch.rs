//! One model on its way from the coordinator. It goes on where the connection broke, is hashed as it comes, and gets its place only when its digest
//! is right.

use std::io::{self, SeekFrom};

use batchstep_proto::{model::ModelHasher, size::Size, wire, workload::ModelRef};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    time,
};
use tonic::{Code, Status, transport::Channel};
use tracing::warn;

use super::{ModelError, Models, file};
use crate::{client, retry};

/// A part of a model and the digest of it.
struct Part {
    file: File,
    hasher: ModelHasher,
    /// Bytes in the file that are hashed.
    received: u64,
}

/// Why a transfer ends before its end.
enum Break {
    /// Another try may do better.
    Transfer(Status),
    /// This host's disk.
    Disk(io::Error),
    /// No try will do better.
    Final(ModelError),
}

/// Fetches a model that is held; its size.
pub(super) async fn fetch(models: &Models, model: &ModelRef) -> Result<Size, ModelError> {
    let mut part = open(models, model).await?;
    let (mut breaks, mut best) = (0, part.received);
    let mut came_wrong = false;
    loop {
        let transferred = transfer(models, model, &mut part).await;
        if part.received > best {
            (breaks, best) = (0, part.received);
        }
        let status = match transferred {
            Ok(()) if part.hasher.clone().finish() == model.digest => {
                return keep(models, model, part).await;
            }
            Ok(()) if came_wrong => {
                discard(models, model);
                return Err(ModelError::WrongContent {
                    model: model.to_string(),
                    digest: model.digest,
                });
            }
            // The beginning may have been here before, and be damaged.
            Ok(()) => {
                came_wrong = true;
                warn!(model = %model, "What came of a model is not of its digest; it is fetched from its beginning.");
                part.restart(models, model).await?;
                best = 0;
                continue;
            }
            Err(Break::Final(error)) => {
                discard(models, model);
                return Err(error);
            }
            Err(Break::Disk(error)) if is_full(&error) && models.evict_one() => continue,
            Err(Break::Disk(error)) => {
                discard(models, model);
                return Err(disk(models, model, error));
            }
            Err(Break::Transfer(status)) => status,
        };
        breaks += 1;
        if breaks > retry::FETCH_BREAKS {
            return Err(ModelError::BrokenOff {
                model: model.to_string(),
                times: breaks,
                reason: status.message().to_owned(),
            });
        }
        let wait = retry::report_step(breaks - 1);
        warn!(
            model = %model,
            received = part.received,
            code = %status.code(),
            error = status.message(),
            retry_in_ms = wait.as_millis(),
            "The transfer of a model broke off; it goes on from there."
        );
        time::sleep(wait).await;
    }
}

/// Opens what came before, or nothing.
async fn open(models: &Models, model: &ModelRef) -> Result<Part, ModelError> {
    let path = models.folder.part(&model.digest);
    let opened = async {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .await?;
        let mut copy = file.try_clone().await?.into_std().await;
        let hashed = tokio::task::spawn_blocking(move || file::hash_on(&mut copy)).await;
        let (hasher, received) = hashed.map_err(io::Error::other)??;
        Ok(Part {
            file,
            hasher,
            received,
        })
    };
    opened.await.map_err(|error| disk(models, model, error))
}

impl Part {
    async fn restart(&mut self, models: &Models, model: &ModelRef) -> Result<(), ModelError> {
        self.received = 0;
        self.hasher = ModelHasher::default();
        self.cut().await.map_err(|error| disk(models, model, error))
    }

    /// Removes what was written and not counted.
    async fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.received).await?;
        self.file.seek(SeekFrom::Start(self.received)).await?;
        Ok(())
    }

    async fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data).await?;
        self.file.flush().await?;
        self.hasher.update(data);
        self.received += data.len() as u64;
        Ok(())
    }
}

/// One try: `Ok` when all of it came.
async fn transfer(models: &Models, model: &ModelRef, part: &mut Part) -> Result<(), Break> {
    part.cut().await.map_err(Break::Disk)?;
    let mut client = client::over(connected(models).await?);
    let request = wire::DownloadModelRequest {
        digest: model.digest.as_bytes().to_vec(),
        offset: part.received,
    };
    let judge = |status: Status| judged(model, status);
    let silent = || Break::Transfer(Status::deadline_exceeded("the coordinator sends nothing"));
    let answer = time::timeout(retry::FETCH_SILENCE, client.download_model(request))
        .await
        .map_err(|_| silent())?
        .map_err(judge)?;
    let mut chunks = answer.into_inner();
    let mut size = None;
    loop {
        let chunk = time::timeout(retry::FETCH_SILENCE, chunks.message())
            .await
            .map_err(|_| silent())?
            .map_err(judge)?;
        let Some(chunk) = chunk else {
            break;
        };
        if let Some(bytes) = chunk.size_bytes.filter(|_| size.is_none()) {
            models.make_room(model, bytes).await.map_err(Break::Final)?;
            size = Some(bytes);
        }
        let left = size.unwrap_or(0).saturating_sub(part.received);
        if chunk.data.len() as u64 > left {
            let text = "it sends more than it announced";
            return Err(Break::Final(ModelError::refused(
                model,
                &Status::internal(text),
            )));
        }
        part.append(&chunk.data).await.map_err(Break::Disk)?;
    }
    if size == Some(part.received) {
        Ok(())
    } else {
        Err(Break::Transfer(Status::unavailable("it ended too early")))
    }
}

/// The line to the coordinator; waits for one where it is lost.
async fn connected(models: &Models) -> Result<Channel, Break> {
    let mut line = models.coordinator.clone();
    let found = line.wait_for(Option::is_some).await;
    found
        .ok()
        .and_then(|channel| channel.clone())
        .ok_or_else(|| Break::Transfer(Status::unavailable("the agent is stopping")))
}

/// Sorts a status by whether another try could change it.
fn judged(model: &ModelRef, status: Status) -> Break {
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::Unknown => Break::Transfer(status),
        Code::Unimplemented => Break::Final(ModelError::Refused {
            model: model.to_string(),
            reason: "the coordinator is older than this agent and hands out no models; update it"
                .to_owned(),
        }),
        _ => Break::Final(ModelError::refused(model, &status)),
    }
}

/// Gives what came its place.
async fn keep(models: &Models, model: &ModelRef, part: Part) -> Result<Size, ModelError> {
    let synced = part.file.sync_all().await;
    let kept = synced.and_then(|()| models.folder.keep(&model.digest));
    match kept {
        Ok(mark) => {
            models.books().verified(&model.digest, mark);
            Ok(Size(part.received))
        }
        Err(error) => {
            discard(models, model);
            Err(disk(models, model, error))
        }
    }
}

fn discard(models: &Models, model: &ModelRef) {
    models.books().forget(&model.digest);
    models.folder.remove(&model.digest);
}

fn disk(models: &Models, model: &ModelRef, source: io::Error) -> ModelError {
    ModelError::Disk {
        model: model.to_string(),
        path: models.folder.path().to_owned(),
        source,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
