//! How a certificate says whose it is: by a URI among its subject alternative names, which only the coordinator writes.

use batchstep_proto::ids::AgentId;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// The name in the coordinator's own certificate that its clients ask for, whatever address they dialled: the authority certifies one server only, so a
/// coordinator may be reached by any name, address or tunnel.
pub const COORDINATOR_NAME: &str = "coordinator.batchstep.internal";

const AGENT: &str = "batchstep:agent/";

/// The name of an agent in its certificate.
#[must_use]
pub fn agent_uri(agent: AgentId) -> String {
    format!("{AGENT}{agent}")
}

/// The agent that a certificate in DER is for. Its signature is not looked at: verify the certificate first.
#[must_use]
pub fn agent_of(certificate: &[u8]) -> Option<AgentId> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return None;
    };
    uri.strip_prefix(AGENT)?.parse().ok()
}
