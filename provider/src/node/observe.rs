// SPDX-License-Identifier: MPL-2.0
//! A node against the facts of its host. Pure: the same findings are errors when a node is created and drift when it is
//! read.

use drbd_schemas::facts::HostFacts;
use tfplugin::{Diagnostic, Path, Value};

use super::model::{NodeModel, Pool};

/// Something about a host that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The attribute that it is about.
    at: Path,
    summary: &'static str,
    /// What was found.
    pub(crate) what: String,
    /// What to do about it.
    hint: String,
}

impl Finding {
    fn new(at: Path, summary: &'static str, what: String, hint: impl Into<String>) -> Self {
        Self { at, summary, what, hint: hint.into() }
    }

    pub(crate) fn diagnostic(&self) -> Diagnostic {
        Diagnostic::error(self.summary, format!("{}. Nothing was changed. {}", self.what, self.hint))
            .at(self.at.clone())
    }
}

/// Whether this is the host, and can run DRBD.
pub(crate) fn host_findings(model: &NodeModel, facts: &HostFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.node != model.name.as_str() {
        let what = format!(
            "the host calls itself {:?} (uname -n), and the node is named {:?}",
            facts.node,
            model.name.as_str()
        );
        let hint = "Check ssh.host, or give the node the name of the host: drbdadm looks for it in its configuration.";
        findings.push(Finding::new(Path::of("name"), "Host has another name", what, hint));
    }
    let kernel = &facts.kernel;
    if facts.drbd.family().is_none() {
        let (what, hint) = match facts.drbd.module.as_ref().or(facts.drbd.loadable.as_ref()) {
            Some(version) => (
                format!("the host's DRBD module is version {version}"),
                "Supported are DRBD 8.4 and 9.".to_owned(),
            ),
            None => (
                format!("the host's kernel {kernel} has no DRBD module, loaded or loadable"),
                "Install one, for example the package linux-modules-extra for 8.4, or drbd-dkms for 9."
                    .to_owned(),
            ),
        };
        findings.push(Finding::new(Path::of("ssh"), "No usable DRBD kernel module", what, hint));
    }
    if let (Some(wanted), Some(found)) = (model.module, facts.drbd.family())
        && wanted != found
    {
        findings.push(other_module(facts, &wanted.to_string()));
    }
    if facts.drbd.utils.is_none() {
        let what = "drbd-utils are not installed on the host (no drbdadm)".to_owned();
        findings.push(Finding::new(
            Path::of("ssh"),
            "No drbd-utils",
            what,
            "Install the package drbd-utils there.",
        ));
    }
    if let Some(error) = &facts.config_error {
        let what = format!("drbdadm cannot read the host's configuration: {error}");
        let hint = "One broken file stops every drbdadm call of the host; repair or remove it.";
        findings.push(Finding::new(Path::of("ssh"), "Host's DRBD configuration is broken", what, hint));
    }
    findings
}

/// The module is another one than was asked for.
fn other_module(facts: &HostFacts, wanted: &str) -> Finding {
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
    let what = format!(
        "the host's kernel {} has DRBD {} loaded and {} to load; wanted is {wanted}",
        facts.kernel,
        version(&facts.drbd.module),
        version(&facts.drbd.loadable)
    );
    let hint = if wanted == "9" {
        "Install DRBD 9 for the running kernel (drbd-dkms and its headers), and unload or reboot where 8.4 is loaded; with ec2, \
         software = \"linbit_ppa\" installs it at the launch."
    } else {
        "Boot a kernel with its own DRBD 8.4, without a DRBD 9 module beside it, or set module_version = \"9\"."
    };
    Finding::new(Path::of("module_version"), "Another DRBD kernel module", what, hint)
}

/// Storage pools that should be there and are not. Pools that will be made from disks are not looked at when
/// `made_later`.
pub(crate) fn pool_findings(model: &NodeModel, facts: &HostFacts, made_later: bool) -> Vec<Finding> {
    let pools = model.pools.iter().filter(|(_, pool)| !made_later || pool.disks.is_empty());
    pools.filter_map(|(name, pool)| pool_finding(name, pool, facts)).collect()
}

fn pool_finding(name: &str, pool: &Pool, facts: &HostFacts) -> Option<Finding> {
    let (volume_group, thin_pool) = pool.lvm()?;
    let at = Path::of("storage_pools").key(name);
    let hint = if pool.disks.is_empty() {
        "Make it on the host, or give disks of which it shall be made."
    } else {
        "Applying makes it from the given disks, if they are blank."
    };
    let Some(group) = facts.volume_groups.get(volume_group.as_str()) else {
        let what = format!("storage pool {name:?}: there is no volume group {volume_group} on the host");
        return Some(Finding::new(at, "Storage pool is missing", what, hint));
    };
    let missing = thin_pool.filter(|thin| !group.thin_pools.contains_key(thin.as_str()))?;
    let what = format!("storage pool {name:?}: the volume group {volume_group} has no thin pool {missing}");
    Some(Finding::new(at, "Storage pool is missing", what, hint))
}

/// Drift of a node, for its state.
pub(crate) fn drift(model: &NodeModel, facts: &HostFacts) -> Vec<String> {
    let findings = host_findings(model, facts).into_iter().chain(pool_findings(model, facts, false));
    findings.map(|finding| finding.what).collect()
}

/// Puts what the facts tell into a state.
pub(crate) fn fill(state: &mut Value, facts: &HostFacts) {
    state.set("kernel_version", facts.kernel.as_str());
    state.set("drbd_version", facts.drbd.module.clone().or_else(|| facts.drbd.loadable.clone()));
    state.set("drbd_family", facts.drbd.family().map(|family| family.to_string()));
    state.set("drbd_utils_version", facts.drbd.utils.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_schemas::Family;
    use serde_json::json;
    use tfplugin::Decode;

    fn model() -> NodeModel {
        let thin =
            Value::object([("lvm_thin", Value::object([("volume_group", "vg0"), ("thin_pool", "thin")]))]);
        let value = Value::object([
            ("name", Value::from("h1")),
            ("address", Value::from("10.0.0.1")),
            ("ssh", Value::object([("host", "10.0.0.1")])),
            ("storage_pools", Value::map([("data", thin)])),
        ]);
        NodeModel::decode(&value, &Path::root()).unwrap()
    }

    fn facts(change: impl FnOnce(&mut serde_json::Value)) -> HostFacts {
        let thin = json!({ "size_bytes": 1, "data_percent": 0.0, "zeroing": true });
        let mut value = json!({
            "schema": "drbd-host/facts/1", "node": "h1", "kernel": "6.1", "resources": {},
            "drbd": { "module": "8.4.11", "loadable": null, "utils": "9.22.0" },
            "volume_groups": { "vg0": {
                "uuid": "x", "size_bytes": 1, "free_bytes": 1, "disks": [], "thin_pools": { "thin": thin },
            } },
            "ports_in_use": [], "minors_in_use": [], "drbd_host": "0.1.0",
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn check(change: impl FnOnce(&mut serde_json::Value)) -> String {
        drift(&model(), &facts(change)).join("\n")
    }

    #[test]
    fn a_host_as_declared_has_no_drift() {
        assert_eq!(check(|_| ()), "");
    }

    #[test]
    fn everything_that_differs_is_named() {
        assert!(check(|f| f["node"] = json!("web")).contains("calls itself \"web\""));
        assert!(check(|f| f["drbd"] = json!({ "utils": "9" })).contains("kernel 6.1 has no DRBD module"));
        assert!(check(|f| f["drbd"]["module"] = json!("7.0")).contains("version 7.0"));
        assert!(check(|f| f["drbd"]["utils"] = json!(null)).contains("drbd-utils"));
        assert!(check(|f| f["config_error"] = json!("x.res:3: parse error")).contains("x.res:3"));
        assert!(check(|f| f["volume_groups"] = json!({})).contains("no volume group vg0"));
        assert!(check(|f| f["volume_groups"]["vg0"]["thin_pools"] = json!({})).contains("no thin pool thin"));
    }

    #[test]
    fn a_module_other_than_the_wanted_one_is_named_with_the_way_out() {
        let mut model = model();
        let stock = facts(|_| ());
        for (wanted, found) in [(None, 0), (Some(Family::V84), 0), (Some(Family::V9), 1)] {
            model.module = wanted;
            assert_eq!(host_findings(&model, &stock).len(), found, "{wanted:?}");
        }
        let told = host_findings(&model, &stock).remove(0).diagnostic();
        assert_eq!(told.summary, "Another DRBD kernel module");
        for part in [
            "kernel 6.1",
            "DRBD 8.4.11 loaded and none to load",
            "wanted is 9",
            "linbit_ppa",
            "Nothing was changed",
        ] {
            assert!(told.detail.contains(part), "{part}: {}", told.detail);
        }
    }

    #[test]
    fn a_pool_that_will_be_made_is_not_missing_yet() {
        let mut model = model();
        let bare = facts(|f| f["volume_groups"] = json!({}));
        assert_eq!(pool_findings(&model, &bare, true).len(), 1);
        model.pools.get_mut("data").unwrap().disks = vec!["/dev/vdb".to_owned().try_into().unwrap()];
        assert_eq!(pool_findings(&model, &bare, true).len(), 0);
        assert_eq!(pool_findings(&model, &bare, false).len(), 1);
    }
}
