// SPDX-License-Identifier: MPL-2.0
//! A group as values: which rules a declaration means, what is open to the world, what an existing group declares. Pure.

use std::collections::{BTreeMap, BTreeSet};

use drbd_ec2::{Protocol, Rule, SecurityGroup, Source, Tags};
use tfplugin::{Diagnostic, Diagnostics, Path, Reader, Value};

use super::cidr;

/// A service that a group opens.
pub(super) struct Service {
    pub(super) name: &'static str,
    protocol: Protocol,
    ports: (u16, u16),
    /// Whether the members reach it.
    among_members: bool,
    /// Whether it is open to the members when it is not mentioned.
    always: bool,
}

/// All services.
pub(super) const SERVICES: [Service; 4] = [
    Service { name: "ssh", protocol: Protocol::Tcp, ports: (22, 22), among_members: false, always: false },
    Service { name: "drbd", protocol: Protocol::Tcp, ports: (7000, 7999), among_members: true, always: true },
    Service {
        name: "linstor_satellite",
        protocol: Protocol::Tcp,
        ports: (3366, 3367),
        among_members: true,
        always: false,
    },
    Service {
        name: "wireguard",
        protocol: Protocol::Udp,
        ports: (51820, 51820),
        among_members: true,
        always: false,
    },
];

/// A range of ports.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && text != "+");
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (port(from)?, port(to)?);
    (from <= to).then_some((from, to))
}

/// A group, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) vpc_id: String,
    pub(super) remove_undeclared: bool,
    pub(super) tags: Tags,
    /// Rules without those for members, for which the group's id is needed.
    others: BTreeSet<Rule>,
    among_members: Vec<(Protocol, (u16, u16))>,
}

impl Wanted {
    /// From a whole plan or state.
    ///
    /// # Errors
    /// When something is not known, or not allowed.
    pub(super) fn read(value: &Value) -> Result<Self, Diagnostic> {
        let r = value.reader()?;
        let mut wanted = Self {
            name: r.required_str("name")?.to_owned(),
            vpc_id: r.required_str("vpc_id")?.to_owned(),
            remove_undeclared: r.opt_str("undeclared")? == Some("remove"),
            tags: r.get::<Option<_>>("tags")?.unwrap_or_default(),
            others: BTreeSet::new(),
            among_members: Vec::new(),
        };
        for service in &SERVICES {
            wanted.read_service(service, r.nested(service.name)?.as_ref())?;
        }
        Ok(wanted)
    }

    fn read_service(&mut self, service: &Service, declared: Option<&Reader<'_>>) -> Result<(), Diagnostic> {
        let Some(r) = declared else {
            if service.always {
                self.among_members.push((service.protocol.clone(), service.ports));
            }
            return Ok(());
        };
        let range = match r.opt_str("ports")? {
            None => service.ports,
            Some(text) => ports(text)
                .ok_or_else(|| r.error("ports", "Not a range of ports", format!("{text:?} is none.")))?,
        };
        if service.among_members {
            self.among_members.push((service.protocol.clone(), range));
        }
        let list = |name: &str| Ok::<_, Diagnostic>(r.get::<Option<Vec<String>>>(name)?.unwrap_or_default());
        let cidrs = list("cidr_blocks")?.into_iter().map(Source::Cidr);
        let groups = list("security_group_ids")?.into_iter().map(Source::Group);
        self.others.extend(cidrs.chain(groups).map(|source| rule(&service.protocol, range, source)));
        Ok(())
    }

    /// All rules of the group with this id.
    pub(super) fn rules(&self, id: &str) -> BTreeSet<Rule> {
        let members = self
            .among_members
            .iter()
            .map(|(protocol, range)| rule(protocol, *range, Source::Group(id.to_owned())));
        self.others.iter().cloned().chain(members).collect()
    }

    /// Groups that rules name.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        let groups = self.others.iter().filter_map(|rule| match &rule.source {
            Source::Group(id) => Some(id.clone()),
            _ => None,
        });
        groups.collect()
    }
}

fn rule(protocol: &Protocol, (from, to): (u16, u16), source: Source) -> Rule {
    Rule { protocol: protocol.clone(), from_port: from.into(), to_port: to.into(), source }
}

/// Refuses services that are open to everybody without its being said. Unknown values are looked at when they are known.
pub(super) fn open_to_world(config: &Value) -> Diagnostics {
    let mut told = Diagnostics::new();
    let allowed = config.get("open_to_world");
    if allowed.is_unknown() {
        return told;
    }
    let allowed: Vec<&str> =
        allowed.elements().unwrap_or_default().iter().filter_map(Value::as_str).collect();
    for service in &SERVICES {
        let blocks = config.get(service.name).get("cidr_blocks");
        let world = blocks.elements().unwrap_or_default().iter().filter_map(Value::as_str);
        let world: Vec<&str> = world.filter(|block| cidr::is_world(block)).collect();
        if !world.is_empty() && !allowed.contains(&service.name) {
            let detail = format!(
                "{0}.cidr_blocks has {1}: everybody could reach {0}. Nothing was touched. Name the addresses that need it, or, if it \
                 really shall be open to everybody, say open_to_world = [\"{0}\"].",
                service.name,
                world.join(" and ")
            );
            let path = Path::of(service.name).attribute("cidr_blocks");
            told.error_at(&path, format!("Open to the world: {}", service.name), detail);
        }
    }
    told
}

/// What differs between a group and its declaration, and the rules that are not declared.
pub(super) fn compare(wanted: &Wanted, group: &SecurityGroup) -> (Vec<String>, Vec<String>) {
    let rules = wanted.rules(&group.id);
    let mut drift: Vec<String> =
        rules.difference(&group.rules).map(|rule| format!("the rule {rule} is missing")).collect();
    let undeclared: Vec<String> = group.rules.difference(&rules).map(Rule::to_string).collect();
    if wanted.remove_undeclared {
        drift.extend(undeclared.iter().map(|rule| format!("the rule {rule} is not declared")));
    }
    (drift, undeclared)
}

/// A declaration that means what a group is.
pub(super) fn imported(group: &SecurityGroup, tags: &Tags) -> Value {
    let mut members: Vec<(&str, Value)> =
        SERVICES.iter().map(|service| (service.name, declared(service, group))).collect();
    let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let tags = if tags.len() == 0 { Value::Null } else { Value::map(tags) };
    members.extend([
        ("id", Value::from(group.id.as_str())),
        ("name", Value::from(group.name.as_str())),
        ("vpc_id", Value::from(group.vpc_id.as_str())),
        ("undeclared", Value::from("keep")),
        ("tags", tags),
    ]);
    let mut state = Value::object(members);
    let world = SERVICES.iter().filter(|service| {
        let blocks = state.get(service.name).get("cidr_blocks");
        blocks.elements().unwrap_or_default().iter().filter_map(Value::as_str).any(cidr::is_world)
    });
    let world: Vec<&str> = world.map(|service| service.name).collect();
    state.set("open_to_world", if world.is_empty() { Value::Null } else { Value::set_of(world) });
    state
}

/// A service with its usual ports, as far as a group has it.
fn declared(service: &Service, group: &SecurityGroup) -> Value {
    let (from, to) = service.ports;
    let mut sources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut members = false;
    for found in &group.rules {
        if found.protocol != service.protocol || (found.from_port, found.to_port) != (from.into(), to.into())
        {
            continue;
        }
        match &found.source {
            Source::Group(id) if *id == group.id && service.among_members => members = true,
            Source::Group(id) => sources.entry("security_group_ids").or_default().push(id),
            Source::Cidr(text) if cidr::check(text).is_ok() => {
                sources.entry("cidr_blocks").or_default().push(text);
            }
            Source::Cidr(_) | Source::PrefixList(_) => (),
        }
    }
    // Members that are not let in yet are in the declaration all the same.
    if sources.is_empty() && (service.always || !members) {
        return Value::Null;
    }
    let list = |name: &str| sources.get(name).map_or(Value::Null, |list| Value::set_of(list.iter().copied()));
    Value::object([
        ("ports", Value::Null),
        ("cidr_blocks", list("cidr_blocks")),
        ("security_group_ids", list("security_group_ids")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(members: &[(&str, Value)]) -> Value {
        let mut config = Value::object([("name", "drbd"), ("vpc_id", "vpc-1"), ("undeclared", "keep")]);
        for (name, value) in members {
            config.set(name, value.clone());
        }
        config
    }

    fn from(blocks: &[&str]) -> Value {
        Value::object([("cidr_blocks", Value::set_of(blocks.iter().copied()))])
    }

    fn texts(rules: &BTreeSet<Rule>) -> Vec<String> {
        rules.iter().map(Rule::to_string).collect()
    }

    fn group(rules: BTreeSet<Rule>) -> SecurityGroup {
        SecurityGroup {
            id: "sg-1".into(),
            name: "drbd".into(),
            vpc_id: "vpc-1".into(),
            rules,
            tags: Tags::new(),
        }
    }

    #[test]
    fn members_replicate_and_nothing_else_is_open_unless_it_is_said() {
        let least = Wanted::read(&config(&[])).unwrap();
        assert_eq!(texts(&least.rules("sg-1")), ["tcp 7000-7999 from sg-1"]);
        let more = config(&[
            ("ssh", from(&["203.0.113.0/24"])),
            ("drbd", Value::object([("ports", "7788-7799")])),
            ("linstor_satellite", Value::object([("ports", Value::Null)])),
            ("wireguard", from(&["2001:db8::/32"])),
        ]);
        let mut rules = texts(&Wanted::read(&more).unwrap().rules("sg-1"));
        rules.sort();
        assert_eq!(
            rules,
            [
                "tcp 22 from 203.0.113.0/24",
                "tcp 3366-3367 from sg-1",
                "tcp 7788-7799 from sg-1",
                "udp 51820 from 2001:db8::/32",
                "udp 51820 from sg-1"
            ]
        );
    }

    #[test]
    fn the_world_is_let_in_only_where_that_is_said() {
        for service in ["ssh", "drbd", "linstor_satellite", "wireguard"] {
            for block in ["0.0.0.0/0", "::/0"] {
                let open = |allowed: Value| {
                    let config =
                        config(&[(service, from(&["10.0.0.0/8", block])), ("open_to_world", allowed)]);
                    open_to_world(&config).iter().map(|d| d.detail.clone()).collect::<String>()
                };
                let said = open(Value::Null);
                assert!(said.contains(block) && said.contains(&format!("[\"{service}\"]")), "{said}");
                assert_eq!(open(Value::set_of([service])), "");
                let other = if service == "ssh" { "drbd" } else { "ssh" };
                assert_ne!(
                    open(Value::set_of([other])),
                    "",
                    "what is said of another service does not count"
                );
                assert_eq!(open(Value::unknown()), "");
            }
        }
    }

    #[test]
    fn what_differs_is_told_and_what_is_not_declared_goes_only_if_told_so() {
        let wanted = |undeclared: &str| {
            Wanted::read(&config(&[("undeclared", undeclared.into()), ("ssh", from(&["10.0.0.0/8"]))]))
                .unwrap()
        };
        let mut rules = wanted("keep").rules("sg-1");
        assert_eq!(compare(&wanted("remove"), &group(rules.clone())), (Vec::new(), Vec::new()));
        rules.retain(|rule| rule.from_port != 22);
        rules.insert(rule(&Protocol::Tcp, (5432, 5432), Source::Cidr("0.0.0.0/0".into())));
        let (drift, undeclared) = compare(&wanted("keep"), &group(rules.clone()));
        assert_eq!(drift, ["the rule tcp 22 from 10.0.0.0/8 is missing"]);
        assert_eq!(undeclared, ["tcp 5432 from 0.0.0.0/0"]);
        let (drift, _) = compare(&wanted("remove"), &group(rules));
        assert_eq!(drift[1], "the rule tcp 5432 from 0.0.0.0/0 is not declared");
    }

    #[test]
    fn an_imported_group_declares_what_it_is() {
        let declared = config(&[
            ("ssh", from(&["0.0.0.0/0"])),
            ("wireguard", Value::object([("ports", Value::Null)])),
            ("drbd", Value::object([("security_group_ids", Value::set_of(["sg-2"]))])),
        ]);
        let rules = Wanted::read(&declared).unwrap().rules("sg-1");
        let state = imported(&group(rules.clone()), &Tags::new());
        assert_eq!(Wanted::read(&state).unwrap().rules("sg-1"), rules);
        assert_eq!(state.get("open_to_world"), &Value::set_of(["ssh"]));
        assert!(state.get("linstor_satellite").is_null());
        let bare = imported(&group(BTreeSet::new()), &Tags::new());
        assert!(SERVICES.iter().all(|service| bare.get(service.name).is_null()));
    }

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!((ports("22"), ports("7000-7999")), (Some((22, 22)), Some((7000, 7999))));
        for bad in ["", "0", "7999-7000", "1-2-3", "x", "70000", "-1", "+"] {
            assert_eq!(ports(bad), None, "{bad}");
        }
    }
}
