// SPDX-License-Identifier: MPL-2.0
//! What a node's configuration must be as a whole: an existing host, or an instance, and what belongs to which. Pure, and
//! before anything is contacted.

use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::ec2;
use super::model::default_address;

/// Checks a configuration. Unknown values are accepted.
pub(crate) fn node(config: &Value) -> Diagnostics {
    let mut told = Diagnostics::new();
    if config.get("ec2").is_null() {
        existing_host(config, &mut told);
    } else if config.get("ec2").members().is_some() {
        instance(config, &mut told);
    }
    told
}

fn existing_host(config: &Value, told: &mut Diagnostics) {
    let ssh = config.get("ssh");
    if ssh.get("host").is_null() && !ssh.is_unknown() {
        let detail = "A node is an existing host, which ssh.host names, or an EC2 instance, which ec2 describes. Neither is set.";
        told.error_at(&Path::of("ssh").attribute("host"), "No host", detail);
    }
    if config.get("address").is_null()
        && let Err(problem) = default_address(ssh)
    {
        told.push(problem);
    }
    for_each_disk(config, |path, _| {
        let detail = format!(
            "{path} is an EBS volume, and the node is an existing host. Only a node with ec2 has them."
        );
        told.error_at(path, "An EBS volume without an instance", detail);
    });
}

fn instance(config: &Value, told: &mut Diagnostics) {
    let ec2 = config.get("ec2");
    let at = Path::of("ec2");
    exactly_one_image(ec2, &at, told);
    if ec2.get("subnet_id").is_null() && ec2.get("availability_zone").is_null() {
        let detail = "One of ec2.subnet_id and ec2.availability_zone is needed.";
        told.error_at(&at.attribute("subnet_id"), "No place for the instance", detail);
    }
    if !config.get("ssh").get("host").is_null() {
        let detail = "ssh.host is set, and so is ec2. The address of an instance that is launched is computed: leave ssh.host out, \
                      and choose with ec2.ssh_address.";
        told.error_at(&Path::of("ssh").attribute("host"), "An existing host and an instance", detail);
    }
    guessed_devices(config, told);
    versions(ec2, &at, told);
}

fn versions(ec2: &Value, at: &Path, told: &mut Diagnostics) {
    let software = ec2.get("software");
    for (package, version) in ec2.get("software_versions").members().into_iter().flatten() {
        let Some(version) = version.as_str().filter(|_| !software.is_unknown()) else { continue };
        if let Some(detail) = ec2::unusable_pin(software.as_str(), package, version) {
            told.error_at(
                &at.attribute("software_versions").key(package),
                "Not a version to install",
                detail,
            );
        }
    }
}

fn exactly_one_image(ec2: &Value, at: &Path, told: &mut Diagnostics) {
    let names = ["image_id", "image_ssm_parameter", "image"];
    // An unknown one can still turn out to be null.
    if names.iter().any(|name| ec2.get(name).is_unknown()) {
        return;
    }
    let given: Vec<&str> = names.into_iter().filter(|name| !ec2.get(name).is_null()).collect();
    if given.len() != 1 {
        let found = if given.is_empty() { "none of them".to_owned() } else { given.join(" and ") };
        let detail =
            format!("{at} must have exactly one of image_id, image_ssm_parameter and image; it has {found}.");
        told.error_at(at, "No clear image", detail);
    }
}

/// Kernel names of an instance's disks follow the order in which they were found, which changes.
fn guessed_devices(config: &Value, told: &mut Diagnostics) {
    for (pool, value) in config.get("storage_pools").members().into_iter().flatten() {
        let at = Path::of("storage_pools").key(pool);
        let disks = value.get("disks").elements().unwrap_or_default().iter();
        let devices = value.get("devices").members().into_iter().flatten().map(|(_, device)| device);
        for device in disks.chain(devices).filter_map(Value::as_str) {
            if ["/dev/nvme", "/dev/sd", "/dev/xvd"].iter().any(|guess| device.starts_with(guess)) {
                told.push(guessed(device).at(at.clone()));
            }
        }
    }
}

fn guessed(device: &str) -> Diagnostic {
    let detail = format!(
        "{device} is a name that the kernel of an EC2 instance gives in the order in which it finds disks, and that order changes; EC2 \
         itself does not take nvme names. Declare the disk with ebs, which is found by its volume id, or use a name below \
         /dev/disk/by-id."
    );
    Diagnostic::error("A device name that does not stay", detail)
}

fn for_each_disk(config: &Value, mut with: impl FnMut(&Path, &Value)) {
    for (pool, value) in config.get("storage_pools").members().into_iter().flatten() {
        for (disk, value) in value.get("ebs").members().into_iter().flatten() {
            with(&Path::of("storage_pools").key(pool).attribute("ebs").key(disk), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched(ec2: &[(&str, Value)]) -> Value {
        let mut members = vec![
            ("image_id", Value::from("ami-1")),
            ("instance_type", Value::from("m6i.large")),
            ("subnet_id", Value::from("subnet-1")),
        ];
        members.extend_from_slice(ec2);
        Value::object([("name", Value::from("a")), ("ec2", Value::object(members))])
    }

    fn told(config: &Value) -> String {
        node(config).iter().map(|d| format!("{}: {}\n", d.summary, d.detail)).collect()
    }

    #[test]
    fn a_node_is_one_of_both() {
        assert!(told(&Value::object([("name", "a")])).contains("Neither is set"));
        assert_eq!(told(&launched(&[])), "");
        let mut both = launched(&[]);
        both.set("ssh", Value::object([("host", "10.0.0.1")]));
        assert!(told(&both).contains("leave ssh.host out"));
        let host = Value::object([("ssh", Value::object([("host", "10.0.0.1")]))]);
        assert_eq!(told(&host), "");
        let unknown = Value::object([("ssh", Value::unknown())]);
        assert_eq!(told(&unknown), "");
    }

    #[test]
    fn image_and_place_are_clear() {
        assert!(
            told(&launched(&[("image_ssm_parameter", "/x".into())]))
                .contains("image_id and image_ssm_parameter")
        );
        assert!(told(&launched(&[("image_id", Value::Null)])).contains("none of them"));
        assert_eq!(
            told(&launched(&[("image_id", Value::unknown()), ("image_ssm_parameter", "/x".into())])),
            ""
        );
        assert!(told(&launched(&[("subnet_id", Value::Null)])).contains("availability_zone"));
    }

    #[test]
    fn a_version_is_for_a_package_that_is_installed() {
        let told = |software: &str, package: &str, version: &str| {
            let pins = Value::map([(package, version)]);
            let config = launched(&[("software", Value::from(software)), ("software_versions", pins)]);
            node(&config).iter().map(|problem| problem.detail.clone()).collect::<String>()
        };
        assert_eq!(told("linbit_ppa", "drbd-dkms", "9.2.*"), "");
        assert!(told("distribution", "drbd-dkms", "9.2").contains("these are: drbd-utils"));
        assert!(told("none", "lvm2", "2").contains("these are: none"));
        assert!(told("distribution", "lvm2", "2; reboot").contains("no version of lvm2"));
    }

    #[test]
    fn an_nvme_name_is_refused_with_the_reason() {
        let pool = |disk: &str| Value::map([("data", Value::object([("disks", Value::list([disk]))]))]);
        let mut config = launched(&[]);
        config.set("storage_pools", pool("/dev/nvme1n1"));
        assert!(
            told(&config).contains("does not stay") && told(&config).contains("order"),
            "{}",
            told(&config)
        );
        config.set("storage_pools", pool("/dev/disk/by-id/nvme-x"));
        assert_eq!(told(&config), "");
    }

    #[test]
    fn ebs_needs_an_instance() {
        let pool = Value::object([("ebs", Value::map([("d0", Value::object([("size", "1GiB")]))]))]);
        let config = Value::object([
            ("ssh", Value::object([("host", "10.0.0.1")])),
            ("storage_pools", Value::map([("data", pool)])),
        ]);
        assert!(told(&config).contains("existing host"));
    }
}
