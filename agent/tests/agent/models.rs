//! People's own networks: fetched once, checked before every use, bounded on the disk, and told about when they do not come.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime},
};

use batchstep_agent::{
    Shutdown,
    config::Config,
    device::{self, LockDir},
    executor::ProcessExecutor,
    session::TcpDialer,
    state_dir::StateDir,
};
use batchstep_proto::{domain::AttemptOutcome, model::ModelDigest, wire};
use tokio::sync::watch;

use crate::{
    coordinator::Coordinator,
    host::{Agent, Host, attempt, round, scripted_worker},
};

const BRISK: Duration = Duration::from_millis(2);
/// Long enough for a few messages of the test's coordinator.
const CONTENT: &[u8] = b"a network of one hundred and something bytes, or so its content says, in as many pieces as it takes to come here";

fn workload(digest: ModelDigest) -> String {
    format!("torchscript:model={digest},name=net.pt,input=3")
}

/// Runs a round of the model to its final report.
fn measure(coordinator: &Coordinator, device: &str, digest: ModelDigest) -> wire::AttemptReport {
    let id = attempt();
    coordinator.assign(&id, &round(device, &workload(digest), 2, BRISK));
    coordinator.finished(&id)
}

/// The scripted worker's message is what it found in the file.
#[track_caller]
fn assert_measured(report: &wire::AttemptReport, content: &[u8]) {
    assert_eq!(
        report.outcome,
        AttemptOutcome::Finished.to_wire(),
        "{}",
        report.message
    );
    assert_eq!(report.message.as_bytes(), content);
}

fn downloads(coordinator: &Coordinator) -> Vec<u64> {
    coordinator.change(|memory| memory.downloads.iter().map(|(_, offset)| *offset).collect())
}

fn cached(host: &Host, digest: ModelDigest) -> PathBuf {
    host.path("a/models").join(format!("{}.pt", digest.hex()))
}

/// What is in the cache, by file name.
fn files(host: &Host) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(host.path("a/models"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn small_cache(host: &Host, coordinator: &Coordinator, room: &str) -> Agent {
    let mut command: Command = host.run("a", &coordinator.url(), &scripted_worker());
    command.args(["--model-cache", room]);
    host.start("a", command)
}

#[test]
fn a_model_is_fetched_once_and_damage_is_noticed() {
    let coordinator = Coordinator::start();
    let digest = coordinator.change(|memory| memory.offer(CONTENT, None));
    let host = Host::new();
    let agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
    assert_eq!(downloads(&coordinator), [0]);

    let file = cached(&host, digest);
    let half = &CONTENT[..CONTENT.len() / 2];
    let altered = CONTENT.to_ascii_uppercase();
    for damage in [half, &altered, b""] {
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, damage).unwrap();
        // A careful hand, or a restored backup: the time says nothing.
        fs::File::options()
            .append(true)
            .open(&file)
            .unwrap()
            .set_modified(before)
            .unwrap();
        assert_measured(&measure(&coordinator, &device, digest), CONTENT);
        assert_eq!(fs::read(&file).unwrap(), CONTENT);
    }
    fs::remove_file(&file).unwrap();
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
    assert_eq!(downloads(&coordinator), [0; 5]);
    assert!(agent.log().contains("damaged"));
}

#[test]
fn what_was_fetched_serves_the_next_agent_process_and_leftovers_go() {
    let coordinator = Coordinator::start();
    let digest = coordinator.change(|memory| memory.offer(CONTENT, None));
    let host = Host::new();
    let mut agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
    agent.kill();
    let leftover = cached(&host, digest).with_extension("part");
    fs::write(&leftover, "half").unwrap();

    let _agent = host.agent("a", &coordinator.url());
    coordinator.wait_for("the second hello", |memory| memory.hellos.get(1).map(drop));
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
    assert_eq!(downloads(&coordinator), [0]);
    assert!(!leftover.exists());
}

#[test]
fn a_transfer_that_breaks_off_goes_on_from_there() {
    let coordinator = Coordinator::start();
    let digest = coordinator.change(|memory| {
        memory.break_downloads = 1;
        memory.offer(CONTENT, None)
    });
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
    assert_eq!(downloads(&coordinator), [0, 16]);
}

#[test]
fn a_model_that_is_gone_or_wrong_is_refused_with_the_reason_and_not_kept() {
    let coordinator = Coordinator::start();
    let gone = ModelDigest::from_bytes(&[1; 32]).unwrap();
    let wrong = ModelDigest::from_bytes(&[2; 32]).unwrap();
    coordinator.change(|memory| memory.offer(CONTENT, Some(wrong)));
    let host = Host::new();
    let agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    for (digest, reason) in [
        (gone, "no such model any more"),
        (wrong, "is not of the digest"),
    ] {
        let report = measure(&coordinator, &device, digest);
        assert_eq!(report.outcome, AttemptOutcome::Refused.to_wire());
        assert!(
            report.message.contains("net.pt") && report.message.contains(reason),
            "{}",
            report.message
        );
        assert!(report.blocks.is_empty());
    }
    // Content that is wrong is asked for once more, from its beginning.
    assert_eq!(downloads(&coordinator), [0, 0, 0]);
    assert_eq!(files(&host), [""; 0]);
    assert!(!agent.log().contains("A worker was started"));
}

#[test]
fn the_cache_is_bounded_and_the_least_recently_used_goes_first() {
    let coordinator = Coordinator::start();
    let content = |letter: &str| letter.repeat(100).into_bytes();
    let [one, two, three] = ["1", "2", "3"]
        .map(|letter| coordinator.change(|memory| memory.offer(&content(letter), None)));
    let large = coordinator.change(|memory| memory.offer(&[b'x'; 251], None));
    let host = Host::new();
    let mut agent = small_cache(&host, &coordinator, "250");
    let device = coordinator.device();
    assert_measured(&measure(&coordinator, &device, one), &content("1"));
    assert_measured(&measure(&coordinator, &device, two), &content("2"));
    assert_measured(&measure(&coordinator, &device, one), &content("1"));
    // Used in that order, also for the next process.
    agent.kill();
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    fs::File::options()
        .append(true)
        .open(cached(&host, two))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let _agent = small_cache(&host, &coordinator, "250");
    coordinator.wait_for("the second hello", |memory| memory.hellos.get(1).map(drop));
    assert_measured(&measure(&coordinator, &device, three), &content("3"));
    assert!(cached(&host, one).exists() && !cached(&host, two).exists());

    let report = measure(&coordinator, &device, large);
    assert_eq!(report.outcome, AttemptOutcome::Refused.to_wire());
    assert!(
        report.message.contains("--model-cache") && report.message.contains("251 bytes"),
        "{}",
        report.message
    );
    assert_eq!(files(&host).len(), 2, "what is here stays");
}

#[test]
fn a_stop_ends_a_fetch_and_what_came_is_used_by_the_next() {
    let coordinator = Coordinator::start();
    let digest = coordinator.change(|memory| {
        memory.hold_downloads = true;
        memory.offer(CONTENT, None)
    });
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, &workload(digest), 2, BRISK));
    coordinator.wait_for("the download", |memory| memory.downloads.first().map(drop));
    coordinator.stop_attempt(&id, true);
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Stopped.to_wire());
    assert_eq!(report.message, "the sweep was cancelled");
    coordinator.change(|memory| memory.hold_downloads = false);
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
}

#[test]
fn rounds_of_several_devices_fetch_a_model_once() {
    let coordinator = Coordinator::start();
    let digest = coordinator.change(|memory| memory.offer(CONTENT, None));
    let host = Host::new();
    let (stop, stopped) = watch::channel(Shutdown::No);
    let (state, url) = (host.path("a"), coordinator.url());
    let locks = LockDir::at(host.path("locks"));
    let agent = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let facts = device::Host::read();
            let mut devices = vec![device::processors(&facts)];
            for number in 1..4 {
                let mut copy = devices[0].clone();
                copy.id.push_str(&format!("-{number}"));
                devices.push(copy);
            }
            let config = Config {
                locks,
                ..Config::new(facts.facts, devices)
            };
            let state = StateDir::open(&state).unwrap();
            let dialer = TcpDialer::new(&url).unwrap();
            batchstep_agent::run(
                config,
                state,
                dialer,
                ProcessExecutor::new(Ok(scripted_worker())),
                stopped,
            )
            .await
        })
    });
    let first = coordinator.device();
    let devices = [
        first.clone(),
        format!("{first}-1"),
        format!("{first}-2"),
        format!("{first}-3"),
    ];
    let attempts = devices.map(|device| {
        let id = attempt();
        coordinator.assign(&id, &round(&device, &workload(digest), 2, BRISK));
        id
    });
    for id in attempts {
        assert_measured(&coordinator.finished(&id), CONTENT);
    }
    assert_eq!(downloads(&coordinator), [0]);
    stop.send_replace(Shutdown::Drain);
    agent.join().unwrap().unwrap();
}

#[test]
fn a_disk_that_refuses_is_named_and_the_next_try_may_do_better() {
    let coordinator = Coordinator::start();
    let digest = coordinator.change(|memory| memory.offer(CONTENT, None));
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    // Stands in for a full disk: the file cannot be made.
    let in_the_way = cached(&host, digest).with_extension("part");
    fs::create_dir(&in_the_way).unwrap();
    let report = measure(&coordinator, &device, digest);
    assert_eq!(report.outcome, AttemptOutcome::Refused.to_wire());
    let folder = host.path("a/models").display().to_string();
    for word in [folder.as_str(), "net.pt", "make room", "directory"] {
        assert!(report.message.contains(word), "{}", report.message);
    }
    fs::remove_dir(&in_the_way).unwrap();
    assert_measured(&measure(&coordinator, &device, digest), CONTENT);
}
