// SPDX-License-Identifier: MPL-2.0
//! Brings what handlers return into the form that core stores. The rules about plans are in `check.rs`.

use super::registry::Prepared;
use crate::diagnostic::Diagnostics;
use crate::schema::{Attribute, forget_write_only, with_blocks, write_only_paths};
use crate::value::{CodecError, Path, Type, Value, conform::conform};

/// The value in the form of its schema: write-only values gone, blocks never null, text normalised, every
/// attribute present. What was lost by that is reported.
pub(crate) fn in_form(prepared: &Prepared, mut value: Value) -> (Value, Vec<CodecError>) {
    if forget_write_only(prepared.fields(), &mut value) {
        tracing::debug!("write-only values were removed from the provider's answer");
    }
    with_blocks(prepared.fields(), &mut value);
    let mut problems = Vec::new();
    let value = conform(&prepared.ty, value, &Path::root(), &mut problems);
    (value, problems)
}

/// Puts null where attributes are absent, for answers that name only what they know.
pub(crate) fn with_absent(ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(types), Value::Object(members)) => {
            for (name, ty) in types {
                with_absent(ty, members.entry(name.clone()).or_insert(Value::Null));
            }
        }
        (Type::List(of) | Type::Set(of), Value::List(elements) | Value::Set(elements)) => {
            elements.iter_mut().for_each(|element| with_absent(of, element));
        }
        (Type::Map(of), Value::Map(entries)) => entries.values_mut().for_each(|entry| with_absent(of, entry)),
        _ => {}
    }
}

/// An error for each write-only attribute that is set although the caller would store it.
pub(crate) fn write_only_allowed(
    fields: &[Attribute],
    config: &Value,
    allowed: bool,
) -> Result<(), Diagnostics> {
    let mut found = Diagnostics::new();
    if !allowed {
        for path in write_only_paths(fields, config) {
            let detail = format!(
                "{path} is a write-only argument, which needs Terraform 1.11 or OpenTofu 1.11 and newer. The running \
                 version would store it in state. Nothing was changed."
            );
            found.error_at(&path, "Write-only arguments are not supported", detail);
        }
    }
    found.into_result()
}
