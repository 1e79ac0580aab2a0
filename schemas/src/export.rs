// SPDX-License-Identifier: MPL-2.0
//! The JSON Schemas, generated from the types. The files in `schemas/json/` are this module's output.

use crate::args::{
    InfoArgs, Module, PortsRunArgs, RoleArgs, RunArgs, StoragePoolArgs, SyncRunArgs, VerifyArgs, WaitArgs,
};
use crate::declaration::Declaration;
use crate::facts::HostFacts;
use crate::reply::Reply;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// The names of a type's members.
pub(crate) fn property_names<T: JsonSchema>() -> Vec<String> {
    let schema = schema_of::<T>();
    schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|p| p.keys().cloned().collect())
        .unwrap_or_default()
}

/// The JSON Schema of a module's arguments.
pub fn module_schema(module: Module) -> Value {
    let mut schema = match module {
        Module::DrbdResource => merged(schema_of::<Declaration>(), schema_of::<RunArgs>()),
        Module::DrbdInitialSync => merged(schema_of::<Declaration>(), schema_of::<SyncRunArgs>()),
        Module::DrbdPorts => merged(schema_of::<Declaration>(), schema_of::<PortsRunArgs>()),
        Module::DrbdInfo => schema_of::<InfoArgs>(),
        Module::DrbdWait => schema_of::<WaitArgs>(),
        Module::DrbdStoragePool => schema_of::<StoragePoolArgs>(),
        Module::DrbdRole => schema_of::<RoleArgs>(),
        Module::DrbdVerify => schema_of::<VerifyArgs>(),
    };
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), json!(format!("Arguments of {module}")));
    }
    schema
}

/// The JSON Schema of a declaration.
pub fn declaration_schema() -> Value {
    schema_of::<Declaration>()
}

/// Every schema file: name without directory, and content.
pub fn files() -> Vec<(String, Value)> {
    let mut files: Vec<_> =
        Module::ALL.into_iter().map(|m| (format!("{m}.schema.json"), module_schema(m))).collect();
    files.push(("declaration.schema.json".into(), declaration_schema()));
    files.push(("facts.schema.json".into(), schema_of::<HostFacts>()));
    files.push(("reply.schema.json".into(), schema_of::<Reply>()));
    files
}

/// One object schema with the members of both: on the wire they share one object.
fn merged(mut first: Value, second: Value) -> Value {
    for key in ["properties", "$defs"] {
        let more = second.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(root) = first.as_object_mut() {
            let entry = root.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if let Some(entry) = entry.as_object_mut() {
                entry.extend(more);
            }
        }
    }
    let required = second.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(list) = first.get_mut("required").and_then(Value::as_array_mut) {
        list.extend(required);
    }
    first
}
