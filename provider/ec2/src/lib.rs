// SPDX-License-Identifier: MPL-2.0
//! EC2 instances, their data disks and their security group, in this project's few words, on the AWS SDK.
//!
//! ```no_run
//! # async fn example() -> Result<(), drbd_ec2::Ec2Error> {
//! use drbd_ec2::{Ec2, Settings};
//!
//! let ec2 = Ec2::new(Settings { region: Some("us-west-2".into()), ..Settings::default() }); // contacts nobody
//! for instance in ec2.inventory().await?.instances.values() {
//!     println!("{} is {}", instance.id, instance.state);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - **Owned objects only.** Everything made here carries the tags of its [`Owner`], set by the very call that makes it.
//!   Whatever changes or removes an object reads it first, and refuses one that carries no such tags.
//! - **Nothing is made twice.** Before a create the owner's objects are looked up by tag; the create itself carries a client
//!   token that follows from the owner, so a run that was cut between call and answer finds its object again.
//! - **An error says** which call, AWS's code and message, the request id, and what to do ([`Ec2Error`]). A failure to ask
//!   never means that something does not exist.
//! - **Waits have names**, a deadline, the last state that was seen, and a remedy ([`Gate`]).
//! - Nothing is read, resolved or contacted before the first call.
//!
//! Deliberately not here: Terraform, SSH, DRBD; anything inside the guest. This is the only package that names the AWS SDK,
//! because compiling that takes minutes and gigabytes.

mod adopt;
mod claim;
mod client;
mod console;
mod error;
mod gate;
mod group;
mod image;
mod instance;
mod inventory;
mod launch;
mod place;
mod retry;
mod rules;
mod settings;
mod tags;
mod volume;
mod words;

pub use adopt::Claim;
pub use client::Ec2;
pub use console::{HostKey, host_keys};
pub use error::{Ec2Error, Kind};
pub use gate::{Gate, Look, Overdue, Stuck};
pub use group::{GroupName, SecurityGroup};
pub use image::{Image, ImageChoice};
pub use inventory::Inventory;
pub use launch::{Launch, RootDisk, Spot};
pub use place::{Place, PlaceChoice};
pub use rules::{Protocol, Rule, Source};
pub use settings::{AssumeRole, Settings};
pub use tags::{Owner, Role, Tags};
pub use volume::{DataVolume, Growth, Performance};
pub use words::{Attachment, Instance, InstanceState, Volume, VolumeState};
