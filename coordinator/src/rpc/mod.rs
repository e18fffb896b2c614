//! The gRPC services, over the fleet state machine.
