// SPDX-License-Identifier: MPL-2.0
#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! `value` (values, numbers, paths, wire forms) ← `schema` (what a thing looks like) ← `plan`, `check` (pure rules
//! of planning, and core's rules for answers) ← `provider` (the traits) ← `server` (one file for each kind of
//! request) ← `serve`, `wire` (the process). `generated` holds the protocol's messages.

mod check;
mod context;
mod diagnostic;
mod generated;
mod plan;
mod provider;
mod schema;
mod serve;
mod server;
mod value;
mod wire;

pub use context::Context;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use provider::{
    AnyDataSource, AnyEphemeral, AnyFunction, AnyResource, ApplyResult, CreateRequest, DataResult,
    DataSource, DeferReason, DeleteRequest, DeleteResult, EphemeralResource, Function, FunctionError,
    ImportResult, OpenResult, Parameter, PlanAction, PlanRequest, PlanResult, Provider, RawState,
    ReadRequest, ReadResult, RenewResult, Resource, Signature, UpdateRequest, UpgradeResult,
};
pub use schema::{Attribute, Schema};
pub use serve::{ServeOptions, serve};
pub use server::problems;
pub use value::{
    Bounds, CodecError, Decode, Encode, Known, Number, ParseNumberError, Path, Reader, Refinements, SmolStr,
    Step, Type, TypedValue, Value,
};
