// SPDX-License-Identifier: MPL-2.0
//! The Terraform plugin protocol, version 6, for providers written in Rust.

mod diagnostic;
mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use value::{
    Bounds, CodecError, Decode, Encode, Known, Number, ParseNumberError, Path, Reader, Refinements, Step,
    Type, TypedValue, Value,
};
