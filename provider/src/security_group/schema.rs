// SPDX-License-Identifier: MPL-2.0
//! Attributes of `drbd_security_group`.

use tfplugin::{Attribute, Diagnostics, Path, Schema, Type, Value};

use super::cidr;
use super::model::{SERVICES, ports};

/// What the resource is, in Markdown.
pub(crate) const DESCRIPTION: &str = "A security group of AWS for DRBD hosts of one VPC: its members replicate with each other, and SSH \
             comes in from where it is said.\n\n\
             Members are the network interfaces that have the group, such as those of nodes with it in \
             `ec2.security_group_ids`. Each service is open to the members, and to the further sources that it names; SSH is open \
             to its sources only.\n\n\
             **What goes out** is as EC2 makes it: a new group has one outgoing rule, which allows everything, and this resource \
             neither takes it away nor puts one there. Members need it, or rules of the same ports, to reach each other, package \
             mirrors and AWS. Rules that restrict it, such as `aws_vpc_security_group_egress_rule`, can be kept beside this resource; \
             they are no drift.\n\n\
             The group is found again by its name and its tags when a run was cut. Rules that somebody else puts into it are shown \
             in `undeclared_rules`; `undeclared = \"remove\"` removes them.\n\n\
             AWS permissions that it needs: `ec2:DescribeSecurityGroups`, `ec2:DescribeNetworkInterfaces`, `ec2:CreateSecurityGroup`, \
             `ec2:DeleteSecurityGroup`, `ec2:AuthorizeSecurityGroupIngress`, `ec2:RevokeSecurityGroupIngress`, `ec2:CreateTags` and \
             `ec2:DeleteTags`.";

/// The schema of the resource.
pub(crate) fn schema() -> Schema {
    let text = |name: &str, description: &str| {
        Attribute::string(name).required().requires_replace().description(description)
    };
    let services = SERVICES.iter().map(|service| service.name).collect::<Vec<_>>();
    Schema::new().description(DESCRIPTION).attributes([
        Attribute::string("id").computed().description("Its id, `sg-…`."),
        text("name", "Its name, which is unique in the VPC.").validate(name),
        text("vpc_id", "The VPC of the members, `vpc-…`."),
        service("ssh", "SSH from these sources. Unset: from nowhere by this group."),
        service("drbd", "Replication, over TCP. Unset: ports 7000 to 7999 among the members."),
        service("linstor_satellite", "LINSTOR's satellites, over TCP. Unset: closed. `{}`: ports 3366 to 3367 among the members."),
        service("wireguard", "WireGuard, over UDP. Unset: closed. `{}`: port 51820 among the members."),
        Attribute::of("open_to_world", Type::set(Type::String)).optional().validate(move |value, path, told| {
            known_services(value, path, told, &services);
        }).description(
            "Services that may name `0.0.0.0/0` or `::/0`, for example `[\"wireguard\"]`. DRBD's own protocol neither encrypts nor asks \
             who connects.",
        ),
        Attribute::string("undeclared").default("keep").one_of(&["keep", "remove"]).description(
            "What becomes of rules that are not declared here: `keep` leaves them, and shows them, `remove` removes them at the next \
             apply. A rule that was declared here before is always removed.",
        ),
        Attribute::of("tags", Type::map(Type::String)).optional().description("Tags of the group."),
        Attribute::of("undeclared_rules", Type::list(Type::String)).computed().description(
            "Rules in the group that are not declared here, as they were found.",
        ),
        Attribute::of("drift", Type::list(Type::String)).computed().description(
            "What differs in EC2 from what is declared, one line each; empty when nothing does. Whenever it is not empty, the plan is \
             to make it so.",
        ),
    ])
}

fn service(name: &str, description: &str) -> Attribute {
    let members = vec![
        Attribute::string("ports")
            .optional()
            .validate(checked_ports)
            .description("A port, or a range such as `7000-7999`. Unset: the service's usual ones."),
        Attribute::of("cidr_blocks", Type::set(Type::String))
            .optional()
            .validate(ranges)
            .description("Address ranges, IPv4 and IPv6, that may reach it."),
        Attribute::of("security_group_ids", Type::set(Type::String)).optional().description(
            "Further groups of the same VPC whose members may reach it, such as that of a bastion.",
        ),
    ];
    Attribute::single_nested(name, members).optional().description(description)
}

/// What EC2 takes as a name.
fn name(value: &Value, path: &Path, told: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    let sound = (1..=255).contains(&text.len())
        && !text.starts_with("sg-")
        && text != "default"
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c));
    if !sound {
        let detail = format!(
            "{path} is {text:?}; allowed: 1 to 255 letters, digits, spaces and ._-:/()#,@[]+=&;{{}}!$*, neither \"default\" nor beginning \
             with \"sg-\"."
        );
        told.error_at(path, "Name not allowed", detail);
    }
}

fn checked_ports(value: &Value, path: &Path, told: &mut Diagnostics) {
    if let Some(text) = value.as_str()
        && ports(text).is_none()
    {
        let detail = format!(
            "{path} is {text:?}; allowed: a port from 1 to 65535, or two with a \"-\" between, the lower one first."
        );
        told.error_at(path, "Not a range of ports", detail);
    }
}

fn ranges(value: &Value, path: &Path, told: &mut Diagnostics) {
    for text in value.elements().unwrap_or_default().iter().filter_map(Value::as_str) {
        if let Err(why) = cidr::check(text) {
            told.error_at(path, "Not an address range", format!("{path}: {why}."));
        }
    }
}

fn known_services(value: &Value, path: &Path, told: &mut Diagnostics, services: &[&str]) {
    for text in value.elements().unwrap_or_default().iter().filter_map(Value::as_str) {
        if !services.contains(&text) {
            let detail = format!("{path} names {text:?}; the services are {}.", services.join(", "));
            told.error_at(path, "No such service", detail);
        }
    }
}
