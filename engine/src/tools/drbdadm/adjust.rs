// SPDX-License-Identifier: MPL-2.0
//! The commands that `drbdadm -d` prints, as values, so that a plan can be judged before it runs. Reading never
//! fails: a command that is not known, or known with other arguments, is `Unrecognised` and is judged as that.
//! Not here: which of them are dangerous.

use crate::tools::drbdadm::command::{AdjustCommand, AdjustStep, CommandOption, PeerRef};
use crate::tools::mask::{MASK, SECRET_OPTION, mask_secrets};

/// All commands of the output, in order.
pub(super) fn parse(text: &str) -> Vec<AdjustStep> {
    logical_lines(text)
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let text = mask_secrets(line.trim());
            let command = Line::read(line).command();
            AdjustStep { command: command.unwrap_or_else(|| AdjustCommand::Unrecognised(text.clone())), text }
        })
        .collect()
}

/// Lines, where a line end behind a backslash belongs to a value.
fn logical_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c: char| {
        let ends = c == '\n' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

/// A printed command, taken apart: drbdadm puts a backslash before every character that a shell could change.
struct Line {
    program: String,
    verb: String,
    arguments: Vec<String>,
    options: Vec<CommandOption>,
}

impl Line {
    fn read(line: &str) -> Self {
        let mut words = unescape_words(line).into_iter();
        let mut read = Self {
            program: words.next().unwrap_or_default(),
            verb: String::new(),
            arguments: Vec::new(),
            options: Vec::new(),
        };
        for word in words {
            if let Some(option) = word.strip_prefix("--") {
                read.options.push(option_of(option));
            } else if read.verb.is_empty() {
                read.verb = word;
            } else {
                read.arguments.push(word);
            }
        }
        read
    }

    fn command(self) -> Option<AdjustCommand> {
        // drbdadm 9 that was itself started by its path names the others by theirs (`/usr/sbin/drbdsetup`).
        let name = self.program.rsplit_once('/').map_or(self.program.as_str(), |(_, name)| name);
        match name {
            "drbdsetup" => self.setup_9(),
            "drbdsetup-84" => self.setup_84(),
            "drbdmeta" => self.meta(),
            _ => None,
        }
    }

    /// What both families spell alike.
    fn setup_common(self) -> Option<AdjustCommand> {
        let options = self.options;
        Some(match (self.verb.as_str(), strs(&self.arguments).as_slice()) {
            ("new-minor", [resource, minor, volume]) => AdjustCommand::NewMinor {
                resource: (*resource).to_owned(),
                minor: minor.parse().ok()?,
                volume: volume.parse().ok()?,
            },
            ("attach", [minor, disk, meta_disk, meta_index]) => AdjustCommand::Attach {
                minor: minor.parse().ok()?,
                disk: (*disk).to_owned(),
                meta_disk: (*meta_disk).to_owned(),
                meta_index: (*meta_index).to_owned(),
                options,
            },
            ("detach", [minor]) => AdjustCommand::Detach {
                minor: minor.parse().ok()?,
                diskless: options.iter().any(|option| option.name == "diskless"),
            },
            ("del-minor", [minor]) => AdjustCommand::DelMinor { minor: minor.parse().ok()? },
            ("disk-options", [minor]) => AdjustCommand::DiskOptions { minor: minor.parse().ok()?, options },
            ("resource-options", [resource]) => {
                AdjustCommand::ResourceOptions { resource: (*resource).to_owned(), options }
            }
            ("resize", [minor]) => AdjustCommand::Resize { minor: minor.parse().ok()?, options },
            ("check-resize", [minor]) => AdjustCommand::CheckResize { minor: minor.parse().ok()? },
            ("down", [resource]) => AdjustCommand::Down { resource: (*resource).to_owned() },
            _ => return None,
        })
    }

    fn setup_9(self) -> Option<AdjustCommand> {
        let arguments = strs(&self.arguments);
        let (resource, rest) = match arguments.split_first() {
            Some((resource, rest)) => ((*resource).to_owned(), rest),
            None => return None,
        };
        Some(match (self.verb.as_str(), rest) {
            ("new-resource", [node_id]) => AdjustCommand::NewResource {
                resource,
                node_id: Some(node_id.parse().ok()?),
                options: self.options,
            },
            ("new-peer", [peer]) => new_peer(resource, peer.parse().ok()?, self.options),
            ("new-path", [peer, local, remote]) => AdjustCommand::NewPath {
                resource,
                peer_node_id: peer.parse().ok()?,
                local: (*local).to_owned(),
                remote: (*remote).to_owned(),
            },
            ("del-path", [peer, local, remote]) => AdjustCommand::DelPath {
                resource,
                peer_node_id: peer.parse().ok()?,
                local: (*local).to_owned(),
                remote: (*remote).to_owned(),
            },
            ("connect", [peer]) => {
                let peer = node(&resource, peer)?;
                AdjustCommand::Connect { resource, peer, options: self.options }
            }
            ("disconnect", [peer]) => AdjustCommand::Disconnect { peer: node(&resource, peer)? },
            // Its time limits stand as words of their own behind their options.
            ("wait-connect-connection", [peer, ..]) => {
                AdjustCommand::WaitConnect { peer: node(&resource, peer)? }
            }
            ("del-peer", [peer]) => AdjustCommand::DelPeer { resource, peer_node_id: peer.parse().ok()? },
            ("net-options", [peer]) => {
                AdjustCommand::NetOptions { peer: node(&resource, peer)?, options: self.options }
            }
            ("peer-device-options", [peer, volume]) => AdjustCommand::PeerDeviceOptions {
                resource,
                peer_node_id: peer.parse().ok()?,
                volume: volume.parse().ok()?,
                options: self.options,
            },
            _ => return self.setup_common(),
        })
    }

    fn setup_84(self) -> Option<AdjustCommand> {
        Some(match (self.verb.as_str(), strs(&self.arguments).as_slice()) {
            ("new-resource", [resource]) => AdjustCommand::NewResource {
                resource: (*resource).to_owned(),
                node_id: None,
                options: self.options,
            },
            ("connect", [resource, local, remote]) => AdjustCommand::Connect {
                resource: (*resource).to_owned(),
                peer: addresses(local, remote),
                options: self.options,
            },
            ("disconnect", [local, remote]) => AdjustCommand::Disconnect { peer: addresses(local, remote) },
            ("net-options", [local, remote]) => {
                AdjustCommand::NetOptions { peer: addresses(local, remote), options: self.options }
            }
            _ => return self.setup_common(),
        })
    }

    /// `drbdmeta MINOR FORMAT DEVICE INDEX VERB`: the verb comes last.
    fn meta(self) -> Option<AdjustCommand> {
        match strs(&self.arguments).as_slice() {
            [_format, device, _index, "apply-al"] => {
                Some(AdjustCommand::ApplyAl { minor: self.verb.parse().ok()?, device: (*device).to_owned() })
            }
            [_format, device, _index, "repair-md"] => {
                Some(AdjustCommand::RepairMd { minor: self.verb.parse().ok()?, device: (*device).to_owned() })
            }
            _ => None,
        }
    }
}

fn new_peer(resource: String, peer_node_id: u8, mut options: Vec<CommandOption>) -> AdjustCommand {
    let name = options.iter().find(|option| option.name == "_name").and_then(|option| option.value.clone());
    options.retain(|option| option.name != "_name");
    AdjustCommand::NewPeer { resource, peer_node_id, name, options }
}

fn node(resource: &str, peer: &str) -> Option<PeerRef> {
    Some(PeerRef::NodeId { resource: resource.to_owned(), peer_node_id: peer.parse().ok()? })
}

fn addresses(local: &str, remote: &str) -> PeerRef {
    PeerRef::Addresses { local: local.to_owned(), remote: remote.to_owned() }
}

fn option_of(text: &str) -> CommandOption {
    match text.split_once('=') {
        Some((name, value)) => {
            let value = if name == SECRET_OPTION { MASK } else { value };
            CommandOption { name: name.to_owned(), value: Some(value.to_owned()) }
        }
        None => CommandOption { name: text.to_owned(), value: None },
    }
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Splits at blanks and takes away one backslash before each escaped character.
fn unescape_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::Output;
    use crate::tools::samples;

    #[test]
    fn every_recorded_dry_run_is_recognised() {
        let dry_runs: Vec<_> = samples::of_tool("drbdadm")
            .into_iter()
            .filter(|sample| sample.name.starts_with("adjust-dry-run") && sample.output.ok())
            .collect();
        assert!(dry_runs.len() > 20, "{} samples", dry_runs.len());
        for sample in dry_runs {
            for step in parse(&sample.output.stdout) {
                assert!(
                    !matches!(step.command, AdjustCommand::Unrecognised(_)),
                    "{}/{}: {}",
                    sample.version,
                    sample.name,
                    step.text
                );
            }
        }
    }

    #[test]
    fn every_sample_of_the_tool_is_read_without_panic() {
        for sample in samples::of_tool("drbdadm") {
            let _ = super::super::parse_adjust_dry_run(&sample.output);
        }
    }

    #[test]
    fn a_secret_is_masked_in_value_and_text() {
        let line = "drbdsetup net-options r0 1 --set-defaults --_name=n2 --shared-secret=a\\ b\\\nc --cram-hmac-alg=sha1\n";
        let steps = parse(line);
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert_eq!(
            steps[0].text,
            "drbdsetup net-options r0 1 --set-defaults --_name=n2 --shared-secret=******** --cram-hmac-alg=sha1"
        );
        let AdjustCommand::NetOptions { options, .. } = &steps[0].command else { panic!("{steps:?}") };
        assert_eq!(options[2].value.as_deref(), Some(MASK));
        assert_eq!(options.len(), 4);
    }

    #[test]
    fn a_new_verb_and_a_new_shape_are_unrecognised_and_masked() {
        let steps = parse("drbdsetup frobnicate r0 --shared-secret=abc\ndrbdsetup attach x\n/bin/sh -c x\n");
        let texts: Vec<_> = steps
            .iter()
            .map(|step| match &step.command {
                AdjustCommand::Unrecognised(text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            texts,
            ["drbdsetup frobnicate r0 --shared-secret=********", "drbdsetup attach x", "/bin/sh -c x"]
        );
    }

    #[test]
    fn programs_may_be_named_by_their_paths() {
        let steps = parse(
            "/usr/sbin/drbdsetup new-resource r0 0\n/usr/sbin/drbdmeta 10 v09 /dev/vg0/r0 internal apply-al\n",
        );
        assert!(matches!(&steps[0].command, AdjustCommand::NewResource { .. }), "{steps:?}");
        assert!(matches!(&steps[1].command, AdjustCommand::ApplyAl { .. }), "{steps:?}");
        assert_eq!(steps[0].text, "/usr/sbin/drbdsetup new-resource r0 0");
    }

    #[test]
    fn both_families_name_the_peer_in_their_own_way() {
        let steps = parse(
            "drbdsetup disconnect r0 2\ndrbdsetup-84 disconnect ipv4:10.0.0.1:7788 ipv4:10.0.0.2:7788\n",
        );
        assert_eq!(
            steps[0].command,
            AdjustCommand::Disconnect {
                peer: PeerRef::NodeId { resource: "r0".to_owned(), peer_node_id: 2 }
            }
        );
        assert_eq!(
            steps[1].command,
            AdjustCommand::Disconnect { peer: addresses("ipv4:10.0.0.1:7788", "ipv4:10.0.0.2:7788") }
        );
    }

    #[test]
    fn a_wait_between_two_connections_is_known() {
        // drbd-utils 9.34 with DRBD 9.3.3: another port of a connected three-node resource.
        let steps = parse(
            "drbdsetup connect r0 1\ndrbdsetup wait-connect-connection r0 1 --wfc-timeout 1 --degr-wfc-timeout 1 --outdated-wfc-timeout 1\n",
        );
        let peer = PeerRef::NodeId { resource: "r0".to_owned(), peer_node_id: 1 };
        assert_eq!(steps[1].command, AdjustCommand::WaitConnect { peer });
    }

    #[test]
    fn a_failed_dry_run_is_an_error() {
        let output = Output::of(10, "", "drbd.d/bad.res:1: Parse error: ...");
        assert!(super::super::parse_adjust_dry_run(&output).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn any_words_of_its_own_are_read(words in proptest::collection::vec(
            "drbdsetup|drbdsetup-84|drbdmeta|attach|connect|new-peer|r0|1|--a=b|--_name=x|apply-al|\\\\|\n", 0..20)) {
            let _ = parse(&words.join(" "));
        }
    }
}
