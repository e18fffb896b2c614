//! The language of `--where`: what it chooses, and how it refuses.

use batchstep_proto::inventory::{
    Absent,
    catalogue::{gpu, host},
};

use super::lab::{Lab, h200, instance, machine};
use crate::inventory::Filter;

fn lab() -> Lab {
    let mut lab = Lab::new();
    let mut old = machine("node1", vec![h200("GPU-a")]);
    old.host
        .set(host::DRIVER_VERSION, Ok("570.86.10".to_owned()));
    old.gpus[0]
        .facts
        .set(gpu::SERIAL, Err(Absent::NotSupported));
    lab.report(1, old);
    let mut new = machine("node2", vec![h200("GPU-b"), h200("GPU-c")]);
    new.gpus[0].facts.set(gpu::SERIAL, Ok("0007".to_owned()));
    new.gpus[0].facts.set(gpu::ECC_ENABLED, Ok(false));
    new.gpus[1].instances = vec![instance("MIG-1")];
    lab.report(2, new);
    lab.report(3, machine("cpu-only", vec![]));
    lab
}

#[test]
fn values_are_compared_as_their_fields_are() {
    let lab = lab();
    for (expression, chosen) in [
        ("", &["GPU-a", "GPU-b", "GPU-c", "MIG-1"][..]),
        ("driver<580", &["GPU-a"]),
        ("driver_version >= 580.9", &["GPU-b", "GPU-c", "MIG-1"]),
        ("driver=570.086.10", &["GPU-a"]),
        ("driver~580.95", &["GPU-b", "GPU-c", "MIG-1"]),
        ("memory>=80GiB", &["GPU-a", "GPU-b", "GPU-c"]),
        ("memory < 20 gib", &["MIG-1"]),
        (
            "memory_total_bytes=150754820096",
            &["GPU-a", "GPU-b", "GPU-c"],
        ),
        (
            "power_limit>=699.5 W, power_limit<=700",
            &["GPU-a", "GPU-b", "GPU-c", "MIG-1"],
        ),
        ("ecc=no", &["GPU-b"]),
        ("ECC != yes", &["GPU-b"]),
        ("name~h200 and host=NODE1", &["GPU-a"]),
        ("name='nvidia h200'", &["GPU-a", "GPU-b", "GPU-c"]),
        ("mig_profile=1g.18gb", &["MIG-1"]),
        ("serial=absent, mig_profile=absent", &["GPU-a", "GPU-c"]),
        ("serial!=absent", &["GPU-b"]),
        // An absent value is neither equal to something nor different from it.
        ("serial!=0008", &["GPU-b"]),
        ("serial=0008", &[]),
        ("name='h200 or a100'", &[]),
        ("name!=oregon", &["GPU-a", "GPU-b", "GPU-c", "MIG-1"]),
        ("memory>=80B", &["GPU-a", "GPU-b", "GPU-c", "MIG-1"]),
        ("memory>0", &["GPU-a", "GPU-b", "GPU-c", "MIG-1"]),
        ("sm_count>131.5", &["GPU-a", "GPU-b", "GPU-c", "MIG-1"]),
        (
            "clock_event_reasons=0x1",
            &["GPU-a", "GPU-b", "GPU-c", "MIG-1"],
        ),
        (
            "compute_capability>8.9",
            &["GPU-a", "GPU-b", "GPU-c", "MIG-1"],
        ),
    ] {
        assert_eq!(lab.chosen(expression), chosen, "{expression}");
    }
}

#[test]
fn what_was_of_the_moment_is_absent_once_the_moment_is_over() {
    let mut lab = lab();
    let all = ["GPU-a", "GPU-b", "GPU-c", "MIG-1"];
    assert_eq!(lab.chosen("temperature>30"), all);
    lab.leave(1);
    assert_eq!(lab.chosen("temperature>30"), all[1..]);
    assert_eq!(lab.chosen("temperature=absent"), all[..1]);
    assert_eq!(
        lab.chosen("power_limit=700"),
        all,
        "what lasts is as it was"
    );
    lab.wait(301);
    assert!(lab.chosen("temperature>30").is_empty());
}

#[test]
fn a_host_without_gpus_matches_by_its_own_fields_only() {
    let lab = lab();
    let hosts = |expression| {
        let wanted = crate::inventory::Wanted {
            filter: Filter::parse(expression).unwrap(),
            ..Default::default()
        };
        let views = lab.fleet.hosts(lab.now, &wanted);
        views.map(|view| view.hostname()).collect::<Vec<_>>()
    };
    assert_eq!(hosts("kernel>=6"), ["cpu-only", "node1", "node2"]);
    assert_eq!(hosts("serial=absent"), ["node1", "node2"]);
    assert_eq!(hosts("kernel<6"), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_would_be_right() {
    for (expression, said) in [
        (
            "drivr<580",
            &[
                "\"drivr<580\"",
                "character 1",
                "`drivr`",
                "driver_version",
                "--fields",
            ][..],
        ),
        ("ecc=yes, speed>5", &["character 10", "no field `speed`"]),
        ("retired=1", &["retired_pages_corrected", "write more"]),
        ("ecc>no", &["ecc_enabled", "flag", "= !="]),
        ("name<H200", &["name", "text", "= != ~"]),
        ("memory~80", &["number", "< <= > >="]),
        ("ecc=perhaps", &["\"perhaps\"", "yes, no or absent"]),
        ("memory>16G", &["1000 or of 1024"]),
        ("power_limit>many", &["\"many\"", "of W"]),
        ("sm_count>-1e999", &["sm_count"]),
        ("driver", &["not followed by an operator", "~"]),
        ("driver<", &["value is missing after <"]),
        ("driver=580,", &["a term is missing", "character 12"]),
        (",driver=580", &["a term is missing"]),
        ("=580", &["begins with the name"]),
        ("name='H200", &["quote ' is not closed"]),
        ("name='H200' ecc=yes", &["comma or `and`"]),
        ("größe>5", &["`gr`"]),
        (
            "host=node1 or host=node2",
            &["\"or\" in it", "`and`", "quotes"],
        ),
        ("name=H200 OR A100", &["\"or\" in it"]),
        ("name~h200 ecc=yes", &["\"=\" in it", "comma"]),
        ("driver=>580", &["\">\" in it"]),
        ("memory>=80", &["write a unit, as 80GiB"]),
    ] {
        let error = Filter::parse(expression).unwrap_err().to_string();
        for part in said {
            assert!(error.contains(part), "{expression}: {error}");
        }
    }
    let many = vec!["ecc=yes"; 100].join(",");
    assert!(Filter::parse(&many).unwrap_err().to_string().contains("64"));
}
