//! The network between agents and their coordinator, as a TCP proxy whose faults a test switches on and off. Operators do not go through it.
//!
//! What is held back is kept and passed on in order, as TCP does for packets that are lost for a while; only a cut loses what was under way.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How often a quiet connection looks whether it was cut.
const GLANCE: Duration = Duration::from_millis(20);
/// Bytes that are overwritten at a time: longer than any varint and than the head of an HTTP/2 frame, so that no reader takes them for data.
const GARBAGE: usize = 64;
/// Pieces of what trickles, in bytes: less than the head of an HTTP/2 frame.
const CRUMB: usize = 7;

/// Whither bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToCoordinator,
    ToAgents,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::ToCoordinator, Self::ToAgents];
}

/// How bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// At once.
    Free,
    /// Not at all: connections are accepted, and nothing comes through.
    Held,
    /// Each piece so much later.
    Late(Duration),
    /// In pieces smaller than any message.
    Crumbs,
}

/// The proxy. Its threads end with it.
pub struct Network {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    coordinator: SocketAddr,
    weather: Mutex<Weather>,
    changed: Condvar,
}

/// What is the case now.
struct Weather {
    flows: [Flow; 2],
    /// Bytes after which a connection breaks in the middle of whatever it carries.
    cut_after: [Option<usize>; 2],
    /// The next piece is overwritten.
    garble: [bool; 2],
    /// Connections of an earlier age are cut.
    age: u64,
    /// Pieces overwritten, and connections broken in the middle.
    hits: usize,
    over: bool,
}

impl Network {
    /// A network without faults to the coordinator at `coordinator`.
    pub fn to(coordinator: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            coordinator,
            weather: Mutex::new(Weather {
                flows: [Flow::Free; 2],
                cut_after: [None; 2],
                garble: [false; 2],
                age: 0,
                hits: 0,
                over: false,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for agent in listener.incoming().flatten() {
                if accepting.weather().over {
                    return;
                }
                accepting.connect(agent);
            }
        });
        Self { address, state }
    }

    /// Where agents dial.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how bytes go in one direction.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.state
            .change(|weather| weather.flows[direction as usize] = flow);
    }

    /// The same for both.
    pub fn set_both(&self, flow: Flow) {
        self.state.change(|weather| weather.flows = [flow; 2]);
    }

    /// Breaks all connections at once.
    pub fn cut(&self) {
        self.state.change(|weather| weather.age += 1);
    }

    /// Breaks the connection that carries the next bytes in this direction, after so many of them.
    pub fn cut_after(&self, direction: Direction, bytes: usize) {
        self.state
            .change(|weather| weather.cut_after[direction as usize] = Some(bytes));
    }

    /// Overwrites a part of the next bytes in this direction.
    pub fn garble(&self, direction: Direction) {
        self.state
            .change(|weather| weather.garble[direction as usize] = true);
    }

    /// How many cuts in the middle and overwritten pieces there have been.
    pub fn hits(&self) -> usize {
        self.state.weather().hits
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.state.change(|weather| {
            weather.over = true;
            weather.age += 1;
        });
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.weather());
        self.changed.notify_all();
    }

    /// Joins an agent's connection to one to the coordinator; where there is none, the agent's is closed.
    fn connect(self: &Arc<Self>, agent: TcpStream) {
        let Ok(coordinator) = TcpStream::connect(self.coordinator) else {
            return;
        };
        let age = self.weather().age;
        let pairs = [
            (Direction::ToCoordinator, &agent, &coordinator),
            (Direction::ToAgents, &coordinator, &agent),
        ];
        for (direction, from, to) in pairs {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
                return;
            };
            let state = Arc::clone(self);
            thread::spawn(move || {
                state.pass_on(direction, age, &from, &to);
                // Whatever ended one direction ends the other.
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    /// Passes bytes on until the connection ends or is broken.
    fn pass_on(&self, direction: Direction, age: u64, mut from: &TcpStream, mut to: &TcpStream) {
        if from.set_read_timeout(Some(GLANCE)).is_err() || to.set_nodelay(true).is_err() {
            return;
        }
        let mut buffer = [0; 4096];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(read) => Some(read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(_) => return,
            };
            let Some((flow, bytes, breaks)) = self.fate(direction, age, &mut buffer, read) else {
                return;
            };
            if let Flow::Late(by) = flow
                && bytes > 0
            {
                thread::sleep(by);
            }
            let piece = if flow == Flow::Crumbs { CRUMB } else { 4096 };
            if buffer[..bytes]
                .chunks(piece)
                .any(|piece| to.write_all(piece).is_err())
                || breaks
                || read == Some(0)
            {
                return;
            }
        }
    }

    /// What becomes of bytes that were read, once they may pass: how many go on, how, and whether the connection breaks behind them; `None`: it is
    /// broken already.
    fn fate(
        &self,
        direction: Direction,
        age: u64,
        buffer: &mut [u8],
        read: Option<usize>,
    ) -> Option<(Flow, usize, bool)> {
        let index = direction as usize;
        let mut weather = self.weather();
        while weather.age == age && weather.flows[index] == Flow::Held {
            weather = self
                .changed
                .wait(weather)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if weather.age != age {
            return None;
        }
        let mut bytes = read.unwrap_or(0);
        let mut breaks = false;
        if bytes > 0 && std::mem::take(&mut weather.garble[index]) {
            let start = bytes.saturating_sub(GARBAGE) / 2;
            let end = bytes.min(start + GARBAGE);
            buffer[start..end].fill(0xFF);
            weather.hits += 1;
        }
        if bytes > 0
            && let Some(left) = weather.cut_after[index]
        {
            breaks = bytes > left;
            bytes = bytes.min(left);
            weather.cut_after[index] = (!breaks).then(|| left - bytes);
            weather.hits += usize::from(breaks);
        }
        Some((weather.flows[index], bytes, breaks))
    }
}
