// SPDX-License-Identifier: MPL-2.0
//! What the model's kernel says of itself: `drbdsetup events2` and `drbdsetup show` of DRBD 8.4.

use super::machine::{Running, World};

fn disk_word(running: &Running) -> &'static str {
    match (&running.disk, running.up_to_date) {
        (None, _) => "Diskless",
        (Some(_), true) => "UpToDate",
        (Some(_), false) => "Inconsistent",
    }
}

pub(super) fn events2(world: &mut World, host: &str) -> String {
    let mut out = String::new();
    for (name, running) in world.machine(host).running.clone() {
        let role = if running.primary { "Primary" } else { "Secondary" };
        let peer = world.peer_running(host, &name).map(|(_, peer)| peer.clone());
        let (connection, peer_role, replication, peer_disk) = match &peer {
            Some(peer) => {
                let role = if peer.primary { "Primary" } else { "Secondary" };
                let replication = if world.comparing > 0 { "VerifyS" } else { "Established" };
                world.comparing = world.comparing.saturating_sub(1);
                ("Connected", role, replication, disk_word(peer))
            }
            None if world.shaking_hands > 0 => {
                world.shaking_hands -= 1;
                world.give_up(&name);
                ("Connected", "Unknown", "Off", "DUnknown")
            }
            None if running.alone => ("StandAlone", "Unknown", "Off", "DUnknown"),
            None => ("Connecting", "Unknown", "Off", "DUnknown"),
        };
        let oos = if world.compared && world.comparing == 0 { world.rotten_kib } else { 0 };
        let (minor, size, disk) = (running.minor, running.size_kib, disk_word(&running));
        out.push_str(&format!("exists resource name:{name} role:{role} suspended:no write-ordering:flush\n"));
        out.push_str(&format!("exists connection name:{name} peer-node-id:0 conn-name:peer connection:{connection} role:{peer_role} congested:no\n"));
        out.push_str(&format!("exists device name:{name} volume:0 minor:{minor} disk:{disk} size:{size} read:0 written:0 al-writes:0 bm-writes:0 upper-pending:0 lower-pending:0 al-suspended:no blocked:no\n"));
        out.push_str(&format!("exists peer-device name:{name} peer-node-id:0 conn-name:peer volume:0 replication:{replication} peer-disk:{peer_disk} resync-suspended:no received:0 sent:0 out-of-sync:{oos} pending:0 unacked:0\n"));
    }
    out + "exists -\n"
}

pub(super) fn show(world: &mut World, host: &str) -> String {
    let mut out = String::new();
    for (name, running) in &world.machine(host).running {
        let disk = running
            .disk
            .as_ref()
            .map(|path| format!("disk \"{path}\"; meta-disk internal;"))
            .unwrap_or_default();
        let net = if running.text.contains("verify-alg") { "verify-alg crc32c;" } else { "" };
        out.push_str(&format!(
            "resource {name} {{ options {{ }} net {{ {net} }} _remote_host {{ address ipv4 10.0.0.2:7000; }} _this_host {{ address ipv4 10.0.0.1:7000; volume 0 {{ device minor {}; {disk} }} }} }}\n",
            running.minor
        ));
    }
    out
}
