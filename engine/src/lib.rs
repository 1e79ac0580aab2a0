// SPDX-License-Identifier: MPL-2.0
//! Decides what a host needs to be as declared, and drives it there through one small trait.
//!
//! ```text
//! declaration ─┐
//! consents ────┼─▶ plan (pure) ─▶ steps ─▶ ops ─▶ Host        check mode stops before Host
//! observed ────┘                                   │
//!    ▲───────────────── observe again: the plan must now be empty
//! ```
//!
//! * [`observe`] looks at a host through [`host::Host`] and yields [`observed::Observed`].
//! * [`plan`] compares it with a [`drbd_schemas::Resource`]; refusing ([`refusal::Refusal`]) is one of its results.
//! * [`step`] is the closed vocabulary, [`ops`] says which commands a step needs, [`apply`] runs them.
//! * [`run`] puts these in order for one module call and words the reply; [`info`], [`wait`], [`pool`], [`sync`],
//!   [`role`] and [`verify`] are the other modules.
//! * [`health`] says what is wrong with a resource that runs as declared.
//! * [`conf`] reads the configuration files of a host as `drbdadm` does.
//! * [`agreement`] compares what all hosts of a resource say of it.
//! * [`drift`], [`placement`] and [`allocate`] serve whoever looks after many hosts at once.
//! * [`tools`] has one file per external program.
//!
//! The engine knows nothing of Terraform, Ansible, AWS, SSH or LINSTOR, and has no side effects of its own.

pub mod agreement;
pub mod allocate;
pub mod apply;
pub mod conf;
pub mod content;
pub mod drift;
pub mod facts;
pub mod health;
pub mod host;
pub mod info;
pub mod meeting;
pub mod observe;
pub mod observed;
pub mod ops;
pub mod placement;
pub mod plan;
pub mod pool;
pub mod ports;
pub mod record;
pub mod refusal;
pub mod res_file;
pub mod role;
pub mod run;
#[cfg(any(test, feature = "testing"))]
pub mod simulate;
mod split_brain;
pub mod step;
pub mod sync;
mod thin;
pub mod tools;
pub mod verify;
pub mod wait;
