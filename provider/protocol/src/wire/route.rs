// SPDX-License-Identifier: MPL-2.0
//! Hands each gRPC call to the service in its path. Five services need no routing library.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::services::Beside;
use crate::generated::health::health_server::HealthServer;
use crate::generated::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::generated::plugin::grpc_controller_server::GrpcControllerServer;
use crate::generated::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::generated::tfplugin6::provider_server::ProviderServer;
use crate::server::Server;

/// Greatest request: a state with large values. The same limit as in Go providers.
const REQUEST_MAX: usize = 256 << 20;

/// All services of the process.
#[derive(Clone)]
pub(crate) struct Routes {
    provider: ProviderServer<Server>,
    controller: GrpcControllerServer<Beside>,
    stdio: GrpcStdioServer<Beside>,
    broker: GrpcBrokerServer<Beside>,
    health: HealthServer<Beside>,
}

impl Routes {
    pub(crate) fn new(server: Server, beside: &Beside) -> Routes {
        Routes {
            provider: ProviderServer::new(server)
                .max_decoding_message_size(REQUEST_MAX)
                .max_encoding_message_size(usize::MAX),
            controller: GrpcControllerServer::new(beside.clone()),
            stdio: GrpcStdioServer::new(beside.clone()),
            broker: GrpcBrokerServer::new(beside.clone()),
            health: HealthServer::new(beside.clone()),
        }
    }
}

/// The service name in `/service/method`.
fn service_of<S: NamedService>(_: &S, path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(service, _)| service == S::NAME)
}

impl Service<http::Request<Body>> for Routes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Generated services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if service_of(&self.provider, path) {
            self.provider.call(request)
        } else if service_of(&self.controller, path) {
            self.controller.call(request)
        } else if service_of(&self.stdio, path) {
            self.stdio.call(request)
        } else if service_of(&self.broker, path) {
            self.broker.call(request)
        } else if service_of(&self.health, path) {
            self.health.call(request)
        } else {
            let unknown = Status::unimplemented("the provider has no such service");
            Box::pin(async move { Ok(unknown.into_http()) })
        }
    }
}
