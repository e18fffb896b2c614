//! A coordinator that serves TLS on loopback, and clients with and without an identity.

use std::{net::SocketAddr, path::Path, time::Duration};

use batchstep_coordinator::{
    pki::{Authority, LocalOperator, PKI_DIRECTORY},
    serve::{self, ServeError, Tls},
    store::Memory,
};
use batchstep_core::fleet::Config;
use batchstep_daemon::Heart;
use batchstep_identity::{TlsConnector, Token, client_config};
use batchstep_proto::{
    domain::AttemptReport,
    ids::AgentId,
    wire::{
        self, agent_service_client::AgentServiceClient,
        enrollment_service_client::EnrollmentServiceClient,
        identity_service_client::IdentityServiceClient,
        operator_service_client::OperatorServiceClient, report_attempt_response::Disposition,
    },
};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::Channel,
};

use crate::support::{measured, soon};

pub const HOUR: Duration = Duration::from_secs(3600);

/// A running coordinator.
pub struct Guarded {
    pub address: SocketAddr,
    pub directory: TempDir,
    /// That of local operators.
    pub operator: Token,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

/// Shows a token with every request.
pub type Bearing = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = self.0.clone();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// A key with the certificate that an authority gave it.
pub struct Credentials {
    pub agent: AgentId,
    key: PrivateKeyDer<'static>,
    chain: Vec<CertificateDer<'static>>,
}

impl Guarded {
    pub async fn start() -> Self {
        Self::start_on(Memory::new()).await
    }

    pub async fn start_on(store: Memory) -> Self {
        Self::start_in(TempDir::new().unwrap(), store).await
    }

    async fn start_in(directory: TempDir, store: Memory) -> Self {
        let listener = serve::bind_for_tls(([127, 0, 0, 1], 0).into());
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let tls = Tls {
            data_dir: directory.path().to_owned(),
            names: Vec::new(),
            certificate_lifetime: HOUR,
        };
        let serving = serve::serve_tls(
            store,
            listener,
            shutdown.clone(),
            Config::default(),
            Heart::unheard(),
            tls,
        );
        let task = tokio::spawn(serving);
        let operator = soon("the credential of local operators", async {
            loop {
                if let Some(local) = LocalOperator::read(directory.path()).unwrap() {
                    break local.token.parse().unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self {
            operator: operator.await,
            address,
            directory,
            shutdown,
            task,
        }
    }

    pub async fn stop(self) {
        self.end().await;
    }

    /// Another process with the same authority and this store.
    pub async fn restart(self, store: Memory) -> Self {
        let directory = self.end().await;
        Self::start_in(directory, store).await
    }

    async fn end(self) -> TempDir {
        self.shutdown.cancel();
        let stopped = soon("the coordinator to stop", self.task).await;
        stopped.unwrap().unwrap();
        self.directory
    }

    /// Its authority, to issue what it would not.
    pub fn authority(&self) -> Authority {
        authority_in(&self.directory.path().join(PKI_DIRECTORY))
    }

    pub async fn try_channel(
        &self,
        config: ClientConfig,
    ) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        let connecting = endpoint.connect_with_connector(TlsConnector::new(config));
        soon("a connection", connecting).await
    }

    /// Without a certificate.
    pub async fn channel(&self) -> Channel {
        let config = client_config(self.operator.authority, None).unwrap();
        self.try_channel(config).await.unwrap()
    }

    pub async fn bearing(&self, token: &str) -> Bearing {
        let value = format!("Bearer {token}").parse().unwrap();
        InterceptedService::new(self.channel().await, Bearer(value))
    }

    pub async fn operators(&self) -> OperatorServiceClient<Bearing> {
        OperatorServiceClient::new(self.bearing(&self.operator.reveal()).await)
    }

    pub async fn identity(&self) -> IdentityServiceClient<Bearing> {
        IdentityServiceClient::new(self.bearing(&self.operator.reveal()).await)
    }

    pub async fn token(&self, request: wire::CreateTokenRequest) -> String {
        let answer = self.identity().await.create_token(request).await;
        answer.unwrap().into_inner().token
    }

    pub async fn join_token(&self) -> String {
        self.token(join()).await
    }

    pub async fn enroll(
        &self,
        join_token: &str,
        key: &KeyPair,
    ) -> Result<wire::EnrollResponse, Status> {
        let request = wire::EnrollRequest {
            join_token: join_token.to_owned(),
            signing_request: signing_request(key),
            host: Some(wire::HostFacts {
                hostname: "host".to_owned(),
                ..wire::HostFacts::default()
            }),
        };
        let mut client = EnrollmentServiceClient::new(self.channel().await);
        let answer = soon("an enrolment", client.enroll(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// A new agent.
    pub async fn agent(&self) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let token = self.join_token().await;
        let answer = self.enroll(&token, &key).await.unwrap();
        let agent = answer.agent_id.parse().unwrap();
        Credentials::new(agent, &key, answer.certificate_chain)
    }

    pub async fn try_agents(
        &self,
        credentials: &Credentials,
    ) -> Result<AgentServiceClient<Channel>, tonic::transport::Error> {
        let channel = self.try_channel(credentials.config(self)).await?;
        Ok(AgentServiceClient::new(channel))
    }

    pub async fn agents(&self, credentials: &Credentials) -> AgentServiceClient<Channel> {
        self.try_agents(credentials).await.unwrap()
    }

    /// Proves that somebody else, with a connection of their own, is served as ever.
    pub async fn serves_others(&self) {
        let mut operators = self.operators().await;
        let asked = operators.list_sweeps(wire::ListSweepsRequest {});
        soon("an operator's answer", asked).await.unwrap();
        let other = self.agent().await;
        let mut agents = self.agents(&other).await;
        let reported = agents.report_attempt(stray_report(other.agent));
        let answer = soon("an agent's receipt", reported).await.unwrap();
        assert_eq!(answer.into_inner().disposition(), Disposition::Quarantined);
    }
}

impl Credentials {
    pub fn new(agent: AgentId, key: &KeyPair, chain: Vec<Vec<u8>>) -> Self {
        Self {
            agent,
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            chain: chain.into_iter().map(CertificateDer::from).collect(),
        }
    }

    /// From an authority that issues whatever the test wants.
    pub fn of(authority: &Authority, agent: AgentId, at: Timestamp, lifetime: Duration) -> Self {
        let key = KeyPair::generate().unwrap();
        let issued = authority.issue_agent(&signing_request(&key), agent, at, lifetime);
        let chain = issued.unwrap().chain.into_iter();
        Self::new(
            agent,
            &key,
            chain.map(|certificate| certificate.to_vec()).collect(),
        )
    }

    pub fn config(&self, coordinator: &Guarded) -> ClientConfig {
        let identity = (self.chain.clone(), self.key.clone_key());
        client_config(coordinator.operator.authority, Some(identity)).unwrap()
    }
}

pub fn authority_in(folder: &Path) -> Authority {
    Authority::open(folder, Timestamp::now()).unwrap()
}

pub fn signing_request(key: &KeyPair) -> Vec<u8> {
    let request = CertificateParams::default().serialize_request(key);
    request.unwrap().der().to_vec()
}

/// A join token for one agent.
pub fn join() -> wire::CreateTokenRequest {
    wire::CreateTokenRequest {
        kind: wire::TokenKind::Join as i32,
        name: String::new(),
        ttl_ns: 3_600_000_000_000,
        uses: 1,
        agent_id: None,
    }
}

/// A report about an attempt that was never made.
pub fn stray_report(agent: AgentId) -> wire::ReportAttemptRequest {
    let assignment = wire::Assignment {
        attempt_id: AgentId::generate().to_string(),
        round: Some(wire::Round {
            round_id: AgentId::generate().to_string(),
            ..wire::Round::default()
        }),
        ..wire::Assignment::default()
    };
    let report = measured(&assignment);
    wire::ReportAttemptRequest {
        agent_id: agent.to_string(),
        digest: AttemptReport::digest(&report).to_vec(),
        report: Some(report),
    }
}
