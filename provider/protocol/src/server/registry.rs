// SPDX-License-Identifier: MPL-2.0
//! Everything a provider offers, by name, with the schemas made ready for use. Built once at start.

use std::collections::{BTreeMap, BTreeSet};

use crate::generated::tfplugin6 as proto;
use crate::provider::{AnyDataSource, AnyEphemeral, AnyFunction, AnyResource, Provider, Signature};
use crate::schema::{Attribute, Schema, reserved_names};
use crate::value::Type;

/// A schema and what is derived from it.
pub(crate) struct Prepared {
    pub(crate) schema: Schema,
    pub(crate) ty: Type,
}

impl Prepared {
    fn new(schema: Schema) -> Prepared {
        let ty = schema.object_type();
        Prepared { schema, ty }
    }

    pub(crate) fn fields(&self) -> &[Attribute] {
        self.schema.fields()
    }
}

/// One kind of thing and its schema.
pub(crate) struct Entry<T> {
    pub(crate) kind: T,
    pub(crate) prepared: Prepared,
}

/// One function and its signature.
pub(crate) struct FunctionEntry {
    pub(crate) function: AnyFunction,
    pub(crate) signature: Signature,
}

/// Everything the provider offers.
pub(crate) struct Registry {
    pub(crate) provider: Prepared,
    pub(crate) resources: BTreeMap<String, Entry<AnyResource>>,
    pub(crate) data_sources: BTreeMap<String, Entry<AnyDataSource>>,
    pub(crate) ephemerals: BTreeMap<String, Entry<AnyEphemeral>>,
    pub(crate) functions: BTreeMap<String, FunctionEntry>,
    /// What core would refuse; reported instead of the schemas.
    pub(crate) problems: Vec<String>,
}

impl Registry {
    pub(crate) fn new(provider: &impl Provider) -> Registry {
        let mut problems = Vec::new();
        let block = provider.schema();
        let found = block.problems().into_iter().chain(reserved_names(&block, true));
        problems.extend(found.map(|problem| format!("provider block: {problem}")));

        let resources = provider.resources().into_iter().map(|kind| (kind.type_name(), kind.schema(), kind));
        let data = provider.data_sources().into_iter().map(|kind| (kind.type_name(), kind.schema(), kind));
        let ephemerals = provider.ephemeral_resources().into_iter();
        let ephemerals = ephemerals.map(|kind| (kind.0.type_name(), kind.0.schema(), kind));
        Registry {
            provider: Prepared::new(block),
            resources: prepare("resource", resources, &mut problems),
            data_sources: prepare("data source", data, &mut problems),
            ephemerals: prepare("ephemeral resource", ephemerals, &mut problems),
            functions: prepare_functions(provider.functions(), &mut problems),
            problems,
        }
    }
}

fn prepare<T>(
    what: &str,
    kinds: impl Iterator<Item = (String, Schema, T)>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Entry<T>> {
    let mut entries = BTreeMap::new();
    for (name, schema, kind) in kinds {
        let found = schema.problems().into_iter().chain(reserved_names(&schema, false));
        problems.extend(found.map(|problem| format!("{what} {name}: {problem}")));
        if entries.insert(name.clone(), Entry { kind, prepared: Prepared::new(schema) }).is_some() {
            problems.push(format!("{what} {name}: it is registered twice"));
        }
    }
    entries
}

fn prepare_functions(
    functions: Vec<AnyFunction>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, FunctionEntry> {
    let mut entries = BTreeMap::new();
    for function in functions {
        let (name, signature) = (function.0.name(), function.0.signature());
        let parameters = signature.parameters.iter().chain(&signature.variadic);
        let names: Vec<&str> = parameters.map(|parameter| parameter.name.as_str()).collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        if !is_identifier(&name) || !names.iter().all(|name| is_identifier(name)) {
            problems.push(format!("function {name}: names must be identifiers"));
        }
        if distinct.len() != names.len() {
            problems.push(format!("function {name}: two parameters have one name"));
        }
        if entries.insert(name.clone(), FunctionEntry { function, signature }).is_some() {
            problems.push(format!("function {name}: it is registered twice"));
        }
    }
    entries
}

fn is_identifier(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Registry {
    /// The answer to GetProviderSchema.
    pub(crate) fn schemas(&self) -> proto::GetProviderSchemaResponse {
        proto::GetProviderSchemaResponse {
            provider: Some(self.provider.schema.to_proto()),
            resource_schemas: schemas_of(&self.resources).collect(),
            data_source_schemas: schemas_of(&self.data_sources).collect(),
            ephemeral_resource_schemas: schemas_of(&self.ephemerals).collect(),
            functions: self.signatures().collect(),
            server_capabilities: Some(capabilities()),
            diagnostics: self.problem_diagnostics(),
            provider_meta: None,
        }
    }

    /// The answer to GetMetadata.
    pub(crate) fn metadata(&self) -> proto::GetMetadataResponse {
        let named = |name: &String| proto::get_metadata_response::TypeName { type_name: name.clone() };
        proto::GetMetadataResponse {
            server_capabilities: Some(capabilities()),
            diagnostics: self.problem_diagnostics(),
            data_sources: self.data_sources.keys().map(named).collect(),
            resources: self.resources.keys().map(named).collect(),
            functions: self.functions.keys().map(named).collect(),
            ephemeral_resources: self.ephemerals.keys().map(named).collect(),
        }
    }

    pub(crate) fn signatures(&self) -> impl Iterator<Item = (String, proto::FunctionSignature)> {
        self.functions.iter().map(|(name, entry)| (name.clone(), entry.signature.to_proto()))
    }

    fn problem_diagnostics(&self) -> Vec<proto::Diagnostic> {
        let report = |problem: &String| proto::Diagnostic {
            severity: proto::diagnostic::Severity::Error.into(),
            summary: "The provider's schema is not valid".to_owned(),
            detail: format!("This is a bug in the provider. {problem}."),
            attribute: None,
        };
        self.problems.iter().map(report).collect()
    }
}

fn schemas_of<T>(entries: &BTreeMap<String, Entry<T>>) -> impl Iterator<Item = (String, proto::Schema)> {
    entries.iter().map(|(name, entry)| (name.clone(), entry.prepared.schema.to_proto()))
}

fn capabilities() -> proto::ServerCapabilities {
    proto::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: false,
    }
}
