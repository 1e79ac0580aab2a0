// SPDX-License-Identifier: MPL-2.0
//! Round trips of every type and value, the number table, refinements, and hostile bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{decode, encode};
use crate::value::{Bounds, Number, Path, Refinements, Type, TypedValue, Value};

fn number(text: &str) -> Value {
    Value::Number(Number::parse(text).unwrap())
}

fn round_trip(ty: &Type, value: &Value) -> Value {
    decode(ty, &encode(ty, value).unwrap()).unwrap()
}

#[test]
fn numbers_are_read_in_every_form_and_written_as_text() {
    let table: [(&str, &[u8]); 11] = [
        ("0", &[0x00]),
        ("-1", &[0xff]),
        ("-200", &[0xd1, 0xff, 0x38]),
        ("9007199254740993", &[0xcf, 0, 32, 0, 0, 0, 0, 0, 1]),
        ("7227701560655103598", &[0xcf, 100, 77, 244, 70, 129, 98, 70, 110]),
        ("3.5", &[0xcb, 0x40, 0x0c, 0, 0, 0, 0, 0, 0]),
        ("0.5", &[0xca, 0x3f, 0, 0, 0]),
        ("0.1", b"\xa30.1"),
        ("12345678901234567890123", b"\xb712345678901234567890123"),
        ("1e30", b"\xbf1000000000000000000000000000000"),
        ("9223372036854775808", &[0xcb, 0x43, 0xe0, 0, 0, 0, 0, 0, 0]),
    ];
    for (text, bytes) in table {
        let value = number(text);
        assert_eq!(decode(&Type::Number, bytes).unwrap(), value, "{text} is read");
        let written = encode(&Type::Number, &value).unwrap();
        assert_eq!(written[1..], *value.as_number().unwrap().to_string().as_bytes(), "{text} is written");
        assert_eq!(decode(&Type::Number, &written).unwrap(), value, "{text} survives");
    }
}

#[test]
fn every_extension_is_unknown() {
    for bytes in [&[0xd4, 0, 0][..], &[0xd4, 99, 1], &[0xc7, 0, 5], &[0xd5, 0xff, 1, 2]] {
        for ty in [Type::String, Type::list(Type::Bool), Type::object([("a", Type::Number)]), Type::Dynamic] {
            assert_eq!(decode(&ty, bytes).unwrap(), Value::unknown());
        }
    }
}

#[test]
fn refinements_are_read_as_core_sends_them() {
    let bytes = b"\xc7\x08\x0c\x82\x01\xc2\x02\xa4pre-\x00";
    let found = decode(&Type::String, &bytes[..bytes.len() - 1]).unwrap_err();
    assert!(found.message.contains("ends too early") || found.message.contains("bytes follow"), "{found}");
    let bytes = b"\xc7\x09\x0c\x82\x01\xc2\x02\xa4pre-";
    assert_eq!(decode(&Type::String, bytes).unwrap(), Value::Unknown(Refinements::prefix("pre-")));
}

#[test]
fn refinements_round_trip_where_the_type_has_them() {
    let bounds = Bounds {
        number_min: Some((Number::parse("0.1").unwrap(), true)),
        number_max: Some((Number::from(10_i64), false)),
        length_min: Some(1),
        length_max: Some(300),
    };
    let all = Refinements::prefix("p").with_bounds(bounds);
    let of_number = round_trip(&Type::Number, &Value::Unknown(all.clone()));
    let Value::Unknown(found) = of_number else { panic!("{of_number:?}") };
    assert!(found.not_null && found.prefix.is_none());
    let found = found.bounds().unwrap();
    assert!(found.number_min.is_some() && found.number_max.is_some() && found.length_min.is_none());

    let of_list = round_trip(&Type::list(Type::Bool), &Value::Unknown(all));
    let Value::Unknown(found) = of_list else { panic!("{of_list:?}") };
    let found = found.bounds().unwrap();
    assert_eq!((found.length_min, found.length_max, &found.number_min), (Some(1), Some(300), &None));
}

#[test]
fn unreadable_refinements_leave_an_unknown() {
    for payload in [&[0xc7, 1, 12, 0x81][..], &[0xc7, 3, 12, 0x81, 9, 0xc0], &[0xd4, 12, 0xc0]] {
        assert_eq!(decode(&Type::String, payload).unwrap(), Value::unknown());
    }
}

#[test]
fn errors_name_the_place_and_both_sides() {
    let ty = Type::object([("disks", Type::list(Type::object([("size", Type::Number)])))]);
    let wrong = Type::object([("disks", Type::list(Type::object([("size", Type::Bool)])))]);
    let value = Value::object([("disks", Value::list([Value::object([("size", true)])]))]);
    let bytes = encode(&wrong, &value).unwrap();
    let error = decode(&ty, &bytes).unwrap_err();
    assert_eq!(error.path, Path::of("disks").index(0).attribute("size"));
    assert_eq!(error.message, "found a bool, expected number");
    let error = encode(&ty, &value).unwrap_err();
    assert_eq!(error.message, "found a bool, expected number");
}

#[test]
fn objects_need_exactly_their_attributes() {
    let ty = Type::object([("a", Type::Bool), ("b", Type::Bool)]);
    let missing = encode(&ty, &Value::object([("a", true)])).unwrap_err();
    assert!(missing.message.contains("\"b\" is missing"), "{missing}");
    let extra = encode(&ty, &Value::object([("a", true), ("b", true), ("c", true)])).unwrap_err();
    assert!(extra.message.contains("\"c\", which the schema does not have"), "{extra}");
    let one = Type::object([("a", Type::Bool)]);
    let bytes = encode(&one, &Value::object([("a", true)])).unwrap();
    assert!(decode(&ty, &bytes).unwrap_err().message.contains("\"b\" is missing"));
    let bytes = encode(&ty, &Value::object([("a", true), ("b", true)])).unwrap();
    assert!(decode(&one, &bytes).unwrap_err().message.contains("does not have"));
}

#[test]
fn lengths_beyond_the_input_reserve_nothing() {
    assert!(decode(&Type::list(Type::Bool), &[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(decode(&Type::map(Type::Bool), &[0xdf, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(decode(&Type::String, &[0xdb, 0xff, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn dynamic_values_bring_their_type() {
    let value =
        Value::Dynamic(Box::new(TypedValue { ty: Type::list(Type::Number), value: Value::list([1_i64]) }));
    assert_eq!(round_trip(&Type::Dynamic, &value), value);
    assert_eq!(round_trip(&Type::Dynamic, &Value::Null), Value::Null);
    assert!(decode(&Type::Dynamic, &[0x92, 0xa1, b'x', 0xc0]).is_err());
}

#[test]
fn endless_nesting_is_refused() {
    let bytes: Vec<u8> = b"\x92\xc4\x09\"dynamic\"".iter().copied().cycle().take(1_000_000).collect();
    assert!(decode(&Type::Dynamic, &bytes).unwrap_err().message.contains("too deeply"));
}

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![Just(Type::String), Just(Type::Number), Just(Type::Bool), Just(Type::Dynamic)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let members = prop::collection::btree_map("[a-z]{1,6}", inner.clone(), 0..4);
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            members.prop_map(Type::object),
            prop::collection::vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

fn any_number() -> BoxedStrategy<Value> {
    let text =
        ("-?[0-9]{1,30}", "(\\.[0-9]{1,20})?").prop_map(|(whole, part)| number(&format!("{whole}{part}")));
    let float = prop::num::f64::NORMAL.prop_map(|float| Value::Number(Number::from_f64(float).unwrap()));
    prop_oneof![text, any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from), float].boxed()
}

fn known_value(ty: &Type) -> BoxedStrategy<Value> {
    match ty {
        Type::String => any::<String>().prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => any_number(),
        Type::Dynamic => (Just(Type::list(Type::Number)), prop::collection::vec(any_number(), 0..3))
            .prop_map(|(ty, elements)| {
                Value::Dynamic(Box::new(TypedValue { ty, value: Value::List(elements) }))
            })
            .boxed(),
        Type::List(of) => prop::collection::vec(any_value(of), 0..4).prop_map(Value::List).boxed(),
        Type::Set(of) => prop::collection::vec(any_value(of), 0..4).prop_map(Value::set_of).boxed(),
        Type::Map(of) => {
            prop::collection::btree_map(any::<String>(), any_value(of), 0..4).prop_map(Value::map).boxed()
        }
        Type::Object(types) => types
            .iter()
            .map(|(name, ty)| (Just(name.clone()), any_value(ty)))
            .collect::<Vec<_>>()
            .prop_map(|members| Value::Object(BTreeMap::from_iter(members)))
            .boxed(),
        Type::Tuple(types) => types.iter().map(any_value).collect::<Vec<_>>().prop_map(Value::List).boxed(),
    }
}

fn any_value(ty: &Type) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 1 => Just(Value::unknown()), 6 => known_value(ty)].boxed()
}

fn typed_value() -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(|ty| {
        let value = any_value(&ty);
        (Just(ty), value)
    })
}

proptest! {
    #[test]
    fn every_value_of_every_type_round_trips((ty, value) in typed_value()) {
        prop_assert_eq!(round_trip(&ty, &value), value);
    }

    #[test]
    fn equal_values_are_equal_bytes((ty, value) in typed_value()) {
        let bytes = encode(&ty, &value).unwrap();
        prop_assert_eq!(encode(&ty, &decode(&ty, &bytes).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(ty in any_type(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&ty, &bytes);
    }

    #[test]
    fn damaged_encodings_never_panic((ty, value) in typed_value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&ty, &value).unwrap();
        let position = at.index(bytes.len());
        bytes[position] = byte;
        let _ = decode(&ty, &bytes);
        let _ = decode(&ty, &bytes[..position]);
    }
}
