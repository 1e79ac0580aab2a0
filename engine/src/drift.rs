// SPDX-License-Identifier: MPL-2.0
//! How a host differs from a declaration, judged from facts alone: no host is asked. Pure, cheap enough to run for
//! every resource on every refresh.

use crate::res_file::{self, Secrets};
use drbd_schemas::facts::{HostFacts, ResourceFacts, VolumeFacts};
use drbd_schemas::{ByteSize, NodeName, Resource, Storage, Volume, VolumeNumber};

/// Everything that differs on one node, one sentence each, beginning with the node's name; empty when it is as
/// declared.
pub fn of_host(resource: &Resource, node: &NodeName, facts: &HostFacts) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |text: String| found.push(format!("{node}: {text}"));
    if facts.node != node.as_str() {
        say(format!("this host is called {}", facts.node));
        return found;
    }
    if let Some(error) = &facts.config_error {
        say(format!("drbdadm cannot read the configuration: {error}"));
    }
    let Some(there) = facts.resources.get(resource.name().as_str()) else {
        say("the resource is not there".to_owned());
        return found;
    };
    if let Some(text) = config(resource, facts, there) {
        say(text);
    }
    match &there.running {
        None => say("it is not up".to_owned()),
        Some(running) => {
            for (peer, connection) in &running.connections {
                if connection.connection == "StandAlone" {
                    say(format!(
                        "the connection to {peer} is StandAlone (split brain, or disconnected by hand)"
                    ));
                }
            }
        }
    }
    for (number, volume) in &resource.volumes {
        volume_drift(resource, node, there, *number, volume).into_iter().for_each(&mut say);
    }
    if !there.pending.is_empty() && there.running.is_some() {
        say(format!("the kernel does not run what the file says: {}", there.pending.join("; ")));
    }
    found
}

fn config(resource: &Resource, facts: &HostFacts, there: &ResourceFacts) -> Option<String> {
    let path = res_file::path(resource.name().as_str());
    let Some(config) = &there.config else { return Some(format!("{path} is missing")) };
    let wanted = res_file::render(resource, facts.drbd.family()?, Secrets::Masked);
    if config.text == wanted {
        return None;
    }
    let found = config.text.lines().find(|line| !wanted.lines().any(|other| other == *line));
    let lacks = wanted.lines().find(|line| !config.text.lines().any(|other| other == *line));
    let show =
        |line: Option<&str>| line.map_or("(no such line)".to_owned(), |line| format!("{:?}", line.trim()));
    Some(format!("{path} differs: it has {}, declared is {}", show(found), show(lacks)))
}

fn volume_drift(
    resource: &Resource,
    node: &NodeName,
    there: &ResourceFacts,
    number: VolumeNumber,
    declared: &Volume,
) -> Vec<String> {
    let mut found = Vec::new();
    let Some(volume) = there.volumes.get(&number.to_string()) else {
        return vec![format!("volume {number} is not there")];
    };
    let diskful = resource.nodes.get(node).is_some_and(|node| node.storage != (Storage::Diskless {}));
    if let Some(disk) = volume.disk.as_deref().filter(|_| diskful)
        && ["Diskless", "Failed", "Detaching"].contains(&disk)
    {
        found.push(format!("volume {number} has lost its disk ({disk})"));
    }
    found.extend(size(number, declared, volume));
    found
}

fn size(number: VolumeNumber, declared: &Volume, found: &VolumeFacts) -> Option<String> {
    // A device that has no data reports no size; that is said as such above.
    let found = found.size_bytes.filter(|bytes| *bytes > 0)?;
    let wanted = declared.size?;
    (found < wanted.bytes())
        .then(|| format!("volume {number} has {}, declared is {wanted}", ByteSize::from_bytes(found)))
}
