// SPDX-License-Identifier: MPL-2.0
//! A cluster that shell tasks made, with a service that writes to it, is taken over as docs/taking-over.md says: by module and
//! role, while it runs, until nothing is left to do.

use super::{CLUSTER, Example, Said};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use support::{Lab, LabOptions};

const MINUTE: Duration = Duration::from_secs(60);

/// The usual tasks: volume group, logical volume, file from a template, metadata, up; each host with a path of its own for the
/// same volume, and a secret with blanks.
fn made_by_hand(lab: &Lab) -> Result<()> {
    let file = "resource r0 {
    net { protocol C; cram-hmac-alg sha256; shared-secret \"my old secret\"; }
    device /dev/drbd0; meta-disk internal;
    on h1.example.org { disk /dev/drbdpool/r0; address 10.99.0.11:7788; }
    on h2.example.org { disk /dev/mapper/drbdpool-r0; address 10.99.0.12:7788; }
}
";
    for host in [1, 2] {
        lab.write(host, "/etc/drbd.d/r0.res", file.as_bytes())?;
        lab.sh(host, "vgcreate -q drbdpool /dev/ubdb && lvcreate -q -y -L 64M -n r0 drbdpool")?;
        lab.sh(host, "modprobe drbd && drbdadm create-md --force r0 && drbdadm up r0")?;
    }
    lab.eventually(1, MINUTE, "drbdadm cstate r0 | grep -qx Connected")?;
    lab.sh(1, "drbdadm primary --force r0 && mkfs.ext4 -q /dev/drbd0 && mkdir -p /srv/data && mount /dev/drbd0 /srv/data")?;
    lab.eventually(1, MINUTE, "drbdadm dstate r0 | grep -qx UpToDate/UpToDate").map(drop)
}

const DECLARED: &str = "drbd_resources:
  r0:
    name: r0
    port: 7788
    nodes:
      h1.example.org: { node_id: 0, address: 10.99.0.11, storage: { devices: { 0: /dev/mapper/drbdpool-r0 } } }
      h2.example.org: { node_id: 1, address: 10.99.0.12, storage: { devices: { 0: /dev/drbdpool/r0 } } }
    volumes: { 0: { minor: 0 } }
    net: { protocol: C, cram-hmac-alg: sha256 }
    shared_secret: my old secret
";

const INSTALL: &str = "[{hosts: drbd, become: true, gather_facts: false, roles: [replivol.drbd.install]}]";
const ASK: &str = r#"[{hosts: drbd, become: true, gather_facts: false, tasks: [{replivol.drbd.drbd_resource: "{{ drbd_resources.r0 }}"}]}]"#;

/// The consents that a text names.
fn tokens(said: &Said) -> BTreeSet<String> {
    let parts = said.text.split("replace-file:").skip(1);
    let end = |part: &str| {
        part.find(|c: char| !(c.is_ascii_alphanumeric() || "/.:-".contains(c))).unwrap_or(part.len())
    };
    parts.filter_map(|part| Some(format!("replace-file:{}", part.get(..end(part))?))).collect()
}

/// What the kernel has said of DRBD, and what `adjust` would still do.
fn kernel(lab: &Lab, host: usize) -> Result<[String; 2]> {
    Ok([lab.sh(host, "dmesg | grep -c drbd")?, lab.sh(host, "drbdadm -d adjust r0")?])
}

#[test]
fn a_cluster_that_was_made_by_hand_is_taken_over_while_it_runs() -> Result<()> {
    let lab = Lab::start(&LabOptions { hosts: 2, disks: 1, disk_size: "128M".to_owned() })?;
    let example = Example::copy(&lab, "hybrid", "ansible")?;
    made_by_hand(&lab)?;
    for (file, text) in [("group_vars/drbd.yml", DECLARED), ("install.yml", INSTALL), ("ask.yml", ASK)] {
        fs::write(example.dir.join(file), text)?;
    }
    example.play(&["install.yml"])?.good()?;
    lab.sh(1, "while echo x >>/srv/data/written && sync /srv/data/written; do sleep 0.2; done >/dev/null 2>&1 & echo $! >/run/writer")?;
    let file = "sha256sum </etc/drbd.d/r0.res";
    let before = [lab.sh(1, file)?, lab.sh(2, file)?];
    let said_before = [kernel(&lab, 1)?, kernel(&lab, 2)?];

    // Check mode asks for the consents, and says that nothing would be stopped.
    let asked = example.play(&["ask.yml", "--check"])?;
    ensure!(!asked.good && asked.text.contains("nothing is stopped by taking it over"), "{}", asked.text);
    ensure!(!asked.text.contains("my old secret"), "{}", asked.text);
    let tokens = tokens(&asked);
    let hash = before[0].split_whitespace().next().context("a hash")?;
    assert_eq!(
        tokens.iter().map(String::as_str).collect::<Vec<_>>(),
        [format!("replace-file:/etc/drbd.d/r0.res:{hash}")]
    );
    assert_eq!([lab.sh(1, file)?, lab.sh(2, file)?], before);

    let consent = serde_json::json!({ "cluster_consent": tokens }).to_string();
    let taken = example.play(&[CLUSTER, "-e", &consent])?.good()?;
    assert_eq!(
        taken.recap.values().map(|[changed, ..]| *changed).collect::<Vec<_>>(),
        [1, 1],
        "{}",
        taken.text
    );
    let again = example.play(&[CLUSTER])?.good()?;
    ensure!(again.recap.values().all(|[changed, ..]| *changed == 0), "{}", again.text);

    // Nothing was told to the kernel, and what was written went on.
    assert_eq!([kernel(&lab, 1)?, kernel(&lab, 2)?], said_before);
    assert_eq!(said_before.map(|[_, adjust]| adjust), ["", ""]);
    let lines = || -> Result<u64> { Ok(lab.sh(1, "wc -l </srv/data/written")?.trim().parse()?) };
    let (count, running) = (lines()?, "kill -0 $(cat /run/writer)");
    lab.sh(1, running)?;
    lab.eventually(1, MINUTE, &format!("[ $(wc -l </srv/data/written) -gt {count} ]"))?;
    for (host, old) in before.iter().enumerate() {
        let kept = lab.sh(
            host + 1,
            "cat /etc/drbd.d/r0.res.replaced-* | sha256sum; stat -c %a /etc/drbd.d/r0.res.replaced-*",
        )?;
        assert_eq!(kept, format!("{old}600\n"));
        lab.sh(host + 1, "grep -q 'Managed by drbd-host' /etc/drbd.d/r0.res")?;
    }

    // With its file away, it is given up and taken down all the same.
    lab.sh(1, "kill $(cat /run/writer); mv /etc/drbd.d/r0.res /root/")?;
    example.module(
        "h1.example.org",
        "drbd_role",
        r#"{"name": "r0", "role": "secondary", "mounts": [{"path": "/srv/data"}]}"#,
    )?;
    assert_eq!(lab.sh(2, "drbdadm role r0")?.trim(), "Secondary/Secondary");
    example.module("h1.example.org", "drbd_resource", r#"{"name": "r0", "state": "down"}"#)?;
    // Written anew from the declaration, it comes back.
    example.twice(&[CLUSTER])?;
    lab.eventually(1, MINUTE, "drbdadm dstate r0 | grep -qx UpToDate/UpToDate")?;
    let read = "drbdadm primary r0 && mount /dev/drbd0 /srv/data && wc -l </srv/data/written";
    ensure!(lab.sh(1, read)?.trim().parse::<u64>()? > count);
    Ok(())
}
