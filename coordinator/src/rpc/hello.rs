//! An agent's hello as the fleet takes it: checked, and in a protocol that both sides speak. Called by the service for agents; it decides nothing.

use std::ops::RangeInclusive;

use batchstep_core::fleet::{HeldAttempt, HeldState, Hello};
use batchstep_proto::{
    domain::{Device, InvalidField},
    limits, version,
    wire::{self, held_attempt},
};
use tonic::Status;

use super::{id, invalid};

/// A hello to a coordinator that speaks the protocols `ours`.
pub(super) fn from_wire(
    hello: wire::AgentHello,
    ours: RangeInclusive<u32>,
) -> Result<Hello, Status> {
    let theirs = hello.protocol_min..=hello.protocol_max;
    let Some(protocol) = version::agree(ours.clone(), theirs) else {
        return Err(Status::failed_precondition(format!(
            "this coordinator ({}) speaks protocol {} to {}, the agent {} to {}; update the older of the two",
            env!("CARGO_PKG_VERSION"),
            ours.start(),
            ours.end(),
            hello.protocol_min,
            hello.protocol_max,
        )));
    };
    let host = hello
        .host
        .ok_or_else(|| invalid(InvalidField::new("hello.host", "is missing")))?;
    if hello.held.len() > limits::HELD_ATTEMPTS {
        let problem = format!(
            "{} entries, more than the {} allowed",
            hello.held.len(),
            limits::HELD_ATTEMPTS
        );
        return Err(invalid(InvalidField::new("hello.held", problem)));
    }
    Ok(Hello {
        agent: id("hello.agent_id", &hello.agent_id)?,
        boot: id("hello.boot_id", &hello.boot_id)?,
        protocol,
        host: host.try_into().map_err(invalid)?,
        devices: Device::list(hello.devices).map_err(invalid)?,
        held: hello
            .held
            .iter()
            .map(|held| {
                Ok(HeldAttempt {
                    attempt: id("hello.held.attempt_id", &held.attempt_id)?,
                    state: held_state(held.state)?,
                })
            })
            .collect::<Result<_, Status>>()?,
        draining: hello.draining,
    })
}

fn held_state(number: i32) -> Result<HeldState, Status> {
    use held_attempt::State;
    match State::try_from(number) {
        Ok(State::Accepted) => Ok(HeldState::Accepted),
        Ok(State::Running) => Ok(HeldState::Running),
        Ok(State::Spooled) => Ok(HeldState::Spooled),
        _ => Err(invalid(InvalidField::new(
            "hello.held.state",
            format!("{number} is not a state"),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use batchstep_proto::ids::{AgentId, BootId};

    use super::*;

    fn hello(theirs: RangeInclusive<u32>) -> wire::AgentHello {
        wire::AgentHello {
            protocol_min: *theirs.start(),
            protocol_max: *theirs.end(),
            agent_id: AgentId::generate().to_string(),
            boot_id: BootId::generate().to_string(),
            host: Some(wire::HostFacts {
                hostname: "host".to_owned(),
                ..wire::HostFacts::default()
            }),
            ..wire::AgentHello::default()
        }
    }

    /// Every build speaks its own protocol and the one before, so two builds that are one apart always meet, whichever is the older one.
    #[test]
    fn builds_that_are_one_protocol_apart_speak_the_older_ones() {
        for newest in 2..5 {
            let builds = |newest: u32| newest - 1..=newest;
            for (ours, theirs) in [(newest, newest + 1), (newest + 1, newest), (newest, newest)] {
                let agreed = from_wire(hello(builds(theirs)), builds(ours)).unwrap();
                assert_eq!(agreed.protocol, newest);
            }
            let status = from_wire(hello(builds(newest + 2)), builds(newest)).unwrap_err();
            assert_eq!(status.code(), tonic::Code::FailedPrecondition);
            assert!(status.message().contains("update the older"), "{status}");
        }
    }
}
