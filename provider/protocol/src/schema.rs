// SPDX-License-Identifier: MPL-2.0
//! Schemas: what a provider block, a resource or a data source looks like, and what the crate does for each of
//! its attributes. The builder of one attribute is in `schema/attribute.rs`; planning with a schema is in `plan.rs`.

mod attribute;
mod markdown;
mod problems;
mod shape;
mod validate;
mod wire;

pub use attribute::Attribute;
pub(crate) use attribute::{Kind, Nesting, OnUpdate, Replace};
pub(crate) use problems::reserved_names;
pub(crate) use shape::{empty_object, forget_write_only, with_blocks, write_only_paths};
pub(crate) use validate::{Stage, validate_fields};

use crate::value::{Type, Value};

/// The schema of a provider block, a resource, a data source or an ephemeral resource.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    version: i64,
    description: String,
    deprecated: Option<String>,
    fields: Vec<Attribute>,
}

impl Schema {
    /// An empty schema of version 0.
    pub fn new() -> Schema {
        Schema::default()
    }

    /// The version that is stored with each state; raise it together with an upgrade for the older ones.
    pub fn version(mut self, version: i64) -> Schema {
        self.version = version;
        self
    }

    /// What the thing is, in Markdown.
    pub fn description(mut self, markdown: impl Into<String>) -> Schema {
        self.description = markdown.into();
        self
    }

    /// Marks the whole thing as deprecated, with what to use in its place.
    pub fn deprecated(mut self, reason: impl Into<String>) -> Schema {
        self.deprecated = Some(reason.into());
        self
    }

    /// Adds an attribute or a block.
    pub fn attribute(mut self, attribute: Attribute) -> Schema {
        self.fields.push(attribute);
        self
    }

    /// Adds attributes or blocks.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute>) -> Schema {
        self.fields.extend(attributes);
        self
    }

    /// The attributes and blocks in the order in which they were added.
    pub fn fields(&self) -> &[Attribute] {
        &self.fields
    }

    /// The version that is stored with each state.
    pub fn schema_version(&self) -> i64 {
        self.version
    }

    /// The type of values of this schema.
    pub fn object_type(&self) -> Type {
        attribute::object_type(&self.fields)
    }

    /// An object in which every attribute is null and every block is empty.
    pub fn null_object(&self) -> Value {
        empty_object(&self.fields)
    }

    /// Everything that Terraform core, or this crate, would refuse in this schema; empty when it is sound.
    /// Core refuses the whole provider for one of these, so check it in a unit test.
    pub fn problems(&self) -> Vec<String> {
        problems::of_schema(self)
    }

    /// The "Schema" chapter of a registry documentation page, in Markdown.
    pub fn to_markdown(&self) -> String {
        markdown::chapter(self)
    }
}
