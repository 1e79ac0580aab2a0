// SPDX-License-Identifier: MPL-2.0
//! The `ssh` attributes: of the provider block, of a node, of a bastion. What they mean is in `ssh_settings.rs`.

use drbd_ssh::Pin;
use tfplugin::{Attribute, Diagnostics, Path, Type, Value};

use crate::duration;

/// The attribute of the provider block.
pub(crate) fn provider_attribute() -> Attribute {
    let mut attributes = login();
    attributes.extend([
        Attribute::string("private_key").optional().sensitive().description(
            "A private key as text, for example from an ephemeral resource or a variable. It is stored nowhere.",
        ),
        Attribute::bool("use_agent").optional().description(
            "Offer the keys of the SSH agent (`SSH_AUTH_SOCK`) too. Unset: only when no private key is configured.",
        ),
        Attribute::of("known_hosts_files", Type::list(Type::String)).optional().description(
            "Files in OpenSSH's `known_hosts` format that vouch for host keys. Unset: `~/.ssh/known_hosts`, \
             `~/.ssh/known_hosts2`, `/etc/ssh/ssh_known_hosts` and `/etc/ssh/ssh_known_hosts2`. There is no setting that \
             accepts any key.",
        ),
        become_attribute(),
        duration::attribute("connect_timeout", "Limit for each stage of opening a connection, such as `15s`, which is the default."),
        bastion(),
    ]);
    Attribute::single_nested("ssh", attributes)
        .optional()
        .description("How to log in to hosts. A node's own `ssh` attributes win over these.")
}

/// The attribute of the data source.
pub(crate) fn node_attribute() -> Attribute {
    Attribute::single_nested("ssh", node_members()).required().description(LOGIN)
}

/// The attribute of a node. What an instance that is launched does not have yet, its address and its host keys, is computed.
pub(crate) fn of_node() -> Attribute {
    let members = members(host().optional().computed(), host_keys().computed());
    Attribute::single_nested("ssh", members).optional().computed().description(format!(
        "{LOGIN} Required for an existing host. With `ec2` it is optional: `host` is the instance's address then, and `host_keys`, \
         unless set, are those that it prints on its console."
    ))
}

const LOGIN: &str = "How to log in to the host. What is not set here comes from the provider block. The host key must be known: \
    from `host_keys`, or from a `known_hosts` file.";

/// The members of a node's `ssh`.
pub(crate) fn node_members() -> Vec<Attribute> {
    members(host().required(), host_keys())
}

fn host() -> Attribute {
    Attribute::string("host").validate(not_empty).description("DNS name or IP address to connect to.")
}

fn members(host: Attribute, host_keys: Attribute) -> Vec<Attribute> {
    let mut attributes = vec![host];
    attributes.extend(login());
    attributes.extend([host_keys, become_attribute(), bastion()]);
    attributes
}

/// What an inventory may say in place of the nodes and the provider block: it can be used on another machine.
pub(crate) fn inventory_members() -> Vec<Attribute> {
    let same = login().into_iter().filter(|attribute| attribute.name() != "port");
    same.chain([become_attribute(), bastion()]).collect()
}

fn login() -> Vec<Attribute> {
    vec![
        Attribute::number("port").optional().validate(port).description("TCP port of the SSH server; 22 by default."),
        Attribute::string("user").optional().validate(not_empty).description(
            "Login name. Unset: the user who runs Terraform. Any user other than root needs a `sudo` rule without password.",
        ),
        Attribute::string("private_key_file").optional().validate(not_empty).description(
            "File with a private key that is not encrypted. `~/` stands for the home directory. A certificate beside it \
             (`<file>-cert.pub`) is offered first.",
        ),
    ]
}

fn become_attribute() -> Attribute {
    Attribute::string("become").optional().one_of(&["sudo", "none"]).description(
        "How commands get root's rights: `sudo` (`sudo -n`) or `none`. Unset: `sudo`, unless the user is root.",
    )
}

fn host_keys() -> Attribute {
    Attribute::of("host_keys", Type::set(Type::String)).optional().validate(pins).description(
        "Keys that the host may present, each as in a `.pub` file (`ssh-ed25519 AAAA…`) or as a fingerprint (`SHA256:…`). \
         When set, these alone count, and `known_hosts` files do not.",
    )
}

fn bastion() -> Attribute {
    let mut attributes = vec![
        Attribute::string("host")
            .required()
            .validate(not_empty)
            .description("DNS name or IP address of the bastion."),
    ];
    attributes.extend(login());
    attributes.push(host_keys());
    Attribute::single_nested("bastion", attributes).optional().description(
        "A host to connect through. It needs no `sudo` and no program of ours; its key is checked like any other. Unset \
         members come from the provider block, but the port is 22.",
    )
}

fn not_empty(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let odd = |text: &str| text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control);
    if value.as_str().is_some_and(odd) {
        let detail = format!("{path} must not be empty, begin with \"-\", or hold control characters.");
        diagnostics.error_at(path, "Value not allowed", detail);
    }
}

fn port(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let valid =
        value.as_number().and_then(tfplugin::Number::to_u64).is_some_and(|n| (1..=65_535).contains(&n));
    if !valid {
        diagnostics.error_at(
            path,
            "Not a TCP port",
            format!("{path} must be a whole number from 1 to 65535."),
        );
    }
}

fn pins(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let elements = value.elements().unwrap_or_default();
    if elements.is_empty() {
        let detail =
            format!("{path} is empty, so no key would be accepted. Leave it out to use known_hosts files.");
        diagnostics.error_at(path, "No host key", detail);
    }
    for text in elements.iter().filter_map(Value::as_str) {
        if let Err(error) = text.parse::<Pin>() {
            diagnostics.error_at(path, "Not a host key", format!("{error}."));
        }
    }
}
