//! How agents will get an identity. Until there is TLS the coordinator listens on loopback only, and nobody needs one.

use batchstep_proto::wire::{
    EnrollRequest, EnrollResponse, RenewRequest, RenewResponse,
    enrollment_service_server::EnrollmentService,
};
use tonic::{Request, Response, Status};

/// Answers that there is no enrolment yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Enrollment;

fn not_yet() -> Status {
    Status::unimplemented(
        "this coordinator has no TLS enrolment yet; it serves agents of its own host over loopback, which need none",
    )
}

#[tonic::async_trait]
impl EnrollmentService for Enrollment {
    async fn enroll(
        &self,
        _request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        Err(not_yet())
    }

    async fn renew(
        &self,
        _request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        Err(not_yet())
    }
}
