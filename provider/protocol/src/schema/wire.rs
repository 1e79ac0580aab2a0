// SPDX-License-Identifier: MPL-2.0
//! Schemas as protocol messages.

use super::{Attribute, Kind, Nesting, Schema};
use crate::generated::tfplugin6 as proto;

impl Schema {
    pub(crate) fn to_proto(&self) -> proto::Schema {
        let mut block = block(&self.fields);
        block.version = self.version;
        block.description.clone_from(&self.description);
        block.deprecated = self.deprecated.is_some();
        block.deprecation_message = self.deprecated.clone().unwrap_or_default();
        proto::Schema { version: self.version, block: Some(block) }
    }
}

fn block(fields: &[Attribute]) -> proto::Block {
    proto::Block {
        attributes: fields.iter().filter(|field| !field.is_block()).map(attribute).collect(),
        block_types: fields.iter().filter_map(nested_block).collect(),
        description_kind: proto::StringKind::Markdown.into(),
        ..proto::Block::default()
    }
}

fn attribute(field: &Attribute) -> proto::Attribute {
    let (ty, nested_type) = match &field.kind {
        Kind::Plain(ty) => (ty.to_json().into_bytes(), None),
        Kind::Nested { nesting, fields } | Kind::Block { nesting, fields, .. } => {
            let nesting = match nesting {
                Nesting::Single => proto::nested_object::Nesting::Single,
                Nesting::List => proto::nested_object::Nesting::List,
                Nesting::Set => proto::nested_object::Nesting::Set,
                Nesting::Map => proto::nested_object::Nesting::Map,
            };
            let attributes = fields.iter().map(attribute).collect();
            (Vec::new(), Some(proto::NestedObject { attributes, nesting: nesting.into() }))
        }
    };
    proto::Attribute {
        name: field.name.to_string(),
        r#type: ty,
        description: field.description.clone(),
        required: field.required,
        optional: field.optional,
        computed: field.computed,
        sensitive: field.sensitive,
        description_kind: proto::StringKind::Markdown.into(),
        deprecated: field.deprecated.is_some(),
        nested_type,
        write_only: field.write_only,
        deprecation_message: field.deprecated.clone().unwrap_or_default(),
    }
}

fn nested_block(field: &Attribute) -> Option<proto::NestedBlock> {
    let Kind::Block { nesting, fields, min_items, max_items } = &field.kind else { return None };
    let (wire_nesting, max_items) = match nesting {
        // Core wants both counts of a single block to be the same: 0 for optional, 1 for required.
        Nesting::Single => (proto::nested_block::Nesting::Single, *min_items),
        Nesting::List => (proto::nested_block::Nesting::List, *max_items),
        Nesting::Set => (proto::nested_block::Nesting::Set, *max_items),
        Nesting::Map => (proto::nested_block::Nesting::Map, *max_items),
    };
    let mut inner = block(fields);
    inner.description.clone_from(&field.description);
    inner.deprecated = field.deprecated.is_some();
    inner.deprecation_message = field.deprecated.clone().unwrap_or_default();
    Some(proto::NestedBlock {
        type_name: field.name.to_string(),
        block: Some(inner),
        nesting: wire_nesting.into(),
        min_items: *min_items,
        max_items,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_have_no_type_and_blocks_stand_apart() {
        let schema = Schema::new().version(3).description("d").attributes([
            Attribute::list_nested("disks", vec![Attribute::number("size").required()]).optional(),
            Attribute::single_block("ssh", vec![Attribute::string("user").optional()]).min_items(1),
            Attribute::string("name").required().deprecated("use id"),
        ]);
        let proto = schema.to_proto();
        let block = proto.block.unwrap();
        assert_eq!((proto.version, block.version, block.description.as_str()), (3, 3, "d"));
        let disks = &block.attributes[0];
        assert!(disks.r#type.is_empty() && disks.nested_type.as_ref().unwrap().attributes.len() == 1);
        assert_eq!(block.attributes[1].r#type, b"\"string\"");
        assert!(block.attributes[1].deprecated);
        let ssh = &block.block_types[0];
        assert_eq!((ssh.type_name.as_str(), ssh.min_items, ssh.max_items), ("ssh", 1, 1));
    }
}
