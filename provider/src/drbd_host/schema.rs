// SPDX-License-Identifier: MPL-2.0
//! Attributes of the data source `drbd_host`.

use tfplugin::{Attribute, Schema, Type};

use crate::ssh_schema;

/// What the data source is, in Markdown.
pub(crate) const DESCRIPTION: &str = "What a host is and what DRBD does there: kernel and DRBD versions, resources, volume groups, and the numbers that are in \
             use. Reading it changes nothing but the program `drbd-host`, which is copied to the host if it is not there yet.";

/// The schema of the data source.
pub(crate) fn schema() -> Schema {
    Schema::new().description(DESCRIPTION).attribute(ssh_schema::node_attribute()).attributes(computed())
}

fn text(name: &str, description: &str) -> Attribute {
    Attribute::string(name).computed().description(description)
}

fn number(name: &str, description: &str) -> Attribute {
    Attribute::number(name).computed().description(description)
}

fn flag(name: &str, description: &str) -> Attribute {
    Attribute::bool(name).computed().description(description)
}

fn computed() -> Vec<Attribute> {
    vec![
        text("node", "What `uname -n` prints on the host."),
        text("kernel_version", "Release of the running kernel."),
        text(
            "drbd_version",
            "Version of the DRBD kernel module that is loaded, or would be; null when there is none.",
        ),
        flag("drbd_loaded", "The module is loaded."),
        text("drbd_family", "`8.4` or `9`; null when there is no module, or another one."),
        text("drbd_utils_version", "Version of drbd-utils; null when not installed."),
        text(
            "config_error",
            "Why `drbdadm` cannot read the host's configuration, with file and line; null when it can.",
        ),
        Attribute::of("ports_in_use", Type::list(Type::Number))
            .computed()
            .description("TCP ports that DRBD uses on the host."),
        Attribute::of("minors_in_use", Type::list(Type::Number))
            .computed()
            .description("Minors that DRBD uses on the host."),
        resources(),
        volume_groups(),
        text(
            "facts_json",
            "All facts, as `drbd-host` returns them; `jsondecode` makes an object of it. Secrets are masked.",
        ),
    ]
}

fn resources() -> Attribute {
    let volume = vec![
        number("minor", "Minor number."),
        text("disk", "Disk state in DRBD's words, such as `UpToDate`; null when the resource is not up."),
        number("size_bytes", "Usable size in bytes; null when the resource is not up."),
        flag("open", "The device is in use, for example mounted; null when that cannot be told."),
        text("backing", "Path of the backing device; null on a diskless node."),
    ];
    let members = vec![
        text("role", "`Primary` or `Secondary`; null when the resource is not up."),
        flag("managed", "Its configuration file was written by this project."),
        text("config_path", "Its configuration file; null when it has none."),
        Attribute::of("connections", Type::map(Type::String))
            .computed()
            .description("State of the connection to each peer, such as `Connected`."),
        Attribute::map_nested("volumes", volume).computed().description("Its volumes, by number."),
    ];
    Attribute::map_nested("resources", members).computed().description("DRBD resources of the host, by name.")
}

fn volume_groups() -> Attribute {
    let pool = vec![
        number("size_bytes", "Size in bytes."),
        number("data_percent", "How full it is, in percent; null when LVM does not tell."),
        number("metadata_percent", "How full its metadata are, in percent; null when LVM does not tell."),
        number("promised_bytes", "What its volumes may come to take, in bytes: the sum of their sizes."),
        text("state", "`good`, `full`, `metadata_full`, `needs_check`, `read_only` or `failed`."),
        flag("zeroing", "New volumes in it read as zeroes."),
    ];
    let members = vec![
        number("size_bytes", "Size in bytes."),
        number("free_bytes", "Free space in bytes."),
        Attribute::of("disks", Type::list(Type::String)).computed().description("Its physical volumes."),
        Attribute::map_nested("thin_pools", pool).computed().description("Its thin pools, by name."),
    ];
    Attribute::map_nested("volume_groups", members)
        .computed()
        .description("LVM volume groups of the host, by name.")
}
