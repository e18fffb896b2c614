//! Agents and coordinators of different builds, one protocol apart: between a real agent and a real coordinator stands what makes each of them look to
//! the other as a build of another day would.

mod between;

use std::fs;

use batchstep_proto::wire::{self, agent_message, coordinator_message};
use batchstep_tests::{Lab, Process};
use between::{Between, Message};
use prost::Message as _;
use serde_json::Value;

const DEVICES: &str = "speed = 'instant'\n[[device]]\nmodel = 'Sixteen'\nscatter = { sigma = 0.002 }\n\
    law = { constant = 0.002, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }\n";

/// A small sweep that is waited for.
const SWEEP: [&str; 8] = [
    "sweep",
    "run",
    "--workload",
    "linear",
    "--batch-sizes",
    "1-64",
    "--budget",
    "5m",
];

/// A field that no message of this build has: number 30,000, the number 7.
const UNHEARD_OF: [u8; 4] = [0x80, 0xd3, 0x0e, 0x07];

/// A lab whose agent reaches its coordinator through `alter`.
struct Pair {
    agent: Process,
    between: Between,
    _coordinator: batchstep_tests::Coordinator,
    /// Last: its folder outlives whoever uses it.
    lab: Lab,
}

impl Pair {
    fn start(alter: impl Fn(Message) -> Vec<Message> + Send + Sync + 'static) -> Self {
        let lab = Lab::new();
        let coordinator = lab.start_coordinator();
        let between = Between::listening(lab.url(), alter);
        let file = lab.path("devices.toml");
        fs::write(&file, DEVICES).expect("the lab's folder can be written");
        let mut command = lab.agent_command(&["run", "--exit-with-parent"]);
        command
            .args(["--coordinator", &between.url()])
            .arg("--state-dir")
            .arg(lab.path("agent"))
            .arg("--simulate")
            .arg(&file);
        Self {
            agent: Process::start("batchstep-agent", &mut command),
            between,
            _coordinator: coordinator,
            lab,
        }
    }

    /// A sweep has its answer.
    fn answers(&mut self) {
        self.agent.wait_for_stderr("Connected");
        let row: Value = self.lab.ask_json(&SWEEP)["rows"][0].clone();
        assert_eq!(
            (row["verdict"].as_str(), row["step"].as_f64()),
            (Some("step"), Some(16.0)),
            "{row}"
        );
        let listed = self.lab.ask_json(&["agents", "list"]);
        assert_eq!(listed["agents"][0]["state"], "online", "{listed}");
    }

    /// The agent's messages were altered, and the coordinator's were or were not: without it a test is one of two equal builds.
    fn altered(&self, coordinators_too: bool) {
        let (agents, coordinators) = (self.between.altered(true), self.between.altered(false));
        assert!(
            agents > 0 && (coordinators > 0) == coordinators_too,
            "{agents} of the agent's messages, {coordinators} of the coordinator's"
        );
    }
}

/// The hello with another range of protocols.
fn speaking(min: u32, max: u32) -> impl Fn(Message) -> Vec<Message> {
    move |mut message| {
        if message.is_first && message.is_from_agent && message.path.ends_with("/Session") {
            let mut said =
                wire::AgentMessage::decode(message.body.as_slice()).expect("agents speak protobuf");
            if let Some(agent_message::Message::Hello(hello)) = &mut said.message {
                (hello.protocol_min, hello.protocol_max) = (min, max);
            }
            message.body = said.encode_to_vec();
        }
        vec![message]
    }
}

#[test]
fn an_agent_of_the_next_protocol_measures_for_this_coordinator() {
    let mut pair = Pair::start(speaking(1, 2));
    pair.answers();
    pair.altered(false);
}

#[test]
fn an_agent_of_the_protocol_before_measures_for_this_coordinator() {
    let mut pair = Pair::start(speaking(0, 1));
    pair.answers();
    pair.altered(false);
}

#[test]
fn an_agent_that_is_two_protocols_ahead_is_told_which_side_to_update() {
    let mut pair = Pair::start(speaking(3, 4));
    let told = "speaks protocol 1 to 1, the agent 3 to 4; update the older of the two";
    pair.agent.wait_for_stderr(told);
}

/// An older or a broken coordinator must not make an agent speak what it does not know.
#[test]
fn an_agent_refuses_a_protocol_that_it_does_not_speak() {
    let mut pair = Pair::start(|mut message| {
        if message.is_first && !message.is_from_agent && message.path.ends_with("/Session") {
            let mut said = wire::CoordinatorMessage::decode(message.body.as_slice())
                .expect("coordinators speak protobuf");
            if let Some(coordinator_message::Message::Welcome(welcome)) = &mut said.message {
                welcome.protocol = 2;
            }
            message.body = said.encode_to_vec();
        }
        vec![message]
    });
    let told = "the coordinator chose protocol 2, this agent speaks 1 to 1";
    pair.agent.wait_for_stderr(told);
}

/// What a newer build adds without a new protocol: fields in every message of both sides, and kinds of messages in both streams.
#[test]
fn what_a_newer_build_adds_is_passed_over_by_both_sides() {
    let mut pair = Pair::start(|mut message| {
        message.body.extend(UNHEARD_OF);
        let is_session = message.path.ends_with("/Session");
        let of_a_new_kind = Message {
            is_first: false,
            body: UNHEARD_OF.to_vec(),
            ..message.clone()
        };
        let mut messages = vec![message];
        messages.extend(is_session.then_some(of_a_new_kind));
        messages
    });
    pair.answers();
    pair.altered(true);
}

/// The premise of the test above: nothing here knows the field.
#[test]
fn the_added_field_is_one_and_unknown() {
    let bytes = UNHEARD_OF.as_slice();
    let heartbeat = wire::Heartbeat::decode(bytes).expect("it is a field");
    assert_eq!(heartbeat, wire::Heartbeat::default());
    let mut rest = bytes;
    let (number, _) = prost::encoding::decode_key(&mut rest).expect("it has a number");
    assert_eq!((number, rest), (30_000, &[7_u8][..]));
}
