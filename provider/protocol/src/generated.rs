// SPDX-License-Identifier: MPL-2.0
//! The protocol's messages and service traits, generated from `proto/` and committed. The test
//! `generated_code` compares them with the `.proto` files; nothing here is written by hand.
#![expect(unreachable_pub, clippy::allow_attributes, reason = "generated code")]

pub(crate) mod tfplugin6 {
    include!("generated/tfplugin6.rs");
}

pub(crate) mod plugin {
    include!("generated/plugin.rs");
}

pub(crate) mod health {
    include!("generated/grpc.health.v1.rs");
}
