// SPDX-License-Identifier: MPL-2.0
//! Rules of a security group for what comes in, one source each, and their form in the API.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, PrefixListId, UserIdGroupPair};

use crate::words::text;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What is let in.
    pub protocol: Protocol,
    /// First port; -1 where there are none.
    pub from_port: i32,
    /// Last port.
    pub to_port: i32,
    /// From where.
    pub source: Source,
}

/// A protocol by EC2's word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Another one; `-1` is all of them.
    Other(String),
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Addresses, in CIDR notation.
    Cidr(String),
    /// Interfaces with this security group.
    Group(String),
    /// A prefix list.
    PrefixList(String),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Other(word) if word == "-1" => "all protocols",
            Self::Other(word) => word,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Cidr(text) | Self::Group(text) | Self::PrefixList(text)) = self;
        f.write_str(text)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, from_port, to_port, source } = self;
        match (from_port, to_port) {
            (-1, _) => write!(f, "{protocol} from {source}"),
            (from, to) if from == to => write!(f, "{protocol} {from} from {source}"),
            (from, to) => write!(f, "{protocol} {from}-{to} from {source}"),
        }
    }
}

impl Protocol {
    fn read(word: &str) -> Self {
        match word {
            "tcp" | "6" => Self::Tcp,
            "udp" | "17" => Self::Udp,
            other => Self::Other(other.to_owned()),
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Other(word) => word,
        }
    }
}

/// Rules from the API's form, which puts many sources into one.
pub(crate) fn read(permissions: &[IpPermission]) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    for permission in permissions {
        let v4 = permission.ip_ranges().iter().filter_map(|range| text(range.cidr_ip()).map(Source::Cidr));
        let v6 =
            permission.ipv6_ranges().iter().filter_map(|range| text(range.cidr_ipv6()).map(Source::Cidr));
        let groups = permission.user_id_group_pairs().iter();
        let groups = groups.filter_map(|pair| text(pair.group_id()).map(Source::Group));
        let lists = permission.prefix_list_ids().iter();
        let lists = lists.filter_map(|list| text(list.prefix_list_id()).map(Source::PrefixList));
        rules.extend(v4.chain(v6).chain(groups).chain(lists).map(|source| Rule {
            protocol: Protocol::read(permission.ip_protocol().unwrap_or_default()),
            from_port: permission.from_port().unwrap_or(-1),
            to_port: permission.to_port().unwrap_or(-1),
            source,
        }));
    }
    rules
}

/// Rules in the API's form.
pub(crate) fn write<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Vec<IpPermission> {
    rules.into_iter().map(permission).collect()
}

fn permission(rule: &Rule) -> IpPermission {
    let builder = IpPermission::builder().ip_protocol(rule.protocol.word());
    let builder = if rule.from_port >= 0 || rule.protocol.word() != "-1" {
        builder.from_port(rule.from_port).to_port(rule.to_port)
    } else {
        builder
    };
    match &rule.source {
        Source::Cidr(cidr) if cidr.contains(':') => {
            builder.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(cidr).build())
        }
        Source::Cidr(cidr) => builder.ip_ranges(IpRange::builder().cidr_ip(cidr).build()),
        Source::Group(id) => builder.user_id_group_pairs(UserIdGroupPair::builder().group_id(id).build()),
        Source::PrefixList(id) => builder.prefix_list_ids(PrefixListId::builder().prefix_list_id(id).build()),
    }
    .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_comes_back_from_the_apis_form() {
        let rule = |protocol, ports: (i32, i32), source| Rule {
            protocol,
            from_port: ports.0,
            to_port: ports.1,
            source,
        };
        let rules = BTreeSet::from([
            rule(Protocol::Tcp, (7000, 7999), Source::Group("sg-1".into())),
            rule(Protocol::Udp, (51820, 51820), Source::Cidr("2001:db8::/32".into())),
            rule(Protocol::Tcp, (22, 22), Source::Cidr("10.0.0.0/8".into())),
            rule(Protocol::Other("-1".into()), (-1, -1), Source::PrefixList("pl-1".into())),
            rule(Protocol::Other("icmp".into()), (-1, -1), Source::Cidr("10.0.0.0/8".into())),
        ]);
        assert_eq!(read(&write(&rules)), rules);
        let texts: Vec<String> = rules.iter().map(Rule::to_string).collect();
        assert!(texts.contains(&"tcp 7000-7999 from sg-1".to_owned()), "{texts:?}");
        assert!(texts.contains(&"all protocols from pl-1".to_owned()), "{texts:?}");
    }
}
