// SPDX-License-Identifier: MPL-2.0
//! What callers send: the arguments of each host-side module, and how JSON becomes them.
//!
//! [`parse`] reports everything that is wrong at once, and takes Ansible's habits: `null` is absent, `yes` is a
//! boolean, a number may be text and text a number, a list may be a comma-separated text, a dictionary may be JSON in
//! a text (seen with ansible-core 2.14 to 2.21).

mod info;
mod ports;
mod role;
mod verify;

pub use info::{Given, InfoArgs};
pub use ports::{PortsArgs, PortsRunArgs};
pub use role::{FsType, MountArgs, RoleArgs, WantedRole};
pub use verify::VerifyArgs;

use crate::declaration::{Declaration, DevicePath};
use crate::export;
use crate::invalid::{Invalid, Violation};
use crate::name::{LvmName, NodeName, NotAllowed, ResourceName};
use crate::resource::Resource;
use crate::size::ByteSize;
use crate::walk;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The host-side modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Module {
    /// Converges this host's part of one resource.
    DrbdResource,
    /// Facts of this host. Changes nothing.
    DrbdInfo,
    /// Waits for a condition of one resource. Changes nothing.
    DrbdWait,
    /// The one step that makes a new resource's data valid, on exactly one host, with the evidence of all.
    DrbdInitialSync,
    /// Makes a volume group, and a thin pool in it, from blank disks.
    DrbdStoragePool,
    /// Makes this host Primary or Secondary, with the file systems on the resource mounted or unmounted.
    DrbdRole,
    /// Compares the replicas of a resource block by block, online, and reports what differs.
    DrbdVerify,
    /// Proves that the nodes of a resource reach each other's replication ports. Changes nothing.
    DrbdPorts,
}

impl Module {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DrbdResource,
        Self::DrbdInfo,
        Self::DrbdWait,
        Self::DrbdInitialSync,
        Self::DrbdStoragePool,
        Self::DrbdRole,
        Self::DrbdVerify,
        Self::DrbdPorts,
    ];

    /// The name, as Ansible has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DrbdResource => "drbd_resource",
            Self::DrbdInfo => "drbd_info",
            Self::DrbdWait => "drbd_wait",
            Self::DrbdInitialSync => "drbd_initial_sync",
            Self::DrbdStoragePool => "drbd_storage_pool",
            Self::DrbdRole => "drbd_role",
            Self::DrbdVerify => "drbd_verify",
            Self::DrbdPorts => "drbd_ports",
        }
    }

    /// The module of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|module| module.name() == name)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What state a resource should have on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Storage, configuration file, metadata, and running as declared.
    #[default]
    Present,
    /// Running as the file on the host says; storage, file and metadata are not touched.
    Up,
    /// Not running; storage, file and metadata stay.
    Down,
    /// Not running, and its file is gone. Backing storage and its data stay, unless the consent `destroy:<name>` is
    /// given.
    Absent,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Present => "present",
            Self::Up => "up",
            Self::Down => "down",
            Self::Absent => "absent",
        })
    }
}

/// One part of `state: present`, in the order in which they are done. The verbs are those of `drbdadm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Create the logical volumes, or grow them.
    Storage,
    /// Write the configuration file.
    Config,
    /// Write metadata on what is proven blank, or adopt what is ours.
    CreateMd,
    /// Start the resource if it is not up; one that is up is left as it is.
    Up,
    /// Make the kernel run what is declared; starts the resource, too.
    Adjust,
    /// Let DRBD take the size that all backing devices have now.
    Resize,
}

/// Arguments of `drbd_resource` besides the declaration itself, whose fields stand beside these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunArgs {
    /// What the resource should be on this host. `absent`, `down` and `up` need only `name`.
    #[serde(default)]
    pub state: State,
    /// Only these parts of `state: present`; all when empty. Each is judged as in a whole run, and refused where a part
    /// before it is still to be done and not asked for. What is left to do is told in `pending`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Part>,
    /// What may be destroyed or taken over, each a token that a refusal has printed: it names the device or resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consent: Vec<String>,
    /// Facts of all nodes, as `drbd_info` returns them (`facts`). Needed for growing, which may go on only when every
    /// replica's backing device has grown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Value>,
    /// Seconds to wait for another run on the same resource to end; 0 fails at once. Either way its holder is named.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub lock_timeout: u32,
}

fn default_lock_timeout() -> u32 {
    30
}

/// Arguments of `drbd_resource`.
#[derive(Clone, Debug)]
pub struct ResourceArgs {
    /// Name of the resource.
    pub name: ResourceName,
    /// The declaration; `state: present` always has one.
    pub resource: Option<Resource>,
    /// Everything else.
    pub run: RunArgs,
}

/// A condition to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Every connection of this host is Connected.
    Connected,
    /// This host's disks are UpToDate.
    UpToDate,
    /// This host's disks and those of all its peers are UpToDate, and every connection is Connected.
    AllUpToDate,
}

/// Arguments of `drbd_wait`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitArgs {
    /// Name of the resource.
    pub name: ResourceName,
    /// What to wait for.
    pub condition: Condition,
    /// Facts of all nodes, as `drbd_info` returns them (`facts`), taken after every node was converged. With them a wait
    /// that cannot succeed ends at once, and says which nodes were declared differently, or which side sees a split brain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Value>,
    /// Deadline in seconds, at most a day; when it passes, the module fails and says what it last saw.
    #[serde(default = "default_wait_timeout")]
    #[schemars(range(min = 0, max = 86400))]
    pub timeout: u32,
}

fn default_wait_timeout() -> u32 {
    60
}

/// Arguments of `drbd_initial_sync` besides the declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRunArgs {
    /// Facts of all nodes, as `drbd_info` returns them (`facts`), taken after every node was converged.
    #[serde(default)]
    pub evidence: Vec<Value>,
    /// The node whose (meaningless) content becomes the data when a full synchronisation is needed. Unset: the diskful
    /// node with the lowest node-id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<NodeName>,
    /// Seconds to wait for another run on the same resource.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub lock_timeout: u32,
}

/// Arguments of `drbd_initial_sync`.
#[derive(Clone, Debug)]
pub struct InitialSyncArgs {
    /// The declaration.
    pub resource: Resource,
    /// Everything else.
    pub run: SyncRunArgs,
}

/// Arguments of `drbd_storage_pool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoragePoolArgs {
    /// The volume group.
    pub volume_group: LvmName,
    /// A thin pool in it that takes all its space (but a reserve for its metadata to be repaired); none when unset. When a
    /// disk of the group grows, or one is added, and the pool filled the group, the pool takes the new space, its metadata in
    /// proportion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thin_pool: Option<LvmName>,
    /// At least this size for the thin pool's metadata, 2MiB to 15GiB; LVM's choice when unset (small for many snapshots or
    /// small chunks). A larger one than they have needs free space in the group, twice what is missing, since LVM keeps a
    /// spare of the same size: declare a further disk with it. They never become smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thin_pool_metadata_size: Option<ByteSize>,
    /// The disks of the group. Each must be blank, or already belong to it. One that was grown (an EBS volume, for example)
    /// is used in its new size, while it is in use. Disks of the group that are not listed are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DevicePath>,
    /// `absent` removes the thin pool and the group, and only when no other volume is left in them.
    #[serde(default)]
    pub state: PoolState,
    /// What may be destroyed, each a token that a refusal has printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consent: Vec<String>,
    /// Seconds to wait for another run on the same volume group.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 3600))]
    pub lock_timeout: u32,
}

impl StoragePoolArgs {
    /// The sizes of a thin pool's metadata: LVM's own limits, the upper one rounded down, because it gives 15.8 GiB where
    /// more is asked for.
    pub fn check_metadata_size(size: ByteSize) -> Result<(), NotAllowed> {
        const MIB: u64 = 1 << 20;
        let allowed = 2 * MIB..=15 * 1024 * MIB;
        if allowed.contains(&size.bytes()) { Ok(()) } else { Err(NotAllowed("2MiB to 15GiB".to_owned())) }
    }

    /// What no type of a single field says.
    fn violations(&self) -> Vec<Violation> {
        let Some(size) = self.thin_pool_metadata_size else { return Vec::new() };
        let refuse =
            |allowed: &str| vec![Violation::new("thin_pool_metadata_size", size.to_string(), allowed)];
        match Self::check_metadata_size(size) {
            Err(NotAllowed(allowed)) => refuse(&allowed),
            Ok(()) if self.thin_pool.is_none() => refuse("none without a thin_pool"),
            Ok(()) => Vec::new(),
        }
    }
}

/// What state a storage pool should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolState {
    /// There, with at least the given disks.
    #[default]
    Present,
    /// Gone.
    Absent,
}

/// The arguments of any module.
#[derive(Clone, Debug)]
pub enum Args {
    /// `drbd_resource`
    Resource(Box<ResourceArgs>),
    /// `drbd_info`
    Info(InfoArgs),
    /// `drbd_wait`
    Wait(WaitArgs),
    /// `drbd_initial_sync`
    InitialSync(Box<InitialSyncArgs>),
    /// `drbd_storage_pool`
    StoragePool(StoragePoolArgs),
    /// `drbd_role`
    Role(RoleArgs),
    /// `drbd_verify`
    Verify(VerifyArgs),
    /// `drbd_ports`
    Ports(Box<PortsArgs>),
}

/// Reads the arguments of a module from a JSON object that holds nothing else.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn parse(module: Module, value: Value) -> Result<Args, Invalid> {
    let what = format!("arguments of {module}");
    let mut schema = export::module_schema(module);
    if module == Module::DrbdResource && needs_only_the_name(&value) {
        require_only_the_name(&mut schema);
    }
    let value =
        walk::check(&schema, value).map_err(|violations| Invalid { what: what.clone(), violations })?;
    let args = match module {
        Module::DrbdResource => {
            let (declaration, run) = split::<RunArgs>(value, &what)?;
            if run.state != State::Present && !run.steps.is_empty() {
                let allowed = "no steps: they are parts of state present";
                let violations =
                    vec![Violation::new("steps", format!("steps with state {}", run.state), allowed)];
                return Err(Invalid { what, violations });
            }
            let name = name_of(&declaration, &what)?;
            let resource =
                declaration.contains_key("nodes").then(|| resource_of(declaration, &what)).transpose()?;
            Args::Resource(Box::new(ResourceArgs { name, resource, run }))
        }
        Module::DrbdInitialSync => {
            let (declaration, run) = split::<SyncRunArgs>(value, &what)?;
            Args::InitialSync(Box::new(InitialSyncArgs { resource: resource_of(declaration, &what)?, run }))
        }
        Module::DrbdPorts => {
            let (declaration, run) = split::<PortsRunArgs>(value, &what)?;
            Args::Ports(Box::new(PortsArgs { resource: resource_of(declaration, &what)?, run }))
        }
        Module::DrbdInfo => Args::Info(InfoArgs::checked(typed(value, &what)?, &what)?),
        Module::DrbdWait => Args::Wait(typed(value, &what)?),
        Module::DrbdStoragePool => {
            let args: StoragePoolArgs = typed(value, &what)?;
            let violations = args.violations();
            if !violations.is_empty() {
                return Err(Invalid { what, violations });
            }
            Args::StoragePool(args)
        }
        Module::DrbdRole => {
            let args: RoleArgs = typed(value, &what)?;
            let violations = args.violations();
            if !violations.is_empty() {
                return Err(Invalid { what, violations });
            }
            Args::Role(args)
        }
        Module::DrbdVerify => Args::Verify(typed(value, &what)?),
    };
    Ok(args)
}

fn needs_only_the_name(value: &Value) -> bool {
    let state = value.get("state").and_then(Value::as_str).unwrap_or_default();
    matches!(state, "absent" | "down" | "up") && value.get("nodes").is_none_or(Value::is_null)
}

fn require_only_the_name(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        object.insert("required".into(), serde_json::json!(["name"]));
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value, what: &str) -> Result<T, Invalid> {
    serde_json::from_value(value).map_err(|error| Invalid {
        what: what.to_owned(),
        violations: vec![Violation::new("", error.to_string(), "a document that fits the JSON Schema")],
    })
}

/// Splits the fields of the run from those of the declaration, which share one object on the wire.
fn split<T: serde::de::DeserializeOwned + JsonSchema>(
    value: Value,
    what: &str,
) -> Result<(Map<String, Value>, T), Invalid> {
    let ours = export::property_names::<T>();
    let Value::Object(all) = value else {
        return Err(Invalid {
            what: what.to_owned(),
            violations: vec![Violation::new("", "no object", "an object")],
        });
    };
    let (run, declaration): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(key, _)| ours.contains(key));
    Ok((declaration, typed(Value::Object(run), what)?))
}

fn name_of(declaration: &Map<String, Value>, what: &str) -> Result<ResourceName, Invalid> {
    typed(declaration.get("name").cloned().unwrap_or_default(), what)
}

fn resource_of(declaration: Map<String, Value>, what: &str) -> Result<Resource, Invalid> {
    declaration_of(Value::Object(declaration), what)
}

fn declaration_of(declaration: Value, what: &str) -> Result<Resource, Invalid> {
    let declaration: Declaration = typed(declaration, what)?;
    Resource::try_from(declaration).map_err(|invalid| Invalid { what: what.to_owned(), ..invalid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn r0() -> Value {
        json!({
            "name": "r0", "port": 7000,
            "nodes": {
                "h1": { "node_id": 0, "address": "10.0.0.1", "storage": { "lvm_thin": { "volume_group": "vg0", "thin_pool": "pool" } } },
                "h2": { "node_id": 1, "address": "10.0.0.2", "storage": { "lvm": { "volume_group": "vg0" } } },
            },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        })
    }

    fn refused(module: Module, value: Value) -> Vec<(String, Option<String>)> {
        parse(module, value).unwrap_err().violations.into_iter().map(|v| (v.path, v.hint)).collect()
    }

    #[test]
    fn ansibles_habits_are_taken() {
        let mut v = r0();
        v["port"] = json!("7000");
        v["nodes"]["h1"]["node_id"] = json!("0");
        v["net"] = json!({ "max_buffers": 8000, "allow-two-primaries": false, "verify_alg": null });
        v["consent"] = json!("destroy:r0,overwrite:x");
        v["lock_timeout"] = json!("5");
        v["volumes"] = json!(r#"{"0": {"minor": 1000, "size": 67108864}}"#);
        v["max_peers"] = json!(null);
        let Args::Resource(args) = parse(Module::DrbdResource, v).unwrap() else { panic!() };
        let resource = args.resource.unwrap();
        assert_eq!(resource.net.get("allow-two-primaries"), Some("no"));
        assert_eq!(resource.net.get("max-buffers"), Some("8000"));
        assert_eq!(args.run.consent, ["destroy:r0", "overwrite:x"]);
        assert_eq!(args.run.lock_timeout, 5);
        assert_eq!(resource.volumes.values().next().unwrap().size.unwrap().to_string(), "64MiB");
    }

    #[test]
    fn unknown_and_wrong_fields_are_all_named_with_suggestions() {
        let mut v = r0();
        v["stat"] = json!("present");
        v["nodes"]["h1"]["adress"] = json!("10.0.0.1");
        v["nodes"]["h2"]["address"] = json!("h2.example.net");
        v["net"] = json!({ "protocl": "C", "protocol": "D" });
        v["volumes"]["0"]["size"] = json!("10G");
        v["port"] = json!([]);
        v["volumes"]["01"] = json!({ "minor": 1001, "size": "64MiB" });
        let found = refused(Module::DrbdResource, v);
        let hint = |path: &str| {
            found.iter().find(|(p, _)| p == path).unwrap_or_else(|| panic!("{path}: {found:?}")).1.clone()
        };
        assert_eq!(hint("stat").unwrap(), "did you mean state?");
        assert_eq!(hint("nodes.h1.adress").unwrap(), "did you mean address?");
        assert_eq!(hint("net.protocl").unwrap(), "did you mean protocol?");
        for path in ["nodes.h2.address", "net.protocol", "volumes.0.size", "port", "volumes.01"] {
            hint(path);
        }
    }

    #[test]
    fn the_metadata_of_a_pool_have_limits_and_need_a_pool() {
        let pool = |size: &str| json!({ "volume_group": "vg0", "thin_pool": "pool", "thin_pool_metadata_size": size });
        assert!(parse(Module::DrbdStoragePool, pool("1GiB")).is_ok());
        for size in ["1MiB", "16GiB", "10G"] {
            let found = refused(Module::DrbdStoragePool, pool(size));
            assert_eq!(found[0].0, "thin_pool_metadata_size", "{size}");
        }
        let thick = json!({ "volume_group": "vg0", "thin_pool_metadata_size": "1GiB" });
        assert_eq!(refused(Module::DrbdStoragePool, thick)[0].0, "thin_pool_metadata_size");
    }

    #[test]
    fn single_steps_belong_to_state_present() {
        let mut v = r0();
        v["steps"] = json!("create-md, adjust");
        let Args::Resource(args) = parse(Module::DrbdResource, v).unwrap() else { panic!() };
        assert_eq!(args.run.steps, [Part::CreateMd, Part::Adjust]);
        let found = refused(Module::DrbdResource, json!({ "name": "r0", "state": "down", "steps": ["up"] }));
        assert_eq!(found, [("steps".to_owned(), None)]);
    }

    #[test]
    fn leaving_states_need_only_the_name() {
        for state in ["absent", "down", "up"] {
            assert!(parse(Module::DrbdResource, json!({ "name": "r0", "state": state })).is_ok(), "{state}");
        }
        let missing = refused(Module::DrbdResource, json!({ "name": "r0" }));
        assert!(missing.iter().any(|(path, _)| path == "nodes"), "{missing:?}");
    }

    #[test]
    fn a_secret_is_never_quoted() {
        let mut v = r0();
        v["shared_secret"] = json!(format!("hunter22{}", "x".repeat(100)));
        let text = parse(Module::DrbdResource, v).unwrap_err().to_string();
        assert!(!text.contains("hunter22"), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_json_is_taken_or_refused(text in r#"(\{|\[)?("[a-z_]{1,8}":? ?)?[0-9a-z\[\]{}",: ]{0,40}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                for module in Module::ALL {
                    let _ = parse(module, value.clone());
                }
            }
        }

        #[test]
        fn any_mutation_of_a_good_document_is_taken_or_refused(key in "[a-z_]{1,10}", n: i64, s in ".{0,20}") {
            for value in [json!(n), json!(s), json!([s.clone()]), json!({ s.clone(): n }), json!(true)] {
                let mut v = r0();
                v[key.as_str()] = value.clone();
                v["nodes"]["h1"][key.as_str()] = value.clone();
                let _ = parse(Module::DrbdResource, v);
                for name in ["name", "nodes", "volumes", "net", "state", "consent", "evidence", "connections"] {
                    let mut v = r0();
                    v[name] = value.clone();
                    let _ = parse(Module::DrbdResource, v);
                }
            }
        }
    }
}
