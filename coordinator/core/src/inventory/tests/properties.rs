//! Whatever is written or reported: nothing panics, orders are orders, and a second look finds nothing new.

use std::{cmp::Ordering, collections::BTreeSet};

use batchstep_proto::inventory::{
    Absent, Document, NvmlState, Scope, Value,
    catalogue::{self, gpu},
};
use proptest::prelude::*;

use super::lab::{Lab, blind, h200, machine};
use crate::inventory::{Filter, State, compare_versions, findings, models};

fn version() -> impl Strategy<Value = String> {
    prop_oneof![
        r"[0-9]{1,4}(\.[0-9]{1,3}){0,3}",
        r"[0-9a-z.+\-]{0,12}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn no_text_breaks_the_filter(text in any::<String>()) {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn nothing_that_looks_like_a_filter_breaks_it(
        text in r"(driver|memory|ecc|name|absent|[a-z_]{1,9}|é)?[ ]?(=|!=|<|<=|>|>=|~|)[ ]?('|)[a-zA-Z0-9. ,é]{0,12}('|)( and |,|, ,|)[a-z]{0,4}"
    ) {
        if let Ok(filter) = Filter::parse(&text) {
            let document = machine("node1", vec![h200("GPU-a")]);
            let _ = filter.matches(&[&document.gpus[0].facts, &document.host]);
        }
    }

    #[test]
    fn versions_have_a_total_order(a in version(), b in version(), c in version()) {
        prop_assert_eq!(compare_versions(&a, &a), Ordering::Equal);
        prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
        let at_most = |a: &str, b: &str| compare_versions(a, b) != Ordering::Greater;
        if at_most(&a, &b) && at_most(&b, &c) {
            prop_assert!(at_most(&a, &c));
        }
    }

    #[test]
    fn every_comparison_agrees_with_its_opposite(number in any::<u64>(), bound in any::<u64>()) {
        let mut lab = Lab::new();
        let mut document = machine("node1", vec![h200("GPU-a")]);
        document.gpus[0].facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(number));
        lab.report(1, document);
        for (one, other) in [("<", ">="), (">", "<="), ("=", "!=")] {
            let holds = |operator: &str| {
                !lab.chosen(&format!("memory{operator}{bound}B")).is_empty()
            };
            prop_assert_ne!(holds(one), holds(other));
        }
        prop_assert_eq!(lab.chosen(&format!("memory<{bound}B")).len(), usize::from(number < bound));
    }

    #[test]
    fn any_fleet_can_be_looked_at_and_a_second_report_is_no_news(
        documents in prop::collection::vec(report(), 1..12)
    ) {
        let mut lab = Lab::new();
        for (number, document) in documents {
            lab.report(number, document.clone());
            let again = lab.report(number, document);
            prop_assert!(!again.is_news(), "{:?}", again.changes);
            lab.wait(100);
            let hosts = lab.hosts();
            let _ = findings(&hosts, lab.now);
            let all = models(&hosts);
            let members: Vec<&str> = all.iter().flat_map(|model| &model.members).map(|it| it.uuid.as_str()).collect();
            let unique: BTreeSet<&str> = members.iter().copied().collect();
            prop_assert_eq!(members.len(), unique.len(), "a UUID counts once, however many hosts report it");
            let there: BTreeSet<&str> = hosts
                .iter()
                .flat_map(|host| host.all_devices())
                .filter(|device| device.state != State::Vanished)
                .map(|device| device.device.uuid.as_str())
                .collect();
            prop_assert_eq!(unique, there);
            for host in &hosts {
                let _ = host.to_json(lab.now);
            }
            let seen = lab.fleet.seen(lab.now);
            lab.fleet.settle(&seen);
            prop_assert!(lab.fleet.seen(lab.now).is_empty());
        }
    }
}

/// A report of one of three agents on two hosts, with up to three of four devices, some of their values wild.
fn report() -> impl Strategy<Value = (u64, Document)> {
    let device = (
        0..4_usize,
        any::<u64>(),
        0..6_u8,
        0..catalogue::fields(Scope::Gpu).len(),
    );
    (1..4_u64, prop::collection::vec(device, 0..3), 0..5_u8).prop_map(|(number, devices, nvml)| {
        let hostname = if number == 3 { "node2" } else { "node1" };
        match nvml {
            0 => return (number, blind(hostname, NvmlState::Failed)),
            1 => return (number, blind(hostname, NvmlState::Hung)),
            _ => {}
        }
        let mut gpus = Vec::new();
        for (which, noise, state, field) in devices {
            let uuid = format!("GPU-{which}");
            if gpus
                .iter()
                .any(|gpu: &batchstep_proto::inventory::Gpu| gpu.uuid() == uuid)
            {
                continue;
            }
            let mut gpu = h200(&uuid);
            let field = catalogue::fields(Scope::Gpu)[field];
            if field.name != "uuid" {
                let value = match state {
                    0 => Err(Absent::Unknown),
                    1 => Err(Absent::Lost),
                    2 => Ok(Value::Integer(noise)),
                    3 => Ok(Value::Text(noise.to_string())),
                    4 => Ok(Value::Flag(noise % 2 == 0)),
                    _ => Ok(Value::Number(noise as f64)),
                };
                gpu.facts.set_value(field, value);
            }
            gpus.push(gpu);
        }
        (number, machine(hostname, gpus))
    })
}
