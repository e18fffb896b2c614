//! Models over real gRPC: what is taken, what is refused, what survives, and what agents get.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod calls;

use std::fs;

use batchstep_coordinator::store::{Memory, ModelLimits, Sqlite, Store};
use batchstep_proto::{
    model::ModelDigest,
    wire::{self, UploadModelRequest, upload_model_request::Part},
};
use calls::{begin, content, digest, download, files, find, half_way, list, submit, upload};
use support::{Coordinator, soon};
use tonic::Code;

async fn what_is_uploaded_can_be_measured_and_downloaded(store: impl Store) {
    let coordinator = Coordinator::start(store).await;
    let mut operator = coordinator.operator().await;
    let content = content();
    let workload = format!(
        "torchscript:model={},name=net.pt,input=3,target=class:2",
        digest(&content)
    );
    let early = submit(&mut operator, &workload).await.unwrap_err();
    assert_eq!(early.code(), Code::NotFound);
    assert!(early.message().contains("path=FILE"), "{early:?}");

    assert_eq!(find(&mut operator, &content).await, (false, 0));
    upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap();
    assert_eq!(find(&mut operator, &content).await, (true, 0));
    let again = upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    let digest = digest(&content);
    assert!(download(&coordinator, digest, 0).await.unwrap() == content);
    assert!(download(&coordinator, digest, 2_500_000).await.unwrap() == content[2_500_000..]);
    assert!(
        download(&coordinator, digest, 3_000_000)
            .await
            .unwrap()
            .is_empty()
    );
    let beyond = download(&coordinator, digest, 3_000_001).await.unwrap_err();
    assert_eq!(beyond.code(), Code::InvalidArgument);
    let unknown = ModelDigest::from_bytes(&[9; 32]).unwrap();
    let unknown = download(&coordinator, unknown, 0).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let sweep = submit(&mut operator, &workload).await.unwrap();
    let listed = list(&mut operator).await;
    assert_eq!(
        (listed.len(), listed[0].name.as_str(), listed[0].in_use),
        (1, "net.pt", true)
    );
    let request = wire::RemoveModelRequest {
        digest: digest.as_bytes().to_vec(),
    };
    let held = operator.remove_model(request.clone()).await.unwrap_err();
    assert_eq!(held.code(), Code::FailedPrecondition);
    let cancel = wire::CancelSweepRequest {
        sweep_id: sweep,
        reason: String::new(),
    };
    operator.cancel_sweep(cancel).await.unwrap();
    assert!(
        operator
            .remove_model(request.clone())
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    assert!(
        !operator
            .remove_model(request)
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    assert_eq!(list(&mut operator).await, []);
    coordinator.stop().await;
}

#[tokio::test]
async fn what_is_uploaded_can_be_measured_and_downloaded_in_memory() {
    what_is_uploaded_can_be_measured_and_downloaded(Memory::new()).await;
}

#[tokio::test]
async fn what_is_uploaded_can_be_measured_and_downloaded_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    what_is_uploaded_can_be_measured_and_downloaded(store).await;
}

#[tokio::test]
async fn a_path_of_some_host_is_no_workload_for_a_coordinator() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut operator = coordinator.operator().await;
    let refused = submit(&mut operator, "torchscript:path=net.pt,input=3")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("spec.workloads") && refused.message().contains("net.pt"));
    coordinator.stop().await;
}

#[tokio::test]
async fn content_that_is_not_as_announced_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut operator = coordinator.operator().await;
    let good = content();
    let mut altered = good.clone();
    altered[2_999_999] ^= 1;
    let longer = [&good[..], b"!"].concat();
    for (wrong, said) in [
        (&altered, digest(&altered).to_string()),
        (&longer, "more than the 3000000 bytes".to_owned()),
    ] {
        let refused = upload(&mut operator, begin(&good, 0), wrong)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(
            refused.message().contains(&said) && refused.message().contains("net.pt"),
            "{refused:?}"
        );
        assert_eq!(find(&mut operator, &good).await, (false, 0));
        assert_eq!(files(&folder.path().join("models")), [""; 0]);
    }
    // Whoever stops early may go on; and what does not belong together is noticed all the same.
    let short = &altered[..2_999_999];
    let refused = upload(&mut operator, begin(&altered, 0), short)
        .await
        .unwrap_err();
    assert!(
        refused.message().contains("2999999 of the 3000000 bytes"),
        "{refused:?}"
    );
    let refused = upload(
        &mut operator,
        begin(&altered, 2_999_999),
        &good[2_999_999..],
    )
    .await
    .unwrap_err();
    assert!(
        refused.message().contains(&digest(&good).to_string()),
        "{refused:?}"
    );
    assert_eq!(find(&mut operator, &altered).await, (false, 0));
    let nameless = wire::ModelUpload {
        name: "../../net.pt".to_owned(),
        ..begin(&good, 0)
    };
    let refused = upload(&mut operator, nameless, &good).await.unwrap_err();
    assert!(refused.message().contains("begin.name"), "{refused:?}");
    let large = UploadModelRequest {
        part: Some(Part::Data(vec![0; (1 << 20) + 1])),
    };
    let parts = [
        UploadModelRequest {
            part: Some(Part::Begin(begin(&good, 0))),
        },
        large,
    ];
    let refused = operator
        .upload_model(tokio_stream::iter(parts))
        .await
        .unwrap_err();
    assert!(refused.message().contains("field `data`"), "{refused:?}");
    let parts = [UploadModelRequest {
        part: Some(Part::Data(vec![0])),
    }];
    let refused = operator
        .upload_model(tokio_stream::iter(parts))
        .await
        .unwrap_err();
    assert!(refused.message().contains("`begin`"), "{refused:?}");
    upload(&mut operator, begin(&good, 0), &good).await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn limits_are_told_with_their_flags() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ModelLimits { one: 100, all: 150 };
    let store = Sqlite::open_with(folder.path(), limits).await.unwrap();
    let coordinator = Coordinator::start(store).await;
    let mut operator = coordinator.operator().await;
    let refused = upload(&mut operator, begin(&[1; 101], 0), &[1; 101])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    for word in ["net.pt", "101 bytes", "100", "--max-model-size"] {
        assert!(refused.message().contains(word), "{refused:?}");
    }
    upload(&mut operator, begin(&[1; 100], 0), &[1; 100])
        .await
        .unwrap();
    let refused = upload(&mut operator, begin(&[2; 51], 0), &[2; 51])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    for word in [
        "net.pt",
        "51 bytes",
        "leave 50",
        "150",
        "model remove",
        "--max-models-size",
    ] {
        assert!(refused.message().contains(word), "{refused:?}");
    }
    upload(&mut operator, begin(&[2; 50], 0), &[2; 50])
        .await
        .unwrap();
    coordinator.stop().await;
}

async fn an_upload_that_breaks_off_goes_on(store: impl Store) {
    let coordinator = Coordinator::start(store).await;
    let content = content();
    let (parts, call) = half_way(&coordinator, &content, 1_000_000).await;
    let mut operator = coordinator.operator().await;
    let busy = upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap_err();
    assert_eq!(busy.code(), Code::Aborted, "{busy:?}");
    // As when the operator's process is killed: the call is dropped, its stream does not end in order.
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(parts);
    let free = async {
        loop {
            let elsewhere = upload(&mut operator, begin(&content, 17), &content[17..]).await;
            let elsewhere = elsewhere.unwrap_err();
            if elsewhere.code() != Code::Aborted {
                return elsewhere;
            }
        }
    };
    let elsewhere = soon("the broken upload to be noticed", free).await;
    assert_eq!(elsewhere.code(), Code::FailedPrecondition, "{elsewhere:?}");
    assert_eq!(find(&mut operator, &content).await, (false, 1_000_000));
    upload(
        &mut operator,
        begin(&content, 1_000_000),
        &content[1_000_000..],
    )
    .await
    .unwrap();
    assert!(download(&coordinator, digest(&content), 0).await.unwrap() == content);
    coordinator.stop().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_in_memory() {
    an_upload_that_breaks_off_goes_on(Memory::new()).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    an_upload_that_breaks_off_goes_on(Sqlite::open(folder.path()).await.unwrap()).await;
}

#[tokio::test]
async fn a_restart_keeps_what_is_complete_and_cleans_up_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let (whole, half) = (content(), vec![5; 2_000_000]);
    let mut operator = coordinator.operator().await;
    upload(&mut operator, begin(&whole, 0), &whole)
        .await
        .unwrap();
    let (_parts, call) = half_way(&coordinator, &half, 1_000_000).await;
    coordinator.stop().await;
    let broken = call.await.unwrap().unwrap_err();
    assert_eq!(broken.code(), Code::Unavailable, "{broken:?}");
    let models = folder.path().join("models");
    assert!(
        files(&models).contains(&digest(&half).hex()),
        "the upload was half-way"
    );
    // As when it was killed between two steps.
    fs::write(
        models.join(digest(&half).hex()).with_extension("name"),
        "half.pt",
    )
    .unwrap();

    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut operator = coordinator.operator().await;
    assert_eq!(find(&mut operator, &half).await, (false, 0));
    assert_eq!(find(&mut operator, &whole).await, (true, 0));
    let listed = list(&mut operator).await;
    assert_eq!(
        (listed.len(), listed[0].name.as_str(), listed[0].size_bytes),
        (1, "net.pt", 3_000_000)
    );
    assert_eq!(files(&models).len(), 2, "{:?}", files(&models));
    coordinator.stop().await;
}

#[tokio::test]
async fn a_copy_that_was_damaged_is_told_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut operator = coordinator.operator().await;
    let content = content();
    upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap();
    let file = folder
        .path()
        .join("models")
        .join(digest(&content).hex())
        .with_extension("pt");
    fs::write(&file, &content[..1_500_000]).unwrap();
    let damaged = download(&coordinator, digest(&content), 0)
        .await
        .unwrap_err();
    assert_eq!(damaged.code(), Code::DataLoss, "{damaged:?}");
    assert_eq!(find(&mut operator, &content).await, (false, 0));
    upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap();
    assert!(download(&coordinator, digest(&content), 0).await.unwrap() == content);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_disk_that_refuses_is_named_and_nothing_is_promised() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut operator = coordinator.operator().await;
    let content = content();
    // Stands in for a full disk: the file cannot be made.
    let incoming = folder.path().join("models/incoming");
    let in_the_way = incoming.join(digest(&content).hex());
    fs::create_dir(&in_the_way).unwrap();
    let refused = upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused:?}");
    let path = in_the_way.display().to_string();
    assert!(refused.message().contains(&path), "{refused:?}");
    assert_eq!(find(&mut operator, &content).await, (false, 0));
    fs::remove_dir(&in_the_way).unwrap();
    upload(&mut operator, begin(&content, 0), &content)
        .await
        .unwrap();
    coordinator.stop().await;
}
