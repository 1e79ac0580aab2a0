// SPDX-License-Identifier: MPL-2.0
//! The methods of the service `tfplugin6.Provider`: each finds what it is about and hands over to the file that knows
//! how. Nothing is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::registry::{Entry, Prepared};
use super::{Core, Failure, Server, answer, apply, data, function, guard, plan, read, state};
use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generated::tfplugin6 as proto;
use crate::generated::tfplugin6::provider_server::Provider as Service;
use crate::schema::{Stage, validate_fields};
use crate::value::Path;

/// The entry a request names, or the answer that there is none.
fn find<'e, T, R: Failure>(entries: &'e BTreeMap<String, Entry<T>>, name: &str) -> Result<&'e Entry<T>, R> {
    entries.get(name).ok_or_else(|| {
        let detail = format!(
            "The provider has nothing named {name:?}. Nothing was changed. The provider was probably replaced by \
             another version during the run; run terraform init, then start again."
        );
        let unknown = Diagnostic::error("Unknown type", detail);
        R::failure(answer::diagnostics(&[], unknown.into()))
    })
}

/// Decodes a configuration and runs its validators.
fn check_config(
    prepared: &Prepared,
    config: Option<&proto::DynamicValue>,
    write_only_allowed: bool,
) -> Result<(crate::Value, Diagnostics), Diagnostics> {
    let config = answer::decode(&prepared.ty, config)?;
    state::write_only_allowed(prepared.fields(), &config, write_only_allowed)?;
    let mut found = Diagnostics::new();
    validate_fields(prepared.fields(), &config, Stage::Written, &Path::root(), &mut found);
    Ok((config, found))
}

/// Runs the validators of the schema, then those of the author. Both report, so that all is said at once.
macro_rules! validate {
    ($prepared:expr, $config:expr, $write_only_allowed:expr, $ctx:expr, $validate:expr) => {{
        let prepared = $prepared;
        let found = match check_config(prepared, $config, $write_only_allowed) {
            Err(errors) => errors,
            Ok((config, mut found)) => {
                let more = guard::catch($ctx, $validate(&config, $ctx)).await;
                found.extend(more.unwrap_or_else(Diagnostics::from));
                found
            }
        };
        answer::diagnostics(prepared.fields(), found)
    }};
}

#[tonic::async_trait]
impl Service for Server {
    async fn get_metadata(
        &self,
        _request: Request<proto::GetMetadataRequest>,
    ) -> Result<Response<proto::GetMetadataResponse>, Status> {
        Ok(Response::new(self.core.registry.metadata()))
    }

    async fn get_provider_schema(
        &self,
        _request: Request<proto::GetProviderSchemaRequest>,
    ) -> Result<Response<proto::GetProviderSchemaResponse>, Status> {
        Ok(Response::new(self.core.registry.schemas()))
    }

    async fn get_resource_identity_schemas(
        &self,
        _request: Request<proto::GetResourceIdentitySchemasRequest>,
    ) -> Result<Response<proto::GetResourceIdentitySchemasResponse>, Status> {
        // No resource has an identity. Terraform 1.12 and newer ask at every start.
        Ok(Response::new(proto::GetResourceIdentitySchemasResponse::default()))
    }

    async fn validate_provider_config(
        &self,
        request: Request<proto::ValidateProviderConfigRequest>,
    ) -> Result<Response<proto::ValidateProviderConfigResponse>, Status> {
        let config = request.into_inner().config;
        self.run("ValidateProviderConfig", "", |core, ctx| async move {
            let validate = |config, ctx| core.provider.validate(config, ctx);
            let diagnostics = validate!(&core.registry.provider, config.as_ref(), true, &ctx, validate);
            proto::ValidateProviderConfigResponse { diagnostics }
        })
        .await
    }

    async fn validate_resource_config(
        &self,
        request: Request<proto::ValidateResourceConfigRequest>,
    ) -> Result<Response<proto::ValidateResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run_here("ValidateResourceConfig", &name, |core, ctx| async move {
            let entry = match find(&core.registry.resources, &request.type_name) {
                Ok(entry) => entry,
                Err(answer) => return answer,
            };
            let write_only = request.client_capabilities.unwrap_or_default().write_only_attributes_allowed;
            let validate = |config, ctx| entry.kind.0.validate(config, ctx);
            let diagnostics = validate!(&entry.prepared, request.config.as_ref(), write_only, &ctx, validate);
            proto::ValidateResponse { diagnostics }
        })
        .await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<proto::ValidateTypeRequest>,
    ) -> Result<Response<proto::ValidateResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("ValidateDataResourceConfig", &name, |core, ctx| async move {
            let entry = match find(&core.registry.data_sources, &request.type_name) {
                Ok(entry) => entry,
                Err(answer) => return answer,
            };
            let validate = |config, ctx| entry.kind.0.validate(config, ctx);
            let diagnostics = validate!(&entry.prepared, request.config.as_ref(), true, &ctx, validate);
            proto::ValidateResponse { diagnostics }
        })
        .await
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<proto::ValidateTypeRequest>,
    ) -> Result<Response<proto::ValidateResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("ValidateEphemeralResourceConfig", &name, |core, ctx| async move {
            let entry = match find(&core.registry.ephemerals, &request.type_name) {
                Ok(entry) => entry,
                Err(answer) => return answer,
            };
            let validate = |config, ctx| entry.kind.0.validate(config, ctx);
            let diagnostics = validate!(&entry.prepared, request.config.as_ref(), true, &ctx, validate);
            proto::ValidateResponse { diagnostics }
        })
        .await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<proto::UpgradeResourceStateRequest>,
    ) -> Result<Response<proto::UpgradeResourceStateResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        let known = self.core.registry.resources.get(&name);
        let is_current = known.is_none_or(|entry| entry.prepared.schema.schema_version() == request.version);
        let work = |core: Arc<Core>, ctx: Context| async move {
            match find(&core.registry.resources, &request.type_name) {
                Ok(entry) => read::upgrade(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        };
        match is_current {
            true => self.run_here("UpgradeResourceState", &name, work).await,
            false => self.run("UpgradeResourceState", &name, work).await,
        }
    }

    async fn upgrade_resource_identity(
        &self,
        _request: Request<proto::UpgradeResourceIdentityRequest>,
    ) -> Result<Response<proto::UpgradeResourceIdentityResponse>, Status> {
        Err(Status::unimplemented("no resource of this provider has an identity"))
    }

    async fn configure_provider(
        &self,
        request: Request<proto::ConfigureProviderRequest>,
    ) -> Result<Response<proto::ConfigureProviderResponse>, Status> {
        let request = request.into_inner();
        self.core.begin_run(request.terraform_version.clone());
        self.run("ConfigureProvider", "", |core, ctx| async move {
            let prepared = &core.registry.provider;
            let diagnostics = match answer::decode(&prepared.ty, request.config.as_ref()) {
                Ok(config) => guard::catch(&ctx, core.provider.configure(config, &ctx)).await,
                Err(error) => Err(error),
            };
            let diagnostics = diagnostics.unwrap_or_else(Diagnostics::from);
            proto::ConfigureProviderResponse {
                diagnostics: answer::diagnostics(prepared.fields(), diagnostics),
            }
        })
        .await
    }

    async fn read_resource(
        &self,
        request: Request<proto::ReadResourceRequest>,
    ) -> Result<Response<proto::ReadResourceResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("ReadResource", &name, |core, ctx| async move {
            match find(&core.registry.resources, &request.type_name) {
                Ok(entry) => read::read(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn plan_resource_change(
        &self,
        request: Request<proto::PlanResourceChangeRequest>,
    ) -> Result<Response<proto::PlanResourceChangeResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("PlanResourceChange", &name, |core, ctx| async move {
            match find(&core.registry.resources, &request.type_name) {
                Ok(entry) => plan::plan_change(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn apply_resource_change(
        &self,
        request: Request<proto::ApplyResourceChangeRequest>,
    ) -> Result<Response<proto::ApplyResourceChangeResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("ApplyResourceChange", &name, |core, ctx| async move {
            match find(&core.registry.resources, &request.type_name) {
                Ok(entry) => apply::apply_change(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn import_resource_state(
        &self,
        request: Request<proto::ImportResourceStateRequest>,
    ) -> Result<Response<proto::ImportResourceStateResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("ImportResourceState", &name, |core, ctx| async move {
            match find(&core.registry.resources, &request.type_name) {
                Ok(entry) => read::import(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn move_resource_state(
        &self,
        request: Request<proto::MoveResourceStateRequest>,
    ) -> Result<Response<proto::MoveResourceStateResponse>, Status> {
        let request = request.into_inner();
        let detail = format!(
            "A state of {} cannot become a state of {}. Nothing was changed. Remove the moved block; use a removed \
             block for the old address and an import block for the new one.",
            request.source_type_name, request.target_type_name
        );
        let refused = Diagnostic::error("Moving between resource types is not possible", detail);
        let diagnostics = answer::diagnostics(&[], refused.into());
        Ok(Response::new(proto::MoveResourceStateResponse {
            diagnostics,
            ..proto::MoveResourceStateResponse::default()
        }))
    }

    async fn read_data_source(
        &self,
        request: Request<proto::ReadDataSourceRequest>,
    ) -> Result<Response<proto::ReadDataSourceResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("ReadDataSource", &name, |core, ctx| async move {
            match find(&core.registry.data_sources, &request.type_name) {
                Ok(entry) => data::read(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<proto::OpenEphemeralResourceRequest>,
    ) -> Result<Response<proto::OpenEphemeralResourceResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("OpenEphemeralResource", &name, |core, ctx| async move {
            match find(&core.registry.ephemerals, &request.type_name) {
                Ok(entry) => data::open(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<proto::RenewEphemeralResourceRequest>,
    ) -> Result<Response<proto::RenewEphemeralResourceResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("RenewEphemeralResource", &name, |core, ctx| async move {
            match find(&core.registry.ephemerals, &request.type_name) {
                Ok(entry) => data::renew(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<proto::CloseEphemeralResourceRequest>,
    ) -> Result<Response<proto::CloseEphemeralResourceResponse>, Status> {
        let request = request.into_inner();
        let name = request.type_name.clone();
        self.run("CloseEphemeralResource", &name, |core, ctx| async move {
            match find(&core.registry.ephemerals, &request.type_name) {
                Ok(entry) => data::close(entry, request, &ctx).await,
                Err(answer) => answer,
            }
        })
        .await
    }

    async fn get_functions(
        &self,
        _request: Request<proto::GetFunctionsRequest>,
    ) -> Result<Response<proto::GetFunctionsResponse>, Status> {
        let functions = self.core.registry.signatures().collect();
        Ok(Response::new(proto::GetFunctionsResponse { functions, diagnostics: Vec::new() }))
    }

    async fn call_function(
        &self,
        request: Request<proto::CallFunctionRequest>,
    ) -> Result<Response<proto::CallFunctionResponse>, Status> {
        let request = request.into_inner();
        let name = request.name.clone();
        self.run("CallFunction", &name, |core, ctx| async move { function::call(&core, request, &ctx).await })
            .await
    }

    async fn stop_provider(
        &self,
        _request: Request<proto::StopProviderRequest>,
    ) -> Result<Response<proto::StopProviderResponse>, Status> {
        tracing::info!("asked to stop: operations are being cancelled");
        self.core.cancel();
        Ok(Response::new(proto::StopProviderResponse::default()))
    }
}
