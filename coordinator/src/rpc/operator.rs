//! `OperatorService`: what people and their scripts ask.

use std::{pin::Pin, sync::Arc};

use batchstep_core::fleet::SweepState;
use batchstep_proto::{
    domain::{InvalidField, SweepSpec},
    ids::{RequestId, SweepId},
    wire::{
        BlockRecord, CancelSweepRequest, CancelSweepResponse, DrainAgentRequest,
        DrainAgentResponse, Event, ExportBlocksRequest, FindModelRequest, FindModelResponse,
        GetSweepRequest, GetSweepResponse, GetTableRequest, GetTableResponse, ListAgentsRequest,
        ListAgentsResponse, ListInventoryChangesRequest, ListInventoryRequest, ListModelsRequest,
        ListModelsResponse, ListSweepsRequest, ListSweepsResponse, RemoveAgentRequest,
        RemoveAgentResponse, RemoveModelRequest, RemoveModelResponse, SubmitSweepRequest,
        SubmitSweepResponse, UploadModelRequest, UploadModelResponse, WatchEventsRequest,
        operator_service_server::OperatorService,
    },
};
use futures_util::Stream;
use jiff::Timestamp;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    export, id, invalid, inventory, models, reason, restrictions, store_failed, sweeps,
    table::{self, Filter},
    watch,
};
use crate::{engine::Engine, inventory::Inventories, pki::Identities, store::Store};

/// The service for operators.
pub struct Operators<S> {
    engine: Engine,
    inventories: Arc<Inventories<S>>,
    identities: Arc<Identities<S>>,
    store: Arc<S>,
    shutdown: CancellationToken,
}

impl<S: Store> Operators<S> {
    /// The service over this task and store; its streams end when `shutdown` is set.
    #[must_use]
    pub const fn new(
        engine: Engine,
        inventories: Arc<Inventories<S>>,
        identities: Arc<Identities<S>>,
        store: Arc<S>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            engine,
            inventories,
            identities,
            store,
            shutdown,
        }
    }

    async fn must_exist(&self, sweep: SweepId) -> Result<SweepState, Status> {
        let stored = self.store.sweep(sweep).await.map_err(store_failed)?;
        stored
            .map(|stored| stored.state)
            .ok_or_else(|| sweeps::unknown(sweep))
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<S: Store> OperatorService for Operators<S> {
    type ExportBlocksStream = Streamed<BlockRecord>;
    type WatchEventsStream = ReceiverStream<Result<Event, Status>>;
    type ListInventoryStream = inventory::Items;
    type ListInventoryModelsStream = inventory::Items;
    type ListInventoryFindingsStream = inventory::Items;
    type ListInventoryChangesStream = inventory::Items;

    async fn submit_sweep(
        &self,
        request: Request<SubmitSweepRequest>,
    ) -> Result<Response<SubmitSweepResponse>, Status> {
        let request = request.into_inner();
        let request_id: RequestId = id("request_id", &request.request_id)?;
        let spec = request
            .spec
            .ok_or_else(|| invalid(InvalidField::new("spec", "is missing")))?;
        let spec = SweepSpec::try_from(spec).map_err(invalid)?;
        models::require(self.store.models(), &spec)?;
        let sweep = self.engine.submit(request_id, spec).await?;
        Ok(Response::new(SubmitSweepResponse {
            sweep_id: sweep.to_string(),
        }))
    }

    async fn list_sweeps(
        &self,
        _request: Request<ListSweepsRequest>,
    ) -> Result<Response<ListSweepsResponse>, Status> {
        let sweeps = sweeps::all(&self.engine, &*self.store).await?;
        Ok(Response::new(ListSweepsResponse { sweeps }))
    }

    async fn get_sweep(
        &self,
        request: Request<GetSweepRequest>,
    ) -> Result<Response<GetSweepResponse>, Status> {
        let sweep: SweepId = id("sweep_id", &request.get_ref().sweep_id)?;
        let sweep = sweeps::one(&self.engine, &*self.store, sweep).await?;
        Ok(Response::new(GetSweepResponse { sweep: Some(sweep) }))
    }

    async fn cancel_sweep(
        &self,
        request: Request<CancelSweepRequest>,
    ) -> Result<Response<CancelSweepResponse>, Status> {
        let request = request.into_inner();
        let sweep: SweepId = id("sweep_id", &request.sweep_id)?;
        let why = reason("reason", request.reason)?;
        let cancelled = match self.must_exist(sweep).await? {
            SweepState::Active => match self.engine.cancel(sweep, why).await {
                Ok(cancelled) => cancelled,
                // It may have ended since.
                Err(error) => match self.must_exist(sweep).await? {
                    SweepState::Active => return Err(error.into()),
                    _ => false,
                },
            },
            _ => false,
        };
        Ok(Response::new(CancelSweepResponse { cancelled }))
    }

    async fn list_agents(
        &self,
        _request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let agents = self.engine.agents().await?;
        Ok(Response::new(ListAgentsResponse { agents }))
    }

    async fn drain_agent(
        &self,
        request: Request<DrainAgentRequest>,
    ) -> Result<Response<DrainAgentResponse>, Status> {
        let drained = restrictions::drain(&self.engine, &self.identities, request.into_inner());
        drained.await.map(Response::new)
    }

    async fn remove_agent(
        &self,
        request: Request<RemoveAgentRequest>,
    ) -> Result<Response<RemoveAgentResponse>, Status> {
        let (engine, identities) = (self.engine.clone(), Arc::clone(&self.identities));
        // Both of its steps are done, even where nobody waits for the answer any more.
        let removed = tokio::spawn(async move {
            restrictions::remove(&engine, &identities, request.get_ref()).await
        });
        let removed = removed.await.map_err(|error| {
            tracing::error!(%error, "An agent could not be removed.");
            Status::internal("the agent could not be removed; the coordinator's log says more")
        })?;
        removed.map(Response::new)
    }

    async fn get_table(
        &self,
        request: Request<GetTableRequest>,
    ) -> Result<Response<GetTableResponse>, Status> {
        let request = request.into_inner();
        let sweep = optional_sweep(request.sweep_id.as_deref())?;
        if let Some(sweep) = sweep {
            self.must_exist(sweep).await?;
        }
        let filter = Filter {
            device_model: request.device_model,
            workload: request.workload,
            detailed: request.detailed,
            simulated: request.simulated,
        };
        let histories = self.store.histories(sweep).await.map_err(store_failed)?;
        let json = tokio::task::spawn_blocking(move || table::json(&histories, &filter))
            .await
            .map_err(|error| {
                tracing::error!(%error, "The table could not be computed.");
                Status::internal("the table could not be computed; the coordinator's log says more")
            })?
            .map_err(|error| {
                Status::internal(format!("the table cannot be written as JSON: {error}"))
            })?;
        Ok(Response::new(GetTableResponse { json }))
    }

    async fn export_blocks(
        &self,
        request: Request<ExportBlocksRequest>,
    ) -> Result<Response<Self::ExportBlocksStream>, Status> {
        let sweep: SweepId = id("sweep_id", &request.get_ref().sweep_id)?;
        self.must_exist(sweep).await?;
        let histories = self
            .store
            .histories(Some(sweep))
            .await
            .map_err(store_failed)?;
        if let Some(kept) = histories.iter().find_map(|history| history.kept.as_ref()) {
            return Err(compacted(sweep, kept.at));
        }
        let records = tokio::task::spawn_blocking(move || export::records(&histories))
            .await
            .map_err(|error| {
                tracing::error!(%error, "The blocks could not be corrected.");
                Status::internal(
                    "the blocks could not be corrected; the coordinator's log says more",
                )
            })?;
        Ok(Response::new(Box::pin(tokio_stream::iter(
            records.into_iter().map(Ok),
        ))))
    }

    async fn find_model(
        &self,
        request: Request<FindModelRequest>,
    ) -> Result<Response<FindModelResponse>, Status> {
        models::find(self.store.models(), request.get_ref()).map(Response::new)
    }

    async fn upload_model(
        &self,
        request: Request<Streaming<UploadModelRequest>>,
    ) -> Result<Response<UploadModelResponse>, Status> {
        let parts = request.into_inner();
        let taken = models::upload(self.store.models(), parts, &self.shutdown).await;
        taken.map(Response::new)
    }

    async fn list_models(
        &self,
        _request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let listed = models::list(&*self.store, &self.engine).await;
        listed.map(Response::new)
    }

    async fn remove_model(
        &self,
        request: Request<RemoveModelRequest>,
    ) -> Result<Response<RemoveModelResponse>, Status> {
        let removed = models::remove(&*self.store, &self.engine, request.get_ref()).await;
        removed.map(Response::new)
    }

    async fn list_inventory(
        &self,
        request: Request<ListInventoryRequest>,
    ) -> Result<Response<inventory::Items>, Status> {
        inventory::hosts(&self.inventories, request.into_inner()).map(Response::new)
    }

    async fn list_inventory_models(
        &self,
        request: Request<ListInventoryRequest>,
    ) -> Result<Response<inventory::Items>, Status> {
        inventory::models(&self.inventories, request.into_inner()).map(Response::new)
    }

    async fn list_inventory_findings(
        &self,
        request: Request<ListInventoryRequest>,
    ) -> Result<Response<inventory::Items>, Status> {
        inventory::findings(&self.inventories, request.into_inner()).map(Response::new)
    }

    async fn list_inventory_changes(
        &self,
        request: Request<ListInventoryChangesRequest>,
    ) -> Result<Response<inventory::Items>, Status> {
        inventory::changes(&self.inventories, request.into_inner()).map(Response::new)
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let request = request.into_inner();
        let sweep = optional_sweep(request.sweep_id.as_deref())?;
        if let Some(sweep) = sweep {
            self.must_exist(sweep).await?;
        }
        let last = self.store.last_seq().await.map_err(store_failed)?;
        if request.after_seq > last {
            return Err(Status::out_of_range(format!(
                "field `after_seq`: {} is beyond the journal, whose last event is {last}; is this another coordinator's number?",
                request.after_seq
            )));
        }
        let events = watch::watch(
            &self.engine,
            Arc::clone(&self.store),
            request.after_seq,
            sweep,
            self.shutdown.clone(),
        );
        Ok(Response::new(ReceiverStream::new(events)))
    }
}

/// An export without some of its blocks would pass for all of them.
fn compacted(sweep: SweepId, at: Timestamp) -> Status {
    Status::failed_precondition(format!(
        "the blocks of sweep {sweep} are compacted since {}, because they were older than this coordinator keeps them (--keep-blocks); its answers, point \
         estimates and curves stay: batchstep export {sweep} --format json; the blocks are in backups made before",
        at.strftime("%F")
    ))
}

fn optional_sweep(text: Option<&str>) -> Result<Option<SweepId>, Status> {
    text.map(|text| id("sweep_id", text)).transpose()
}
