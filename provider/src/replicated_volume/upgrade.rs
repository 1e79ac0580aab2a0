// SPDX-License-Identifier: MPL-2.0
//! States of older schema versions. Pure.

use tfplugin::{Diagnostic, RawState, Type, Value};

use super::schema::schema;
use crate::resource_group::{for_volumes, schema as group};

/// Version 0 held the whole group, with all of its nodes.
///
/// # Errors
/// When the text is not a state of that version.
pub(crate) fn from_version_0(state: &RawState) -> Result<Value, Diagnostic> {
    let mut ty = schema().object_type();
    if let Type::Object(members) = &mut ty {
        members.insert("resource_group".into(), group::whole_type());
    }
    let mut state = state.decode(&ty)?;
    let held = for_volumes::held_of(state.get("resource_group"));
    state.set("resource_group", held);
    Ok(state)
}
