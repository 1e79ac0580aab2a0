// SPDX-License-Identifier: MPL-2.0
//! Values to MessagePack. Sets are written sorted, so equal values are equal bytes.

use std::collections::BTreeMap;

use rmp::encode as write;

use super::{
    KEY_LENGTH_MAX, KEY_LENGTH_MIN, KEY_NULLNESS, KEY_NUMBER_MAX, KEY_NUMBER_MIN, KEY_PREFIX, REFINED_UNKNOWN,
};
use crate::value::{Bounds, CodecError, Number, Path, Place, Refinements, SmolStr, Type, Value, sorted_refs};

/// Encodes `value` as a value of type `ty`.
pub(crate) fn encode(ty: &Type, value: &Value) -> Result<Vec<u8>, CodecError> {
    let mut out = Output { bytes: Vec::new() };
    out.value(ty, value, &Place::Start(&Path::root()))?;
    Ok(out.bytes)
}

struct Output {
    bytes: Vec<u8>,
}

/// Why an object that has other attributes than its type cannot be written.
fn misfit(types: &BTreeMap<SmolStr, Type>, members: &BTreeMap<SmolStr, Value>) -> String {
    if let Some(extra) = members.keys().find(|name| !types.contains_key(*name)) {
        return format!("found the attribute {extra:?}, which the schema does not have");
    }
    let missing = types.keys().find(|name| !members.contains_key(*name)).map_or("", SmolStr::as_str);
    format!("the attribute {missing:?} is missing")
}

/// Writing to memory fails only for lengths beyond 32 bits.
fn too_long(path: &Place<'_>) -> CodecError {
    CodecError::new(path, "the value is too long for the protocol (4 GiB)")
}

impl Output {
    fn value(&mut self, ty: &Type, value: &Value, path: &Place<'_>) -> Result<(), CodecError> {
        match (ty, value) {
            (_, Value::Null) => write::write_nil(&mut self.bytes).map_err(|_| too_long(path)),
            (_, Value::Unknown(refinements)) => self.unknown(ty, refinements, path),
            (Type::Bool, Value::Bool(truth)) => {
                write::write_bool(&mut self.bytes, *truth).map_err(|_| too_long(path))
            }
            (Type::String, Value::String(text)) => self.text(text, path),
            (Type::Number, Value::Number(number)) => self.number(number, path),
            (Type::List(of), Value::List(elements)) => {
                self.array_head(elements.len(), path)?;
                elements
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, element)| self.value(of, element, &path.index(i)))
            }
            (Type::Set(of), Value::Set(elements)) => {
                let elements = sorted_refs(elements);
                self.array_head(elements.len(), path)?;
                elements.into_iter().try_for_each(|element| self.value(of, element, &path.set_element()))
            }
            (Type::Tuple(types), Value::List(elements)) if types.len() == elements.len() => {
                self.array_head(elements.len(), path)?;
                let mut pairs = types.iter().zip(elements).enumerate();
                pairs.try_for_each(|(i, (ty, element))| self.value(ty, element, &path.index(i)))
            }
            (Type::Map(of), Value::Map(entries)) => {
                self.map_head(entries.len(), path)?;
                entries.iter().try_for_each(|(key, entry)| {
                    self.text(key, path)?;
                    self.value(of, entry, &path.key(key))
                })
            }
            (Type::Object(types), Value::Object(members)) => self.object(types, members, path),
            (Type::Dynamic, Value::Dynamic(typed)) => {
                self.array_head(2, path)?;
                let json = typed.ty.to_json();
                write::write_bin(&mut self.bytes, json.as_bytes()).map_err(|_| too_long(path))?;
                self.value(&typed.ty, &typed.value, path)
            }
            (ty, value) => {
                Err(CodecError::new(path, format!("found {}, expected {}", value.kind(), ty.friendly_name())))
            }
        }
    }

    fn object(
        &mut self,
        types: &BTreeMap<SmolStr, Type>,
        members: &BTreeMap<SmolStr, Value>,
        path: &Place<'_>,
    ) -> Result<(), CodecError> {
        if !members.keys().eq(types.keys()) {
            return Err(CodecError::new(path, misfit(types, members)));
        }
        self.map_head(types.len(), path)?;
        for ((name, ty), member) in types.iter().zip(members.values()) {
            self.text(name, path)?;
            self.value(ty, member, &path.attribute(name))?;
        }
        Ok(())
    }

    fn array_head(&mut self, length: usize, path: &Place<'_>) -> Result<(), CodecError> {
        let length = u32::try_from(length).map_err(|_| too_long(path))?;
        write::write_array_len(&mut self.bytes, length).map(|_| ()).map_err(|_| too_long(path))
    }

    fn map_head(&mut self, length: usize, path: &Place<'_>) -> Result<(), CodecError> {
        let length = u32::try_from(length).map_err(|_| too_long(path))?;
        write::write_map_len(&mut self.bytes, length).map(|_| ()).map_err(|_| too_long(path))
    }

    fn text(&mut self, text: &str, path: &Place<'_>) -> Result<(), CodecError> {
        if u32::try_from(text.len()).is_err() {
            return Err(too_long(path));
        }
        write::write_str(&mut self.bytes, text).map_err(|_| too_long(path))
    }

    /// Always as text, although integers and floats are allowed. Core keeps the precision of the form a number came
    /// in, and `terraform plan -refresh-only -detailed-exitcode` reports a change where a number that came as an
    /// integer meets the same one from the state file. Text has the precision of the state file.
    fn number(&mut self, number: &Number, path: &Place<'_>) -> Result<(), CodecError> {
        self.text(&number.to_string(), path)
    }

    fn unknown(&mut self, ty: &Type, refinements: &Refinements, path: &Place<'_>) -> Result<(), CodecError> {
        let mut payload = Output { bytes: Vec::new() };
        let count = payload.refinements(ty, refinements, path)?;
        if count == 0 {
            // A fixed extension of one byte, number 0.
            self.bytes.extend_from_slice(&[0xd4, 0x00, 0x00]);
            return Ok(());
        }
        let mut head = Output { bytes: Vec::new() };
        head.map_head(count, path)?;
        let length = u32::try_from(head.bytes.len() + payload.bytes.len()).map_err(|_| too_long(path))?;
        write::write_ext_meta(&mut self.bytes, length, REFINED_UNKNOWN).map_err(|_| too_long(path))?;
        self.bytes.append(&mut head.bytes);
        self.bytes.append(&mut payload.bytes);
        Ok(())
    }

    /// Writes the refinements that this type can have and counts them.
    fn refinements(
        &mut self,
        ty: &Type,
        refinements: &Refinements,
        path: &Place<'_>,
    ) -> Result<usize, CodecError> {
        if *ty == Type::Dynamic {
            return Ok(0);
        }
        let mut count = 0;
        if refinements.not_null {
            self.key(KEY_NULLNESS, path)?;
            write::write_bool(&mut self.bytes, false).map_err(|_| too_long(path))?;
            count += 1;
        }
        if let (Type::String, Some(prefix)) = (ty, &refinements.prefix) {
            self.key(KEY_PREFIX, path)?;
            self.text(prefix, path)?;
            count += 1;
        }
        let Some(bounds) = refinements.bounds() else { return Ok(count) };
        count += match ty {
            Type::Number => self.number_bounds(bounds, path)?,
            Type::List(_) | Type::Set(_) | Type::Map(_) => self.length_bounds(bounds, path)?,
            Type::String | Type::Bool | Type::Dynamic | Type::Object(_) | Type::Tuple(_) => 0,
        };
        Ok(count)
    }

    fn number_bounds(&mut self, bounds: &Bounds, path: &Place<'_>) -> Result<usize, CodecError> {
        let mut count = 0;
        for (key, bound) in [(KEY_NUMBER_MIN, &bounds.number_min), (KEY_NUMBER_MAX, &bounds.number_max)] {
            let Some((number, itself)) = bound else { continue };
            self.key(key, path)?;
            self.array_head(2, path)?;
            self.number(number, path)?;
            write::write_bool(&mut self.bytes, *itself).map_err(|_| too_long(path))?;
            count += 1;
        }
        Ok(count)
    }

    fn length_bounds(&mut self, bounds: &Bounds, path: &Place<'_>) -> Result<usize, CodecError> {
        let mut count = 0;
        for (key, bound) in [(KEY_LENGTH_MIN, bounds.length_min), (KEY_LENGTH_MAX, bounds.length_max)] {
            let Some(length) = bound else { continue };
            self.key(key, path)?;
            write::write_uint(&mut self.bytes, length).map_err(|_| too_long(path))?;
            count += 1;
        }
        Ok(count)
    }

    fn key(&mut self, key: u64, path: &Place<'_>) -> Result<(), CodecError> {
        write::write_uint(&mut self.bytes, key).map(|_| ()).map_err(|_| too_long(path))
    }
}
