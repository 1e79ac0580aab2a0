// SPDX-License-Identifier: MPL-2.0
//! `drbd_ports`: do the nodes of a resource reach each other's replication ports? Asked before anything of it is made,
//! because DRBD itself would only go on trying. Changes nothing.
//!
//! Nobody listens on a DRBD port before DRBD does. So the nodes meet there: while the module runs, each listens on its own
//! ports and connects to those of its peers, and an answer proves both directions. Where DRBD has the resource up already,
//! its own connections are the proof, and nothing is tried.

use crate::host::Host;
use crate::meeting::{Knock, Meeting, Met, NoMeeting, Way};
use crate::observe;
use crate::observed::Needs;
use crate::plan::{needs, preflight};
use crate::refusal::Refusal;
use crate::run::{Mode, RunError, blank_reply};
use crate::tools::proc::OwnAddresses;
use drbd_schemas::address::Endpoint;
use drbd_schemas::args::{Module, PortsArgs};
use drbd_schemas::reply::{Code, Reply};
use drbd_schemas::{NodeName, Resource};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Runs `drbd_ports`.
pub fn ports(host: &impl Host, args: &PortsArgs, mode: Mode) -> Reply {
    let mut reply = blank_reply(host, Module::DrbdPorts, mode);
    reply.resource = Some(args.resource.name().to_string());
    match meet(host, args, reply.clone()) {
        Ok(reply) => reply,
        Err(error) => error.into_reply(reply),
    }
}

fn meet(host: &impl Host, args: &PortsArgs, mut reply: Reply) -> Result<Reply, RunError> {
    let resource = &args.resource;
    let (node, _) = preflight::node_called(resource, &host.node_name()?)?;
    // All nodes are asked here before the first one is touched. The meeting itself shows whether the address is there.
    let needs = Needs { addresses: OwnAddresses::default(), ..observe::needs_of(host, resource, &node)? };
    needs::check(resource, &node, &needs, None)?;
    let statuses = observe::statuses(host, &observe::drbd(host)?)?;
    if statuses.iter().any(|status| status.name == resource.name().as_str()) {
        reply.msg = format!(
            "{} is up on {node}: DRBD has its ports, and its connections tell whether peers are reached.",
            resource.name()
        );
        return Ok(reply);
    }
    reply.warnings = not_over_tcp(resource, &node).map(|peer| not_tried(resource, &node, peer)).collect();
    let meeting = meeting(args, &node);
    let met = match host.meet(&meeting) {
        Ok(met) => met,
        Err(NoMeeting::Host(error)) => return Err(error.into()),
        Err(why) => return Err(cannot_listen(&meeting, &why).into()),
    };
    judge(&meeting, &met)?;
    let peers: BTreeSet<&str> = meeting.ways.iter().map(|way| way.peer.as_str()).collect();
    reply.msg = match peers.into_iter().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => format!("{}: {node} has no peers to reach.", resource.name()),
        peers if meeting.together => format!("{}: {node} and {peers} reach each other.", resource.name()),
        peers => format!("{}: {node} reaches {peers}.", resource.name()),
    };
    Ok(reply)
}

/// Peers with which the declaration replicates over something that is not TCP.
fn not_over_tcp<'a>(resource: &'a Resource, node: &'a NodeName) -> impl Iterator<Item = &'a NodeName> {
    resource.peers_of(node).map(|(peer, _)| peer).filter(move |peer| !is_tcp(resource, node, peer))
}

fn is_tcp(resource: &Resource, node: &NodeName, peer: &NodeName) -> bool {
    let of_pair = resource.connection(node, peer).and_then(|connection| connection.net.get("transport"));
    of_pair.or_else(|| resource.net.get("transport")) != Some("rdma")
}

fn not_tried(resource: &Resource, node: &NodeName, peer: &NodeName) -> String {
    format!(
        "{}: whether {node} and {peer} reach each other was not tried: their transport is rdma.",
        resource.name()
    )
}

fn meeting(args: &PortsArgs, node: &NodeName) -> Meeting {
    let resource = &args.resource;
    let socket = |end: Endpoint| SocketAddr::new(end.address.0, end.port.get());
    let peers = resource.peers_of(node).map(|(peer, _)| peer).filter(|peer| is_tcp(resource, node, peer));
    let ways = peers.flat_map(|peer| {
        let paths = resource.paths(node, peer).into_iter();
        paths.map(move |(own, other)| Way { peer: peer.to_string(), from: socket(own), to: socket(other) })
    });
    Meeting {
        resource: resource.name().to_string(),
        node: node.to_string(),
        ways: ways.collect(),
        together: args.run.together,
        within: Duration::from_secs(args.run.timeout.into()),
    }
}

fn cannot_listen(meeting: &Meeting, why: &NoMeeting) -> Refusal {
    let message = format!("{}: {} cannot replicate as declared: {why}.", meeting.resource, meeting.node);
    match why {
        NoMeeting::Taken { .. } => {
            Refusal::new(Code::Taken, message).next("Choose a free port, or stop that program.")
        }
        NoMeeting::NotHere(_) | NoMeeting::Host(_) => Refusal::new(Code::Environment, message)
            .next("Declare the address on which this node replicates, as `ip address` shows it there."),
    }
}

/// Whether every way is open in both directions.
fn judge(meeting: &Meeting, met: &[Met]) -> Result<(), Refusal> {
    let shut = || meeting.ways.iter().zip(met).filter(|(_, met)| !met.is_open(meeting.together));
    let found: Vec<String> = shut().flat_map(|(way, met)| what_is_shut(meeting, way, met)).collect();
    if found.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}: gate \"replication ports reachable pairwise\" is shut on {} after {} s; last seen: {}.",
        meeting.resource,
        meeting.node,
        meeting.within.as_secs(),
        found.join("; ")
    );
    let mut refusal =
        Refusal::new(Code::PortBlocked, message).next(open_up(meeting, shut().map(|(way, _)| way)));
    if meeting.together && shut().any(|(_, met)| met.knock == Knock::Refused) {
        refusal = refusal.next(
            "Look for a failure of drbd_ports on the peer that refuses: it must run on all nodes at the same time. If it ran \
             there, a firewall resets the connections.",
        );
    }
    Err(refusal)
}

fn what_is_shut(meeting: &Meeting, way: &Way, met: &Met) -> Vec<String> {
    let there = format!("from {} to {} at {}/TCP", meeting.node, way.peer, way.to);
    let mut found = Vec::new();
    match &met.knock {
        Knock::Answered | Knock::Accepted => {}
        Knock::Other(name) => found.push(format!("{there}: {name} answers there, which is not {}", way.peer)),
        Knock::Refused => found.push(format!("{there}: connection refused")),
        Knock::Failed(why) => found.push(format!("{there}: {why}")),
    }
    if meeting.together && !met.heard {
        found.push(format!("from {} to {} at {}/TCP: nothing arrived", way.peer, meeting.node, way.from));
    }
    found
}

/// What to let through, for everybody whose firewall it may be.
fn open_up<'w>(meeting: &Meeting, shut: impl Iterator<Item = &'w Way>) -> String {
    let (mut ports, mut peers) = (BTreeSet::new(), BTreeSet::new());
    for way in shut {
        ports.extend([way.from.port(), way.to.port()]);
        peers.insert(way.peer.as_str());
    }
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let peers: Vec<&str> = peers.into_iter().collect();
    format!(
        "Let TCP port {} through between {} and {} in both directions: security groups (drbd_security_group lets its members in), \
         network ACLs, firewalls of the hosts, routes.",
        ports.join(", "),
        meeting.node,
        peers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Process;
    use crate::simulate::{Cut, SimHost, World};
    use drbd_schemas::args::{self, Args};
    use serde_json::{Value, json};
    use std::cell::RefCell;
    use std::rc::Rc;

    fn arguments(change: impl FnOnce(&mut Value)) -> PortsArgs {
        let node = |id: u8| json!({ "node_id": id, "address": format!("10.0.0.{}", id + 1), "storage": { "lvm": { "volume_group": "vg0" } } });
        let mut value = json!({
            "name": "r0", "port": 7000, "nodes": { "h1": node(0), "h2": node(1), "h3": node(2) },
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        });
        change(&mut value);
        let Args::Ports(args) = args::parse(Module::DrbdPorts, value).unwrap() else { panic!() };
        *args
    }

    fn of_h1(args: &PortsArgs) -> Meeting {
        meeting(args, &NodeName::new("h1").unwrap())
    }

    fn met(knock: Knock, heard: bool) -> Met {
        Met { knock, heard }
    }

    #[test]
    fn every_path_to_every_peer_is_tried() {
        let args = arguments(|value| {
            value["connections"] = json!([{ "nodes": ["h1", "h2"], "paths": [
                { "h1": "10.1.0.1:7001", "h2": "10.1.0.2:7001" }, { "h1": "10.2.0.1:7002", "h2": "10.2.0.2:7002" },
            ] }]);
        });
        let ways: Vec<String> =
            of_h1(&args).ways.iter().map(|w| format!("{} {} {}", w.peer, w.from, w.to)).collect();
        let expected = [
            "h2 10.1.0.1:7001 10.1.0.2:7001",
            "h2 10.2.0.1:7002 10.2.0.2:7002",
            "h3 10.0.0.1:7000 10.0.0.3:7000",
        ];
        assert_eq!(ways, expected);
    }

    #[test]
    fn what_is_shut_names_pair_address_port_and_remedy() {
        let meeting = of_h1(&arguments(|_| {}));
        let found = [met(Knock::Failed("no answer".into()), false), met(Knock::Answered, true)];
        let refusal = judge(&meeting, &found).unwrap_err();
        assert_eq!(refusal.code, Code::PortBlocked);
        assert_eq!(
            refusal.to_string(),
            "r0: gate \"replication ports reachable pairwise\" is shut on h1 after 20 s; last seen: from h1 to h2 at 10.0.0.2:7000/TCP: \
             no answer; from h2 to h1 at 10.0.0.1:7000/TCP: nothing arrived. Nothing was changed."
        );
        assert!(refusal.next_steps[0].contains("port 7000 through between h1 and h2"), "{refusal:?}");
        assert!(refusal.next_steps[0].contains("drbd_security_group"), "{refusal:?}");
    }

    #[test]
    fn one_direction_is_not_enough() {
        let meeting = of_h1(&arguments(|_| {}));
        let open = met(Knock::Answered, true);
        assert!(judge(&meeting, &[open.clone(), open.clone()]).is_ok());
        let silent = judge(&meeting, &[open.clone(), met(Knock::Answered, false)]).unwrap_err().message;
        assert!(silent.contains("from h3 to h1") && !silent.contains("from h1 to h3"), "{silent}");
        let stranger = judge(&meeting, &[met(Knock::Other("h9".into()), true), open]).unwrap_err().message;
        assert!(stranger.contains("h9 answers there, which is not h2"), "{stranger}");
    }

    #[test]
    fn a_refusal_counts_only_where_nobody_listens() {
        let refused = [met(Knock::Refused, false), met(Knock::Refused, false)];
        assert!(judge(&of_h1(&arguments(|value| value["together"] = json!(false))), &refused).is_ok());
        let shut = judge(&of_h1(&arguments(|_| {})), &refused).unwrap_err();
        assert!(shut.next_steps[1].contains("resets"), "{shut:?}");
    }

    #[test]
    fn a_port_that_a_program_has_is_named_with_it() {
        let at = "10.0.0.1:7000".parse().unwrap();
        let by = Some(Process { pid: 12, name: "nginx".into(), how: String::new() });
        let refusal = cannot_listen(&of_h1(&arguments(|_| {})), &NoMeeting::Taken { at, by });
        assert_eq!(refusal.code, Code::Taken);
        assert!(refusal.message.contains("port 7000 is taken: process 12 (nginx) listens"), "{refusal}");
    }

    #[test]
    fn rdma_is_not_tried_and_said() {
        let args = arguments(|value| {
            value["connections"] = json!([{ "nodes": ["h1", "h2"], "net": { "transport": "rdma" } }]);
        });
        assert!(of_h1(&args).ways.iter().all(|way| way.peer == "h3"));
        let world = Rc::new(RefCell::new(World::default()));
        let reply = ports(&SimHost::new(&world, "h1", Cut::Never), &args, Mode::default());
        assert!(!reply.failed && reply.warnings.len() == 1, "{reply:?}");
        assert!(reply.warnings[0].contains("h1 and h2"), "{reply:?}");
        let elsewhere = ports(&SimHost::new(&world, "h7", Cut::Never), &args, Mode::default());
        assert_eq!(elsewhere.code, Code::WrongHost);
    }
}
