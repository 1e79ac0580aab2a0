// SPDX-License-Identifier: MPL-2.0
//! The process around the service: handshake, socket, TLS, the services beside the provider's, signals, the log.
//! Nothing here knows what a resource is.

mod connection;
mod handshake;
mod hclog;
mod lifetime;
mod route;
mod services;
mod socket;
mod tls;

pub(crate) use connection::accept;
pub(crate) use handshake::{Environment, PROTOCOL, line, reattach};
pub(crate) use hclog::install as install_log;
pub(crate) use lifetime::{End, Lifetime};
pub(crate) use route::Routes;
pub(crate) use services::Beside;
pub(crate) use socket::{Address, Listening, bind, clean_abandoned};
pub(crate) use tls::Tls;
