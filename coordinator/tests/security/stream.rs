//! An agent that says hello with its certificate, and does what a test tells it.

use batchstep_proto::{
    ids::AgentId,
    wire::{
        self, agent_message::Message, agent_service_client::AgentServiceClient,
        coordinator_message::Message as Answer,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    guarded::{Credentials, Guarded},
    support::{device, hello, soon},
};

/// An agent's open stream.
pub struct Stream {
    pub client: AgentServiceClient<Channel>,
    outbound: mpsc::Sender<wire::AgentMessage>,
    inbound: Streaming<wire::CoordinatorMessage>,
}

impl Stream {
    /// Says hello from a host with these devices, and waits for the welcome.
    pub async fn open(
        coordinator: &Guarded,
        credentials: &Credentials,
        machine_id: &str,
        devices: &[&str],
    ) -> Result<Self, Status> {
        let mut hello = hello("none");
        hello.agent_id = credentials.agent.to_string();
        hello.devices = devices.iter().map(|id| gpu(id)).collect();
        if let Some(host) = &mut hello.host {
            host.machine_id = machine_id.to_owned();
        }
        let (outbound, queue) = mpsc::channel(8);
        let first = wire::AgentMessage {
            message: Some(Message::Hello(hello)),
        };
        outbound.send(first).await.unwrap();
        let mut client = coordinator.agents(credentials).await;
        let answer = soon("a session", client.session(ReceiverStream::new(queue))).await?;
        let mut stream = Self {
            client,
            outbound,
            inbound: answer.into_inner(),
        };
        let welcome = stream.next().await;
        assert!(matches!(welcome, Some(Answer::Welcome(_))), "{welcome:?}");
        Ok(stream)
    }

    pub async fn next(&mut self) -> Option<Answer> {
        let message = soon("a message", self.inbound.message()).await.unwrap();
        message.and_then(|message| message.message)
    }

    /// The device of the next assignment.
    pub async fn assigned(&mut self) -> String {
        loop {
            if let Some(Answer::Assignment(assignment)) = self.next().await {
                return assignment.round.unwrap().device_id;
            }
        }
    }

    /// Offers a device that was not in the hello, and waits until that is taken.
    pub async fn offer(&mut self, id: &str) {
        self.beat(vec![gpu(id)]).await;
    }

    /// A heartbeat, and its answer.
    pub async fn beat(&mut self, changed: Vec<wire::Device>) {
        let heartbeat = wire::Heartbeat {
            sequence: 1,
            draining: false,
            changed,
        };
        let message = wire::AgentMessage {
            message: Some(Message::Heartbeat(heartbeat)),
        };
        self.outbound.send(message).await.unwrap();
        while !matches!(self.next().await, Some(Answer::HeartbeatAck(_))) {}
    }

    /// Leaves, and waits until the coordinator has seen it.
    pub async fn close(mut self) {
        drop(self.outbound);
        soon("the end of the stream", async {
            while let Ok(Some(_)) = self.inbound.message().await {}
        })
        .await;
    }
}

/// A GPU with this id.
pub fn gpu(id: &str) -> wire::Device {
    wire::Device {
        kind: wire::DeviceKind::Cuda as i32,
        ..device(id).into()
    }
}

/// The devices that the coordinator takes for an agent's.
pub async fn devices(coordinator: &Guarded, agent: AgentId) -> Vec<String> {
    let mut operators = coordinator.operators().await;
    let listed = operators.list_agents(wire::ListAgentsRequest {}).await;
    let listed = listed.unwrap().into_inner().agents;
    let found = listed
        .iter()
        .find(|listed| listed.agent_id == agent.to_string());
    let devices = &found.expect("the agent is listed").devices;
    devices.iter().map(|device| device.id.clone()).collect()
}
