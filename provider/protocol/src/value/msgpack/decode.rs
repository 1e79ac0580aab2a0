// SPDX-License-Identifier: MPL-2.0
//! MessagePack to values. Every length is checked against the bytes that are there before anything is
//! reserved, so hostile input costs no more memory than itself.

use std::collections::BTreeMap;

use rmp::Marker;

use super::{
    KEY_LENGTH_MAX, KEY_LENGTH_MIN, KEY_NULLNESS, KEY_NUMBER_MAX, KEY_NUMBER_MIN, KEY_PREFIX, REFINED_UNKNOWN,
};
use crate::value::{
    Bounds, CodecError, Number, Path, Place, Refinements, SmolStr, Type, TypedValue, Value, sorted,
};

/// Dynamic values inside dynamic values, at most.
const DYNAMIC_DEPTH_MAX: usize = 32;

/// Decodes one value of type `ty` that takes up all of `bytes`.
pub(crate) fn decode(ty: &Type, bytes: &[u8]) -> Result<Value, CodecError> {
    let mut input = Input { rest: bytes, dynamic_depth: 0 };
    let value = input.value(ty, &Place::Start(&Path::root()))?;
    if input.rest.is_empty() {
        return Ok(value);
    }
    Err(CodecError::new(Path::root(), format!("{} bytes follow the value", input.rest.len())))
}

/// A scalar as it stands in the bytes.
enum Scalar<'b> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'b [u8]),
    Bytes(&'b [u8]),
    Array(usize),
    Map(usize),
    Extension(i8, &'b [u8]),
}

impl Scalar<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "a bool",
            Scalar::Int(_) | Scalar::Uint(_) | Scalar::Float(_) => "a number",
            Scalar::Text(_) => "a string",
            Scalar::Bytes(_) => "bytes",
            Scalar::Array(_) => "an array",
            Scalar::Map(_) => "a map",
            Scalar::Extension(..) => "an extension",
        }
    }
}

struct Input<'b> {
    rest: &'b [u8],
    /// How many dynamic values enclose the current one; every other nesting is bounded by the type.
    dynamic_depth: usize,
}

impl<'b> Input<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn uint8(&mut self) -> Option<usize> {
        Some(usize::from(u8::from_be_bytes(self.bytes()?)))
    }

    fn uint16(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(self.bytes()?)))
    }

    fn uint32(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.bytes()?)).ok()
    }

    fn extension(&mut self, length: usize) -> Option<Scalar<'b>> {
        let kind = i8::from_be_bytes(self.bytes()?);
        Some(Scalar::Extension(kind, self.take(length)?))
    }

    /// The next scalar, or the head of the next array or map. `None` when the bytes end before it.
    fn scalar(&mut self) -> Option<Scalar<'b>> {
        Some(match Marker::from_u8(*self.take(1)?.first()?) {
            Marker::Null => Scalar::Null,
            Marker::True => Scalar::Bool(true),
            Marker::False => Scalar::Bool(false),
            Marker::FixPos(value) => Scalar::Uint(u64::from(value)),
            Marker::FixNeg(value) => Scalar::Int(i64::from(value)),
            Marker::U8 => Scalar::Uint(u64::from(u8::from_be_bytes(self.bytes()?))),
            Marker::U16 => Scalar::Uint(u64::from(u16::from_be_bytes(self.bytes()?))),
            Marker::U32 => Scalar::Uint(u64::from(u32::from_be_bytes(self.bytes()?))),
            Marker::U64 => Scalar::Uint(u64::from_be_bytes(self.bytes()?)),
            Marker::I8 => Scalar::Int(i64::from(i8::from_be_bytes(self.bytes()?))),
            Marker::I16 => Scalar::Int(i64::from(i16::from_be_bytes(self.bytes()?))),
            Marker::I32 => Scalar::Int(i64::from(i32::from_be_bytes(self.bytes()?))),
            Marker::I64 => Scalar::Int(i64::from_be_bytes(self.bytes()?)),
            Marker::F32 => Scalar::Float(f64::from(f32::from_be_bytes(self.bytes()?))),
            Marker::F64 => Scalar::Float(f64::from_be_bytes(self.bytes()?)),
            other => return self.sized(other),
        })
    }

    /// The scalars that say their length.
    fn sized(&mut self, marker: Marker) -> Option<Scalar<'b>> {
        Some(match marker {
            Marker::FixStr(length) => Scalar::Text(self.take(usize::from(length))?),
            Marker::Str8 => self.uint8().and_then(|n| self.take(n)).map(Scalar::Text)?,
            Marker::Str16 => self.uint16().and_then(|n| self.take(n)).map(Scalar::Text)?,
            Marker::Str32 => self.uint32().and_then(|n| self.take(n)).map(Scalar::Text)?,
            Marker::Bin8 => self.uint8().and_then(|n| self.take(n)).map(Scalar::Bytes)?,
            Marker::Bin16 => self.uint16().and_then(|n| self.take(n)).map(Scalar::Bytes)?,
            Marker::Bin32 => self.uint32().and_then(|n| self.take(n)).map(Scalar::Bytes)?,
            Marker::FixArray(length) => Scalar::Array(usize::from(length)),
            Marker::Array16 => Scalar::Array(self.uint16()?),
            Marker::Array32 => Scalar::Array(self.uint32()?),
            Marker::FixMap(length) => Scalar::Map(usize::from(length)),
            Marker::Map16 => Scalar::Map(self.uint16()?),
            Marker::Map32 => Scalar::Map(self.uint32()?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.uint8().and_then(|n| self.extension(n))?,
            Marker::Ext16 => self.uint16().and_then(|n| self.extension(n))?,
            Marker::Ext32 => self.uint32().and_then(|n| self.extension(n))?,
            _ => return None,
        })
    }

    fn value(&mut self, ty: &Type, path: &Place<'_>) -> Result<Value, CodecError> {
        let scalar = self.scalar().ok_or_else(|| truncated(path))?;
        match (ty, scalar) {
            (_, Scalar::Null) => Ok(Value::Null),
            (_, Scalar::Extension(kind, payload)) => Ok(Value::Unknown(refinements(kind, payload))),
            (Type::String, Scalar::Text(text)) => utf8(text, path).map(Value::from),
            (Type::Bool, Scalar::Bool(truth)) => Ok(Value::Bool(truth)),
            (Type::Number, scalar) => number(&scalar, path).map(Value::Number),
            (Type::List(of), Scalar::Array(count)) => {
                self.elements(count, path, |_| of, |i| path.index(i)).map(Value::List)
            }
            (Type::Set(of), Scalar::Array(count)) => {
                self.elements(count, path, |_| of, |_| path.set_element()).map(sorted).map(Value::Set)
            }
            (Type::Tuple(types), Scalar::Array(count)) if count == types.len() => {
                let type_at = |i: usize| types.get(i).unwrap_or(&Type::Dynamic);
                self.elements(count, path, type_at, |i| path.index(i)).map(Value::List)
            }
            (Type::Map(of), Scalar::Map(count)) => self.entries(of, count, path).map(Value::Map),
            (Type::Object(types), Scalar::Map(count)) => self.members(types, count, path).map(Value::Object),
            (Type::Dynamic, Scalar::Array(2)) => self.typed(path),
            (ty, scalar) => {
                let message = format!("found {}, expected {}", scalar.kind(), ty.friendly_name());
                Err(CodecError::new(path, message))
            }
        }
    }

    fn elements<'t, 'p>(
        &mut self,
        count: usize,
        path: &Place<'_>,
        type_at: impl Fn(usize) -> &'t Type,
        place: impl Fn(usize) -> Place<'p>,
    ) -> Result<Vec<Value>, CodecError> {
        // Each element takes at least one byte.
        if count > self.rest.len() {
            return Err(truncated(path));
        }
        (0..count).map(|index| self.value(type_at(index), &place(index))).collect()
    }

    fn key(&mut self, path: &Place<'_>) -> Result<SmolStr, CodecError> {
        match self.scalar() {
            Some(Scalar::Text(text)) => utf8(text, path).map(SmolStr::from),
            Some(other) => {
                Err(CodecError::new(path, format!("found {} as a key, expected a string", other.kind())))
            }
            None => Err(truncated(path)),
        }
    }

    fn entries(
        &mut self,
        of: &Type,
        count: usize,
        path: &Place<'_>,
    ) -> Result<BTreeMap<SmolStr, Value>, CodecError> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = self.key(path)?;
            let value = self.value(of, &path.key(&key))?;
            entries.insert(key, value);
        }
        Ok(entries)
    }

    fn members(
        &mut self,
        types: &BTreeMap<SmolStr, Type>,
        count: usize,
        path: &Place<'_>,
    ) -> Result<BTreeMap<SmolStr, Value>, CodecError> {
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let name = self.key(path)?;
            let Some(ty) = types.get(&name) else {
                return Err(CodecError::new(
                    path,
                    format!("found the attribute {name:?}, which the schema does not have"),
                ));
            };
            let value = self.value(ty, &path.attribute(&name))?;
            members.insert(name, value);
        }
        // Each is one of the type's; as many as the type has are all of them.
        if members.len() == types.len() {
            return Ok(members);
        }
        let missing = types.keys().find(|name| !members.contains_key(*name)).map_or("", SmolStr::as_str);
        Err(CodecError::new(path, format!("the attribute {missing:?} is missing")))
    }

    fn typed(&mut self, path: &Place<'_>) -> Result<Value, CodecError> {
        if self.dynamic_depth >= DYNAMIC_DEPTH_MAX {
            return Err(CodecError::new(path, "values of dynamic type are nested too deeply"));
        }
        let ty = match self.scalar() {
            Some(Scalar::Bytes(text) | Scalar::Text(text)) => Type::from_json(text),
            _ => None,
        };
        let ty = ty.ok_or_else(|| CodecError::new(path, "found no type before a value of dynamic type"))?;
        self.dynamic_depth += 1;
        let value = self.value(&ty, path);
        self.dynamic_depth -= 1;
        let value = value?;
        Ok(Value::Dynamic(Box::new(TypedValue { ty, value })))
    }
}

fn truncated(path: &Place<'_>) -> CodecError {
    CodecError::new(path, "the encoding ends too early or has an invalid marker")
}

fn utf8<'b>(text: &'b [u8], path: &Place<'_>) -> Result<&'b str, CodecError> {
    std::str::from_utf8(text).map_err(|error| CodecError::new(path, format!("text is not UTF-8: {error}")))
}

fn number(scalar: &Scalar<'_>, path: &Place<'_>) -> Result<Number, CodecError> {
    let parsed = match scalar {
        Scalar::Int(value) => Some(Number::from(*value)),
        Scalar::Uint(value) => Some(Number::from(*value)),
        Scalar::Float(value) => Number::from_f64(*value),
        Scalar::Text(text) => std::str::from_utf8(text).ok().and_then(|text| Number::parse(text).ok()),
        _ => return Err(CodecError::new(path, format!("found {}, expected number", scalar.kind()))),
    };
    parsed.ok_or_else(|| CodecError::new(path, "found a number that is not a finite decimal"))
}

/// Refinements that cannot be read promise nothing; the value is unknown either way.
fn refinements(kind: i8, payload: &[u8]) -> Refinements {
    if kind != REFINED_UNKNOWN {
        return Refinements::none();
    }
    read_refinements(&mut Input { rest: payload, dynamic_depth: 0 }).unwrap_or_default()
}

fn read_refinements(input: &mut Input<'_>) -> Option<Refinements> {
    let Scalar::Map(count) = input.scalar()? else { return None };
    let mut found = Refinements::none();
    let mut bounds = Bounds::default();
    for _ in 0..count {
        let Scalar::Uint(key) = input.scalar()? else { return None };
        match (key, input.scalar()?) {
            (KEY_NULLNESS, Scalar::Bool(null)) => found.not_null = !null,
            (KEY_PREFIX, Scalar::Text(text)) => {
                found.prefix = Some(std::str::from_utf8(text).ok()?.to_owned());
            }
            (KEY_NUMBER_MIN, Scalar::Array(2)) => bounds.number_min = Some(number_bound(input)?),
            (KEY_NUMBER_MAX, Scalar::Array(2)) => bounds.number_max = Some(number_bound(input)?),
            (KEY_LENGTH_MIN, Scalar::Uint(length)) => bounds.length_min = Some(length),
            (KEY_LENGTH_MAX, Scalar::Uint(length)) => bounds.length_max = Some(length),
            _ => return None,
        }
    }
    Some(found.with_bounds(bounds))
}

fn number_bound(input: &mut Input<'_>) -> Option<(Number, bool)> {
    let limit = number(&input.scalar()?, &Place::Start(&Path::root())).ok()?;
    match input.scalar()? {
        Scalar::Bool(itself) => Some((limit, itself)),
        _ => None,
    }
}
