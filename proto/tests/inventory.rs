//! The inventory's document: what comes back from its JSON, which half a field is in, and what is refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use batchstep_proto::{
    domain::Ineligibility,
    inventory::{
        Absent, Class, Document, DocumentError, Gpu, GpuProcess, Kind, NvLink, Nvml, NvmlState,
        Peer, Record, Scope, Unit, Value,
        catalogue::{self, gpu, host},
    },
};

fn card(uuid: &str) -> Gpu {
    let mut facts = Record::new(Scope::Gpu);
    facts.set(gpu::UUID, Ok(uuid.to_owned()));
    facts.set(gpu::NAME, Ok("NVIDIA H200".to_owned()));
    facts.set(gpu::SERIAL, Err(Absent::NotSupported));
    facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(150_754_820_096));
    facts.set(gpu::POWER_DRAW_WATTS, Ok(75.25));
    facts.set(gpu::ECC_ENABLED, Ok(true));
    Gpu {
        links: vec![NvLink {
            link: 0,
            active: Some(true),
            version: Some(4),
            remote_type: Some("switch".to_owned()),
            remote_pci_bus_id: None,
        }],
        peers: vec![Peer {
            uuid: "GPU-b".to_owned(),
            topology: Some("system".to_owned()),
            peer_read: Some("ok".to_owned()),
        }],
        processes: vec![GpuProcess {
            pid: 7,
            kind: "compute".to_owned(),
            name: Some("python3".to_owned()),
            used_memory_bytes: None,
            own: false,
        }],
        ineligible: vec![Ineligibility {
            code: "foreign_process".to_owned(),
            message: "python3 computes on it".to_owned(),
        }],
        ..Gpu::new(facts)
    }
}

fn document() -> Document {
    let mut machine = Record::new(Scope::Host);
    machine.set(host::HOSTNAME, Ok("node1".to_owned()));
    machine.set(host::DRIVER_VERSION, Ok("590.48.01".to_owned()));
    let mut first = card("GPU-a");
    let mut instance = Record::new(Scope::Gpu);
    instance.set(gpu::UUID, Ok("MIG-a".to_owned()));
    first.instances = vec![Gpu::new(instance)];
    Document {
        host: machine,
        nvml: Nvml {
            state: NvmlState::Running,
            message: None,
        },
        gpus: vec![first, card("GPU-b")],
        problems: vec!["odd".to_owned()],
    }
}

#[test]
fn a_document_comes_back_from_its_bytes() {
    let document = document();
    assert_eq!(
        Document::from_bytes(&document.to_bytes()).unwrap(),
        document
    );
    let json = document.to_json();
    assert_eq!(json["gpus"][0]["serial"], serde_json::Value::Null);
    assert_eq!(json["gpus"][0]["absent"]["serial"], "not_supported");
    assert_eq!(json["gpus"][0]["power_draw_watts"], 75.25);
}

#[test]
fn the_digest_knows_what_lasts_and_nothing_else() {
    let before = document();
    let mut after = document();
    after.gpus[0].facts.set(gpu::POWER_DRAW_WATTS, Ok(700.0));
    after.gpus[0].processes.clear();
    after.gpus[0].ineligible.clear();
    assert_eq!(before.digest(), after.digest());
    after.gpus[0]
        .facts
        .set(gpu::SERIAL, Err(Absent::NoPermission));
    assert_ne!(before.digest(), after.digest(), "a reason is news, too");
}

#[test]
fn the_two_halves_make_the_whole() {
    let document = document();
    let mut whole = document.lasting();
    assert!(whole.gpus[0].facts.get(gpu::POWER_DRAW_WATTS).is_none());
    assert!(whole.gpus[0].processes.is_empty());
    let sample = Document::from_bytes(&document.live().to_bytes()).unwrap();
    assert!(sample.gpus[0].facts.get(gpu::NAME).is_none());
    whole.update(&sample);
    assert_eq!(whole, document);
}

#[test]
fn what_breaks_a_rule_is_named() {
    let refused = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut json = document().to_json();
        edit(&mut json);
        Document::from_bytes(json.to_string().as_bytes()).unwrap_err()
    };
    let wrong_kind = refused(&|json| json["gpus"][0]["memory_total_bytes"] = "many".into());
    assert!(
        wrong_kind.to_string().contains("memory_total_bytes")
            && std::error::Error::source(&wrong_kind)
                .is_some_and(|it| it.to_string().contains("many")),
        "{wrong_kind}"
    );
    assert_eq!(
        refused(&|json| json["gpus"][1]["uuid"] = "GPU-a".into()),
        DocumentError::Twice("GPU-a".to_owned())
    );
    assert!(matches!(
        refused(&|json| json["gpus"] = vec![0; 100_000].into()),
        DocumentError::TooMany { found: 100_000, .. }
    ));
    for edit in [
        &(|json: &mut serde_json::Value| json["schema_version"] = 2.into())
            as &dyn Fn(&mut serde_json::Value),
        &|json| json["gpus"][0]["uuid"] = serde_json::Value::Null,
        &|json| json["host"] = 5.into(),
        &|json| json["gpus"][0]["processes"][0]["pid"] = (-1).into(),
        &|json| json["nvml"]["state"] = "fine".into(),
    ] {
        assert!(matches!(refused(edit), DocumentError::Shape(_)));
    }
    assert!(Document::from_bytes(b"\xff{").is_err());
}

#[test]
fn what_a_newer_agent_says_is_no_error() {
    let mut json = document().to_json();
    json["gpus"][0]["quantum_cores"] = 5.into();
    json["gpus"][0]["absent"]["serial"] = "stolen".into();
    let read = Document::from_bytes(json.to_string().as_bytes()).unwrap();
    assert_eq!(
        read.gpus[0].facts.reading(gpu::SERIAL.field()),
        Some(&Err(Absent::Unknown))
    );
}

#[test]
fn the_catalogue_is_consistent() {
    for scope in [Scope::Host, Scope::Gpu] {
        let fields = catalogue::fields(scope);
        let names: BTreeSet<&str> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), fields.len());
        for field in fields {
            assert_eq!(field.scope, scope);
            let suffix = match field.unit {
                Unit::Bytes => "_bytes",
                Unit::Watts => "_watts",
                Unit::Joules => "_joules",
                Unit::Megahertz => "_mhz",
                Unit::Celsius => "_celsius",
                Unit::Percent => "_percent",
                _ => "",
            };
            assert!(
                field.name.ends_with(suffix),
                "{} lacks its unit",
                field.name
            );
            assert!(field.unit != Unit::Version || field.kind == Kind::Text);
            assert!(field.about.ends_with('.'), "{}", field.about);
            // A counter that grows by itself would make an event a minute.
            assert!(
                field.class != Class::Health || matches!(field.kind, Kind::Integer | Kind::Flag)
            );
        }
    }
}

#[test]
fn a_record_takes_no_value_of_another_kind_or_scope() {
    let mut record = Record::new(Scope::Gpu);
    record.set_value(gpu::NAME.field(), Ok(Value::Integer(5)));
    record.set_value(gpu::POWER_DRAW_WATTS.field(), Ok(Value::Number(f64::NAN)));
    record.set_value(host::HOSTNAME.field(), Ok(Value::Text("h".to_owned())));
    assert_eq!(record.iter().count(), 0);
}
