// SPDX-License-Identifier: MPL-2.0
//! What replacing somebody else's file would lose: said before a consent is asked for.

use super::Context;
use crate::conf::{HostKind, ResourceConf};
use crate::refusal::Refusal;
use drbd_schemas::reply::Code;

/// Refuses a resource that no declaration can describe: with our file in its place DRBD would look for metadata, or for a
/// peer, where there are none.
pub(super) fn check(context: &Context<'_>, path: &str) -> Result<(), Refusal> {
    let Some(own) = &context.observed.conf.own else { return Ok(()) };
    let Some(what) = beyond(own, &context.observed.node) else { return Ok(()) };
    let message = format!(
        "{path} was not written by drbd-host, and cannot be replaced: {what}, and a declaration cannot say that. Nothing was changed."
    );
    Err(Refusal::new(Code::Taken, message)
        .next("Leave this resource to whoever wrote the file: it goes on as it is.")
        .next("To move it to internal metadata or plain hosts first, see drbd.conf(5) and drbdmeta(8); its data stay where they are only if the device has room for metadata at its end."))
}

fn beyond(own: &ResourceConf, node: &str) -> Option<String> {
    for host in &own.hosts {
        let at = &host.origin;
        match &host.kind {
            HostKind::Floating => return Some(format!("it has a floating host ({at})")),
            HostKind::StackedOn(lower) => return Some(format!("it is stacked on {lower} ({at})")),
            HostKind::On => {}
        }
        for (number, volume) in &host.volumes {
            if let Some(device) = volume.external_metadata() {
                let name = host.names.first().map_or(node, String::as_str);
                return Some(format!("the metadata of volume {number} on {name} are on {device} ({at})"));
            }
        }
    }
    let ends = own.connections.iter().flat_map(|connection| &connection.paths).flatten();
    let proxied = ends.into_iter().find(|end| end.proxy.is_some())?;
    Some(format!("{} replicates through a DRBD Proxy ({})", proxied.host, own.origin))
}

/// What goes with the file, in words; empty when nothing does.
pub(super) fn told(context: &Context<'_>) -> String {
    let Some(own) = &context.observed.conf.own else { return String::new() };
    let mut lost: Vec<String> = own
        .settings
        .iter()
        .filter(|setting| ["handlers", "startup"].contains(&setting.section.as_str()))
        .map(|setting| format!("{}.{} ({})", setting.section, setting.name, setting.origin))
        .collect();
    lost.extend(own.template.iter().map(|_| format!("its template ({})", own.origin)));
    if lost.is_empty() {
        return String::new();
    }
    format!(
        " With the file go {}: a declaration does not have them; put what is still needed into the section `common` first.",
        lost.join(", ")
    )
}
