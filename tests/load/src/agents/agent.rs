//! One light agent: dials, says hello, accepts what it is given, waits instead of measuring, reports, and comes back when its session ends. Does what
//! the real one does on the wire, without its disk and its processes.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use batchstep_proto::{
    ids::{AgentId, BootId},
    version,
    wire::{
        self, agent_message, agent_service_client::AgentServiceClient,
        coordinator_message::Message, held_attempt,
    },
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use super::{
    Options,
    device::{Device, describe, request, stopped},
    figures::{Figures, lock},
};

/// As the real agent has it.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// As the real agent has it: windows of reconnects begin here, and double.
const FIRST_WINDOW: Duration = Duration::from_secs(1);
/// Longest wait for a welcome or a receipt: the coordinator may have a fleet to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// An agent with what it would keep on its disk.
pub struct Agent {
    endpoint: Endpoint,
    number: u32,
    id: String,
    boot: BootId,
    device: Device,
    round: Duration,
    parts: bool,
    figures: Arc<Mutex<Figures>>,
    /// Attempts that are accepted or about to be, in order.
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    /// Results that have no receipt, in order.
    spooled: VecDeque<wire::ReportAttemptRequest>,
    /// The series of the last round, and when that round ended.
    ended: Option<(String, Instant)>,
}

struct Waiting {
    assignment: wire::Assignment,
    /// The acceptance is on record.
    recorded: bool,
}

struct Running {
    assignment: wire::Assignment,
    ends: Instant,
    /// Parts reported so far.
    part: u32,
}

type Receipt = JoinHandle<Result<(), Status>>;

impl Agent {
    /// The agent with this number.
    pub fn new(options: &Options, number: u32, figures: Arc<Mutex<Figures>>) -> Result<Self> {
        let endpoint = Endpoint::from_shared(options.url.clone())
            .context("the coordinator's address")?
            .local_address(Some(options.source.into()))
            .connect_timeout(KEEPALIVE)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(Self {
            endpoint,
            number,
            id: AgentId::from_uuid(Uuid::from_u64_pair(
                0x0190_0000_0000_7000,
                u64::from(number),
            ))
            .to_string(),
            boot: BootId::generate(),
            device: Device::new(number),
            round: Duration::from_millis(options.round_ms),
            parts: options.parts,
            figures,
            waiting: VecDeque::new(),
            running: None,
            spooled: VecDeque::new(),
            ended: None,
        })
    }

    /// Keeps a session open for ever.
    pub async fn live(mut self) {
        let mut failures = 0;
        loop {
            let mut welcomed = false;
            let ended = self.session(&mut welcomed).await;
            {
                let mut figures = lock(&self.figures);
                figures.failures += 1;
                figures.failure = ended.err().map(|error| format!("{error:#}"));
                if welcomed {
                    figures.welcomed -= 1;
                    failures = 0;
                }
            }
            let window = FIRST_WINDOW * (1 << failures.min(6));
            failures += 1;
            // Half of an outage is at most waited for again; this fleet's outages are of some seconds.
            sleep(window.min(5 * FIRST_WINDOW).mul_f64(self.device.random())).await;
        }
    }

    async fn session(&mut self, welcomed: &mut bool) -> Result<()> {
        let channel = self.endpoint.connect().await?;
        let mut client = AgentServiceClient::new(channel.clone());
        let (outbound, queue) = mpsc::channel(16);
        let send = async |message| {
            let message = wire::AgentMessage {
                message: Some(message),
            };
            outbound.send(message).await.context("the stream is gone")
        };
        send(agent_message::Message::Hello(self.hello())).await?;
        let mut inbound = client
            .session(ReceiverStream::new(queue))
            .await?
            .into_inner();
        let first = tokio::time::timeout(PATIENCE, inbound.message()).await??;
        let Some(Message::Welcome(welcome)) = first.and_then(|first| first.message) else {
            bail!("no welcome");
        };
        *welcomed = true;
        lock(&self.figures).welcomed += 1;
        self.obey(&welcome);
        let interval = Duration::from_nanos(welcome.heartbeat_interval_ns);
        let first = Instant::now() + interval.mul_f64(self.device.random());
        let mut heartbeats = interval_at(first, interval);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sequence = 0;
        let mut receipt = self.deliver(&channel);
        loop {
            self.start_next();
            let round_end = self.running.as_ref().map(|running| running.ends);
            let free = receipt.is_none();
            tokio::select! {
                message = inbound.message() => {
                    let message = message?.and_then(|message| message.message);
                    let Some(message) = message else { bail!("the stream ended") };
                    if let Some(answer) = self.take(message)? {
                        send(answer).await?;
                    }
                    receipt = receipt.or_else(|| self.deliver(&channel));
                }
                _ = heartbeats.tick() => {
                    sequence += 1;
                    let heartbeat = wire::Heartbeat { sequence, ..wire::Heartbeat::default() };
                    send(agent_message::Message::Heartbeat(heartbeat)).await?;
                }
                () = at(round_end), if free => {
                    self.end_round();
                    receipt = self.deliver(&channel);
                }
                outcome = received(&mut receipt) => {
                    outcome?;
                    self.spooled.pop_front();
                    receipt = self.deliver(&channel);
                }
            }
        }
    }

    fn hello(&self) -> wire::AgentHello {
        let held = |attempt_id: &str, state: held_attempt::State| wire::HeldAttempt {
            attempt_id: attempt_id.to_owned(),
            state: state as i32,
        };
        let waiting = self.waiting.iter().map(|waiting| {
            held(
                &waiting.assignment.attempt_id,
                held_attempt::State::Accepted,
            )
        });
        let running = self
            .running
            .iter()
            .map(|running| held(&running.assignment.attempt_id, held_attempt::State::Running));
        let spooled = self.spooled.iter().filter_map(|request| {
            let report = request.report.as_ref()?;
            Some(held(&report.attempt_id, held_attempt::State::Spooled))
        });
        wire::AgentHello {
            protocol_min: *version::SUPPORTED.start(),
            protocol_max: *version::SUPPORTED.end(),
            agent_id: self.id.clone(),
            boot_id: self.boot.to_string(),
            host: Some(wire::HostFacts {
                hostname: format!("light-{:05}", self.number),
                machine_id: format!("light-{:05}", self.number),
                logical_cores: Some(2),
                physical_cores: Some(2),
                agent_version: "light".to_owned(),
                ..wire::HostFacts::default()
            }),
            devices: vec![describe(self.number)],
            held: running.chain(waiting).chain(spooled).collect(),
            draining: false,
        }
    }

    /// Stops what is not wanted any more; what is kept and was accepted is recorded again.
    fn obey(&mut self, welcome: &wire::Welcome) {
        for verdict in &welcome.verdicts {
            if verdict.verdict() == wire::attempt_verdict::Verdict::Stop {
                self.stop_attempt(&verdict.attempt_id);
            }
        }
    }

    /// Ends an attempt that is called back. One that has not begun is reported as well, or it would stay on the coordinator's record as out.
    fn stop_attempt(&mut self, id: &str) {
        let place = self
            .waiting
            .iter()
            .position(|waiting| waiting.assignment.attempt_id == id);
        if let Some(called_back) = place.and_then(|place| self.waiting.remove(place)) {
            let report = stopped(&called_back.assignment);
            self.spooled.push_back(request(&self.id, report));
        }
        if let Some(running) = &mut self.running
            && running.assignment.attempt_id == id
        {
            // What there is of it is reported.
            running.ends = Instant::now();
        }
    }

    /// Takes a message; answers with what is to be sent.
    fn take(&mut self, message: Message) -> Result<Option<agent_message::Message>> {
        match message {
            Message::Assignment(assignment) => {
                let accepted = wire::AttemptAccepted {
                    attempt_id: assignment.attempt_id.clone(),
                };
                self.waiting.push_back(Waiting {
                    assignment,
                    recorded: false,
                });
                return Ok(Some(agent_message::Message::Accepted(accepted)));
            }
            Message::Recorded(recorded) => {
                for waiting in &mut self.waiting {
                    waiting.recorded |= waiting.assignment.attempt_id == recorded.attempt_id;
                }
            }
            Message::Stop(stop) => self.stop_attempt(&stop.attempt_id),
            Message::Closing(closing) => bail!("closed: {}", closing.reason),
            _ => {}
        }
        Ok(None)
    }

    /// Starts the next round when the device is free and its acceptance is on record.
    fn start_next(&mut self) {
        if self.running.is_some() || !self.waiting.front().is_some_and(|next| next.recorded) {
            return;
        }
        let Some(next) = self.waiting.pop_front() else {
            return;
        };
        let now = Instant::now();
        let series = next.assignment.round.as_ref().map(|round| &round.series_id);
        if let Some((last, ended)) = self.ended.take()
            && series == Some(&last)
        {
            lock(&self.figures)
                .idle_us
                .push(micros(now.duration_since(ended)));
        }
        let length = if self.parts {
            Duration::ZERO
        } else {
            self.round.mul_f64(0.5 + self.device.random())
        };
        self.running = Some(Running {
            assignment: next.assignment,
            ends: now + length,
            part: 0,
        });
    }

    /// The running round is over, or the next part of it: what it came to waits for its receipt.
    fn end_round(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let report = self
            .device
            .report(&running.assignment, running.part, !self.parts);
        self.spooled.push_back(request(&self.id, report));
        running.part += 1;
        if !self.parts
            && let Some(running) = self.running.take()
        {
            let series = running.assignment.round.map(|round| round.series_id);
            self.ended = series.map(|series| (series, Instant::now()));
        }
    }

    /// Calls for the receipt of the first that is spooled.
    fn deliver(&self, channel: &Channel) -> Option<Receipt> {
        let request = self.spooled.front()?.clone();
        let mut client = AgentServiceClient::new(channel.clone());
        let figures = Arc::clone(&self.figures);
        Some(tokio::spawn(async move {
            let report = request.report.as_ref();
            let last = report.is_some_and(|report| report.r#final);
            let blocks = report.map_or(0, |report| report.blocks.len());
            let called = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, client.report_attempt(request)).await;
            answer.map_err(|_| Status::deadline_exceeded("no receipt"))??;
            let mut figures = lock(&figures);
            figures.receipt_us.push(micros(called.elapsed()));
            figures.reports += 1;
            figures.rounds += u64::from(last);
            figures.blocks += blocks as u64;
            Ok(())
        }))
    }
}

/// The end of the running round; never when nothing runs.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

/// The receipt that is waited for; never when there is none.
async fn received(receipt: &mut Option<Receipt>) -> Result<()> {
    match receipt {
        Some(receipt) => Ok(receipt.await??),
        None => pending().await,
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
