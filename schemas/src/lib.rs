// SPDX-License-Identifier: MPL-2.0
//! The words of replicated block storage as code: one contract for every door.
//!
//! A *declaration* says what one replicated resource should be, on all of its nodes. *Facts* say what was
//! observed on one host. A *plan* is ordered steps from facts to declaration, and a *reply* says what was
//! done. The Terraform provider, the host binary `drbd-host`, the playbooks, the docs and the examples use
//! these types and nothing parallel to them; the JSON Schema files in `json/` are generated from them.
//!
//! Not here: anything that reads, runs or decides. Next stop: `drbd-engine`, which decides.
//!
//! | DRBD's word | Terraform | module option |
//! |--|--|--|
//! | resource | `drbd_replicated_volume` | `name` |
//! | host section (`on`) | one of `drbd_resource_group.nodes` | `nodes.<name>` |
//! | node-id | `replicas.<node>.node_id` | `nodes.<name>.node_id` |
//! | volume | the volume itself | `volumes.<number>` |
//! | device minor | `minor` | `volumes.<number>.minor` |
//! | backing disk | `storage_pools` of `drbd_node` | `nodes.<name>.storage` |
//! | connection, path | `connections` | `connections` |
//! | `net`, `disk`, `options` sections | `net`, `disk`, `options` | `net`, `disk`, `options` |

pub mod address;
pub mod args;
pub mod checks;
pub mod combinations;
pub mod declaration;
pub mod export;
pub mod facts;
pub mod invalid;
pub mod name;
pub mod options;
pub mod reply;
pub mod resource;
pub mod secret;
pub mod size;
pub mod verdict;
mod walk;

pub use args::{Args, InfoArgs, InitialSyncArgs, ResourceArgs, StoragePoolArgs, WaitArgs, parse};
pub use declaration::{Connection, Declaration, Node, Storage, Volume};
pub use invalid::{Invalid, Violation};
pub use name::{LvmName, Minor, NodeId, NodeName, Port, ResourceName, VolumeNumber};
pub use options::{Family, OptionSet, Section};
pub use resource::Resource;
pub use secret::Secret;
pub use size::ByteSize;
pub use verdict::Verdict;
