//! How answers are written: units, how much of a long history, whole CSV without formulas, names that are told apart.

use batchstep_coordinator::store::Memory;
use batchstep_proto::{
    domain::Ineligibility,
    inventory::catalogue::{gpu, host},
};

use super::{
    csv, inventory, json, lab,
    support::{
        Coordinator,
        lab::{h200, machine, report, send},
    },
};

#[tokio::test]
async fn numbers_have_units_and_a_long_history_is_shown_from_its_end() {
    let (coordinator, _agents) = lab().await;
    let mut document = machine("node2", vec![h200("GPU-c")]);
    document.gpus[0]
        .facts
        .set(gpu::MEMORY_TOTAL_BYTES, Ok(80 << 30));
    document.gpus[0].facts.set(gpu::ECC_UNCORRECTED, Ok(3));
    send(&coordinator, report(2, &document)).await.unwrap();
    let (_, out, err) = inventory(&coordinator, &["--changes"]).await;
    assert_eq!(err, "");
    for part in ["500 W -> 700 W", "140.4 GiB -> 80 GiB", " 0 -> 3"] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    for limit in 0..200 {
        let facts = &mut document.gpus[0].facts;
        facts.set(gpu::POWER_LIMIT_WATTS, Ok(f64::from(100 + limit)));
        send(&coordinator, report(2, &document)).await.unwrap();
    }
    let (_, out, err) = inventory(&coordinator, &["--changes"]).await;
    assert!(err.contains("the newest 200 changes"), "{err}");
    assert!(
        !out.contains("host_appeared") && out.contains("298 W -> 299 W"),
        "{out}"
    );
    let (_, out, err) = inventory(&coordinator, &["--changes", "--since", "1h"]).await;
    assert!(out.contains("host_appeared") && err.is_empty(), "{err}");
    let all = json(&coordinator, &["--changes"]).await;
    assert!(all["changes"].as_array().unwrap().len() > 200);
    coordinator.stop().await;
}

#[tokio::test]
async fn csv_is_whole_and_writes_no_formula() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut document = machine("node1", vec![h200("GPU-a")]);
    let formula = "=HYPERLINK(\"http://example.org\",\"H200\")";
    document.gpus[0]
        .facts
        .set(gpu::NAME, Ok(formula.to_owned()));
    let long = format!("because {}", "x".repeat(1000));
    document.gpus[0].ineligible = vec![Ineligibility {
        code: "foreign_process".to_owned(),
        message: long.clone(),
    }];
    document.host.set(host::OS, Ok(long.clone()));
    send(&coordinator, report(1, &document)).await.unwrap();
    let rows = async |arguments: &[&str]| {
        let arguments = [arguments, &["--format", "csv"]].concat();
        csv(&inventory(&coordinator, &arguments).await.1)
    };
    let hosts = rows(&[]).await;
    assert_eq!(hosts[0]["name"], format!("'{formula}"));
    assert_eq!(hosts[0]["host_os"], long);
    assert_eq!(
        rows(&["--by", "model"]).await[0]["name"],
        format!("'{formula}")
    );
    let findings = rows(&["--health"]).await;
    assert!(findings.iter().any(|row| row["message"].ends_with(&long)));
    let markdown = ["--health", "--format", "markdown"];
    let (_, out, _) = inventory(&coordinator, &markdown).await;
    assert!(out.contains(&long), "{out}");
    coordinator.stop().await;
}

#[tokio::test]
async fn machines_of_one_name_are_told_apart() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut other = machine("node1", vec![h200("GPU-b")]);
    other.host.set(host::MACHINE_ID, Ok("m-other".to_owned()));
    for (number, document) in [(1, machine("node1", vec![h200("GPU-a")])), (2, other)] {
        send(&coordinator, report(number, &document)).await.unwrap();
    }
    let (_, out, _) = inventory(&coordinator, &[]).await;
    for name in ["node1 (m-node1)", "node1 (m-other)"] {
        assert!(out.contains(name), "{name}\n{out}");
    }
    let (_, out, _) = inventory(&coordinator, &["--health"]).await;
    assert!(out.contains("shared_hostname"), "{out}");
    coordinator.stop().await;
}
