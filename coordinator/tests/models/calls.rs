//! The calls about models, as an operator and an agent make them.

use std::{fs, path::Path};

use batchstep_proto::{
    ids::RequestId,
    model::{ModelDigest, ModelHasher},
    wire::{
        self, UploadModelRequest, agent_service_client::AgentServiceClient,
        operator_service_client::OperatorServiceClient, upload_model_request::Part,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use crate::support::{Coordinator, soon, spec};

pub type Operator = OperatorServiceClient<Channel>;

pub fn digest(content: &[u8]) -> ModelDigest {
    let mut hasher = ModelHasher::default();
    hasher.update(content);
    hasher.finish()
}

/// More than one message of a download.
pub fn content() -> Vec<u8> {
    (0..3_000_000_u32).map(|n| (n % 251) as u8).collect()
}

pub fn begin(content: &[u8], offset: u64) -> wire::ModelUpload {
    wire::ModelUpload {
        digest: digest(content).as_bytes().to_vec(),
        name: "net.pt".to_owned(),
        size_bytes: content.len() as u64,
        offset,
    }
}

pub async fn upload(
    operator: &mut Operator,
    begin: wire::ModelUpload,
    content: &[u8],
) -> Result<(), Status> {
    let mut parts = vec![Part::Begin(begin)];
    parts.extend(
        content
            .chunks(1 << 20)
            .map(|piece| Part::Data(piece.to_vec())),
    );
    let requests: Vec<_> = parts
        .into_iter()
        .map(|part| UploadModelRequest { part: Some(part) })
        .collect();
    soon(
        "an answer",
        operator.upload_model(tokio_stream::iter(requests)),
    )
    .await
    .map(drop)
}

pub async fn find(operator: &mut Operator, content: &[u8]) -> (bool, u64) {
    let request = wire::FindModelRequest {
        digest: digest(content).as_bytes().to_vec(),
    };
    let found = operator.find_model(request).await.unwrap().into_inner();
    (found.complete, found.received_bytes)
}

pub async fn download(
    coordinator: &Coordinator,
    digest: ModelDigest,
    offset: u64,
) -> Result<Vec<u8>, Status> {
    let mut agent = AgentServiceClient::new(coordinator.channel().await);
    let request = wire::DownloadModelRequest {
        digest: digest.as_bytes().to_vec(),
        offset,
    };
    let mut chunks = agent.download_model(request).await?.into_inner();
    let (mut data, mut size) = (Vec::new(), None);
    while let Some(chunk) = soon("a piece", chunks.message()).await? {
        size = size.or(chunk.size_bytes);
        data.extend(chunk.data);
    }
    assert_eq!(size, Some(offset + data.len() as u64));
    Ok(data)
}

pub async fn list(operator: &mut Operator) -> Vec<wire::Model> {
    let request = wire::ListModelsRequest {};
    operator
        .list_models(request)
        .await
        .unwrap()
        .into_inner()
        .models
}

pub async fn submit(operator: &mut Operator, workload: &str) -> Result<String, Status> {
    let mut spec = spec();
    spec.workloads = vec![workload.parse().unwrap()];
    let request = wire::SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(spec.into()),
    };
    operator
        .submit_sweep(request)
        .await
        .map(|answer| answer.into_inner().sweep_id)
}

/// Files below a folder that are not directories.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files(&path));
        } else {
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    names
}

/// An upload under way: its parts go in here, its answer comes out there.
pub type Running = (
    mpsc::Sender<UploadModelRequest>,
    tokio::task::JoinHandle<Result<(), Status>>,
);

/// Begins an upload and waits until the coordinator has its first bytes.
pub async fn half_way(coordinator: &Coordinator, content: &[u8], sent: usize) -> Running {
    let mut operator = coordinator.operator().await;
    let (parts, queue) = mpsc::channel(8);
    let mut client = coordinator.operator().await;
    let call = tokio::spawn(async move {
        client
            .upload_model(ReceiverStream::new(queue))
            .await
            .map(drop)
    });
    for part in [
        Part::Begin(begin(content, 0)),
        Part::Data(content[..sent].to_vec()),
    ] {
        let part = Some(part);
        parts.send(UploadModelRequest { part }).await.unwrap();
    }
    let arrived = async {
        while find(&mut operator, content).await.1 < sent as u64 {
            tokio::task::yield_now().await;
        }
    };
    soon("the first bytes", arrived).await;
    (parts, call)
}
