// SPDX-License-Identifier: MPL-2.0
//! Does this host have what the declaration needs of its kernel and network? The kernel itself finds out in the middle of a change:
//! after a connection was dropped that can then not be made again.

use crate::observed::{DigestFound, Needs};
use crate::refusal::Refusal;
use crate::tools::drbdsetup::RunningResource;
use drbd_schemas::reply::Code;
use drbd_schemas::{NodeName, Resource};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Refuses what cannot work on this host.
pub(crate) fn check(
    resource: &Resource,
    node: &NodeName,
    needs: &Needs,
    running: Option<&RunningResource>,
) -> Result<(), Refusal> {
    check_transports(resource, node, needs)?;
    check_digests(resource, node, needs)?;
    check_addresses(resource, node, needs, running)
}

fn check_transports(resource: &Resource, node: &NodeName, needs: &Needs) -> Result<(), Refusal> {
    let Some((transport, _)) = needs.transports.iter().find(|(_, there)| !**there) else { return Ok(()) };
    let message = format!(
        "{} is declared with net.transport {transport}, and {node} has no kernel module drbd_transport_{transport}. DRBD would drop \
         its connections and could not make them again.",
        resource.name()
    );
    Err(Refusal::new(Code::Environment, message)
        .next(format!("Install the module drbd_transport_{transport} for the running kernel of {node}, or declare another transport.")))
}

fn check_digests(resource: &Resource, node: &NodeName, needs: &Needs) -> Result<(), Refusal> {
    for (name, found) in &needs.digests {
        let options = ["cram-hmac-alg", "csums-alg", "data-integrity-alg", "verify-alg"];
        let is_named = |option: &&&str| resource.net_values(node, option).contains(name.as_str());
        let named: Vec<&str> = options.iter().filter(is_named).copied().collect();
        let message = match found {
            DigestFound::Missing => format!("the kernel of {node} has no digest {name}"),
            // An HMAC of it would need a result that fits into a block (`hmac_create`, crypto/hmac.c).
            DigestFound::Ready(digest)
                if digest.digest_size > digest.block_size && named.contains(&"cram-hmac-alg") =>
            {
                format!("{name} is a checksum, with which no secret can be proven (the kernel's error 120)")
            }
            DigestFound::Ready(_) | DigestFound::Loadable => continue,
        };
        let message =
            format!("{} is declared with net.{} {name}: {message}.", resource.name(), named.join(", net."));
        return Err(Refusal::new(Code::Environment, message)
            .next(format!("Declare a digest that every node has (`grep name /proc/crypto`), such as sha256, or install its kernel module on {node}.")));
    }
    Ok(())
}

/// DRBD would wait for ever on an address that it cannot listen on.
fn check_addresses(
    resource: &Resource,
    node: &NodeName,
    needs: &Needs,
    running: Option<&RunningResource>,
) -> Result<(), Refusal> {
    if needs.addresses.is_empty() {
        return Ok(());
    }
    // The network of a host may be away for a while: what runs already is not held up by that.
    let in_use: BTreeSet<IpAddr> = running.into_iter().flat_map(own_addresses).collect();
    let paths = resource.peers_of(node).flat_map(|(peer, _)| resource.paths(node, peer));
    let strange = |address: &IpAddr| !needs.addresses.contains(*address) && !in_use.contains(address);
    let Some(address) = paths.map(|(own, _)| own.address.0).find(strange) else { return Ok(()) };
    let has = Some(needs.addresses.reachable()).filter(|has| !has.is_empty());
    let message = format!(
        "{} is declared to replicate on {address} of {node}, which does not have that address{}.",
        resource.name(),
        has.map(|has| format!(" (it has {has})")).unwrap_or_default()
    );
    Err(Refusal::new(Code::Environment, message)
        .next(format!("Declare the address on which {node} replicates, as `ip address` shows it there, or give it to {node} first.")))
}

fn own_addresses(running: &RunningResource) -> impl Iterator<Item = IpAddr> {
    let paths = running.connections.iter().flat_map(|connection| &connection.paths);
    // `ipv4 192.0.2.1:7788`
    paths.filter_map(|path| {
        let end: SocketAddr = path.local.split_whitespace().last()?.parse().ok()?;
        Some(end.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::proc::{Digest, parse_own_addresses};
    use serde_json::{Value, json};

    fn declared(net: Value) -> Resource {
        let storage = json!({ "lvm": { "volume_group": "vg0" } });
        let value = json!({
            "name": "r0", "port": 7000, "net": net,
            "nodes": {
                "h1": { "node_id": 0, "address": "10.0.0.1", "storage": storage },
                "h2": { "node_id": 1, "address": "10.0.0.2", "storage": storage },
                "h3": { "node_id": 2, "address": "10.0.0.3", "storage": storage },
            },
            "connections": [{ "nodes": ["h2", "h3"], "net": { "transport": "rdma", "verify-alg": "md5" } }],
            "volumes": { "0": { "minor": 1000, "size": "64MiB" } },
        });
        Resource::try_from(serde_json::from_value::<drbd_schemas::Declaration>(value).unwrap()).unwrap()
    }

    fn judge(net: Value, needs: &Needs) -> Result<(), String> {
        check(&declared(net), &NodeName::new("h1").unwrap(), needs, None).map_err(|refusal| {
            assert_eq!(refusal.code, Code::Environment);
            refusal.message
        })
    }

    #[test]
    fn a_connection_is_not_changed_to_a_transport_that_is_not_there() {
        let needs = |there| Needs { transports: [("lb-tcp".to_owned(), there)].into(), ..Needs::default() };
        let net = || json!({ "transport": "lb-tcp" });
        assert_eq!(judge(net(), &needs(true)), Ok(()));
        let refused = judge(net(), &needs(false)).unwrap_err();
        assert!(refused.contains("h1 has no kernel module drbd_transport_lb-tcp"), "{refused}");
    }

    #[test]
    fn only_the_connections_of_the_node_count() {
        let of = |node: &str, option: &str| {
            let (resource, node) = (declared(json!({ "verify-alg": "sha1" })), NodeName::new(node).unwrap());
            resource.net_values(&node, option).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!((of("h1", "transport"), of("h2", "transport")), (vec![], vec!["rdma".to_owned()]));
        assert_eq!(
            (of("h1", "verify-alg"), of("h3", "verify-alg")),
            (vec!["sha1".into()], vec!["md5".into(), "sha1".into()])
        );
    }

    #[test]
    fn a_digest_that_the_kernel_lacks_is_named_with_its_option() {
        let needs =
            |name: &str, found| Needs { digests: [(name.to_owned(), found)].into(), ..Needs::default() };
        let net = |option: &str, name: &str| json!({ option: name });
        let refused = judge(net("csums-alg", "sha2"), &needs("sha2", DigestFound::Missing)).unwrap_err();
        assert!(refused.contains("net.csums-alg sha2: the kernel of h1 has no digest sha2"), "{refused}");
        assert_eq!(judge(net("csums-alg", "md5"), &needs("md5", DigestFound::Loadable)), Ok(()));
        let sum = DigestFound::Ready(Digest { block_size: 1, digest_size: 4 });
        assert_eq!(judge(net("verify-alg", "crc32c"), &needs("crc32c", sum)), Ok(()));
        let refused = judge(net("cram-hmac-alg", "adler"), &needs("adler", sum)).unwrap_err();
        assert!(refused.contains("(the kernel's error 120)"), "{refused}");
    }

    #[test]
    fn an_address_of_another_host_is_refused_and_one_in_use_is_not() {
        let fib = |address: &str| format!("|-- {address}\n   /32 host LOCAL\n");
        let needs =
            |address: &str| Needs { addresses: parse_own_addresses(&fib(address), ""), ..Needs::default() };
        assert_eq!(judge(json!({}), &needs("10.0.0.1")), Ok(()));
        let refused = judge(json!({}), &needs("10.0.0.9")).unwrap_err();
        assert!(
            refused.contains("10.0.0.1 of h1, which does not have that address (it has 10.0.0.9)"),
            "{refused}"
        );
        let text = "resource r0 {\n  _this_host {\n    node-id 0;\n  }\n  connection {\n    _peer_node_id 1;\n    path {\n      _this_host ipv4 10.0.0.1:7000;\n      _remote_host ipv4 10.0.0.2:7000;\n    }\n  }\n}\n";
        let running = crate::tools::drbdsetup::parse_show(&crate::host::Output::of(0, text, "")).unwrap();
        let node = NodeName::new("h1").unwrap();
        check(&declared(json!({})), &node, &needs("10.0.0.9"), running.first()).unwrap();
    }
}
