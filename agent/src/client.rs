//! The coordinator's calls over an open channel. Everything that calls makes its client here.

use batchstep_proto::{limits::MESSAGE_BYTES, wire::agent_service_client::AgentServiceClient};
use tonic::transport::Channel;

/// A client with the limits of messages that both sides keep.
pub(crate) fn over(channel: Channel) -> AgentServiceClient<Channel> {
    AgentServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}
