// SPDX-License-Identifier: MPL-2.0
//! The services that a host expects beside the provider's: shutdown, output, side channels, health.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming};

use crate::generated::health::health_answer::Status as Serving;
use crate::generated::health::health_server::Health;
use crate::generated::health::{HealthAnswer, HealthQuestion};
use crate::generated::plugin::grpc_broker_server::GrpcBroker;
use crate::generated::plugin::grpc_controller_server::GrpcController;
use crate::generated::plugin::grpc_stdio_server::GrpcStdio;
use crate::generated::plugin::{BrokerOffer, Nothing, OutputChunk};

/// All four services; they share nothing but the request to end.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    pub(crate) shutdown: Arc<Notify>,
}

#[tonic::async_trait]
impl GrpcController for Beside {
    async fn shutdown(&self, _request: Request<Nothing>) -> Result<Response<Nothing>, Status> {
        self.shutdown.notify_one();
        Ok(Response::new(Nothing {}))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Beside {
    type StreamStdioStream = BoxStream<'static, Result<OutputChunk, Status>>;

    /// Stays open and silent: the log goes to standard error, and nothing else is written.
    async fn stream_stdio(
        &self,
        _request: Request<Nothing>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(futures::stream::pending().boxed()))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Beside {
    type StartStreamStream = BoxStream<'static, Result<BrokerOffer, Status>>;

    /// Stays open and silent: a provider offers no side channels and takes none.
    async fn start_stream(
        &self,
        _request: Request<Streaming<BrokerOffer>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(futures::stream::pending().boxed()))
    }
}

#[tonic::async_trait]
impl Health for Beside {
    async fn check(&self, request: Request<HealthQuestion>) -> Result<Response<HealthAnswer>, Status> {
        match request.into_inner().service.as_str() {
            "" | "plugin" => Ok(Response::new(HealthAnswer { status: Serving::Serving.into() })),
            other => Err(Status::not_found(format!("there is no service {other:?}"))),
        }
    }
}
