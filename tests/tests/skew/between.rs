//! A gRPC proxy that knows no message: it passes on the bytes of each, in both directions and for every call, as a function of the test's alters them.

use std::{
    convert::Infallible,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
};

use prost::bytes::{Buf as _, BufMut as _};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{
    StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service, http},
    server,
    server::{NamedService, StreamingService},
    transport::{Channel, Endpoint, Server},
};

/// One message on its way.
#[derive(Debug, Clone)]
pub struct Message {
    /// Of the call, such as `/batchstep.v1.AgentService/Session`.
    pub path: String,
    pub is_from_agent: bool,
    /// The first of its call in its direction.
    pub is_first: bool,
    /// Protobuf.
    pub body: Vec<u8>,
}

type Alter = dyn Fn(Message) -> Vec<Message> + Send + Sync;

/// How many messages did not go on as they came.
#[derive(Default)]
struct Altered {
    from_agents: AtomicUsize,
    from_coordinator: AtomicUsize,
}

impl Altered {
    const fn of(&self, is_from_agent: bool) -> &AtomicUsize {
        if is_from_agent {
            &self.from_agents
        } else {
            &self.from_coordinator
        }
    }
}

/// The proxy, until it is dropped.
pub struct Between {
    port: u16,
    altered: Arc<Altered>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Between {
    /// Passes the calls of agents on to the coordinator at `url`; `alter` says what becomes of each message.
    pub fn listening(
        url: String,
        alter: impl Fn(Message) -> Vec<Message> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (stop, stopped) = oneshot::channel::<()>();
        let altered = Arc::<Altered>::default();
        let counted = Arc::clone(&altered);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let _ = runtime.block_on(async {
                listener.set_nonblocking(true).expect("a socket");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let calls = Calls {
                    coordinator: Endpoint::from_shared(url).expect("a URL").connect_lazy(),
                    alter: Arc::new(alter),
                    altered: counted,
                };
                let serving = Server::builder()
                    .add_service(calls)
                    .serve_with_incoming(TcpListenerStream::new(listener));
                // Streams that are open end with the runtime.
                tokio::select! {
                    served = serving => served,
                    _ = stopped => Ok(()),
                }
            });
        });
        Self {
            port,
            altered,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where agents dial.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many messages of this direction were altered so far.
    pub fn altered(&self, is_from_agent: bool) -> usize {
        self.altered.of(is_from_agent).load(Ordering::Relaxed)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Every call of the agents' service.
#[derive(Clone)]
struct Calls {
    coordinator: Channel,
    alter: Arc<Alter>,
    altered: Arc<Altered>,
}

impl NamedService for Calls {
    const NAME: &'static str = "batchstep.v1.AgentService";
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = Call {
            path: request.uri().path().to_owned(),
            calls: self.clone(),
        };
        // A call with one message is a stream of one.
        Box::pin(async move { Ok(server::Grpc::new(Raw).streaming(call, request).await) })
    }
}

/// One call.
#[derive(Clone)]
struct Call {
    path: String,
    calls: Calls,
}

impl Call {
    /// The messages of one direction as they go on, and the status with which it breaks, if it does.
    fn altered(
        &self,
        is_from_agent: bool,
        mut messages: Streaming<Vec<u8>>,
    ) -> ReceiverStream<Result<Vec<u8>, Status>> {
        let (go_on, altered) = mpsc::channel(1);
        let call = self.clone();
        tokio::spawn(async move {
            let mut is_first = true;
            while let Some(read) = messages.next().await {
                let mut alter = |body: Vec<u8>| {
                    let before = body.clone();
                    let message = Message {
                        path: call.path.clone(),
                        is_from_agent,
                        is_first: std::mem::take(&mut is_first),
                        body,
                    };
                    let after = (call.calls.alter)(message);
                    if !matches!(after.as_slice(), [same] if same.body == before) {
                        let count = call.calls.altered.of(is_from_agent);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    after
                };
                let altered = match read {
                    Ok(body) => alter(body).into_iter().map(|it| Ok(it.body)).collect(),
                    Err(status) => vec![Err(status)],
                };
                for message in altered {
                    if go_on.send(message).await.is_err() {
                        return;
                    }
                }
            }
        });
        ReceiverStream::new(altered)
    }
}

impl StreamingService<Vec<u8>> for Call {
    type Response = Vec<u8>;
    type ResponseStream = ReceiverStream<Result<Vec<u8>, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        let call = self.clone();
        Box::pin(async move {
            // What the agent broke off is broken off for the coordinator as well.
            let asked = call
                .altered(true, request.into_inner())
                .map_while(Result::ok);
            let mut coordinator = client::Grpc::new(call.calls.coordinator.clone());
            coordinator
                .ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let path = call.path.parse().expect("it was a path");
            let answered = coordinator
                .streaming(Request::new(asked), path, Raw)
                .await?
                .into_inner();
            Ok(Response::new(call.altered(false, answered)))
        })
    }
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
