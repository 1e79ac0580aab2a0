// SPDX-License-Identifier: MPL-2.0
//! What the host tells the process through its environment, and the one line that the process answers on
//! standard output.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::socket::Address;

/// The protocol version that is served.
pub(crate) const PROTOCOL: u32 = 6;

/// Proves that the process was started by a host and not by hand. It is public and no secret.
const COOKIE_NAME: &str = "TF_PLUGIN_MAGIC_COOKIE";
const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// What the host says through environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) started_by_host: bool,
    /// The protocol versions the host speaks; empty when it does not say.
    pub(crate) versions: BTreeSet<u32>,
    /// PEM of the certificate that the host will present. Without it the connection is plain text.
    pub(crate) client_certificate: Option<String>,
    pub(crate) socket_dir: Option<PathBuf>,
    pub(crate) ports: (u16, u16),
    /// The host expects a seventh field in the handshake line.
    pub(crate) asks_for_multiplex: bool,
}

impl Environment {
    /// Reads the variables through `lookup`.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Environment {
        let port =
            |name: &str, default: u16| lookup(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let present = |name: &str| lookup(name).filter(|text| !text.is_empty());
        let versions = lookup("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
        Environment {
            started_by_host: lookup(COOKIE_NAME).as_deref() == Some(COOKIE),
            versions: versions.split(',').filter_map(|text| text.trim().parse().ok()).collect(),
            client_certificate: present("PLUGIN_CLIENT_CERT"),
            socket_dir: present("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            ports: (port("PLUGIN_MIN_PORT", 10_000), port("PLUGIN_MAX_PORT", 25_000)),
            asks_for_multiplex: lookup("PLUGIN_MULTIPLEX_GRPC").is_some(),
        }
    }

    /// Whether the host speaks our protocol, or does not say which ones it speaks.
    pub(crate) fn is_compatible(&self) -> bool {
        self.versions.is_empty() || self.versions.contains(&PROTOCOL)
    }
}

/// The handshake line without its end. The certificate is empty on plain text connections.
pub(crate) fn line(address: &Address, certificate: &str, with_multiplex: bool) -> String {
    let (network, text) = address.parts();
    let multiplex = if with_multiplex { "|false" } else { "" };
    format!("1|{PROTOCOL}|{network}|{text}|grpc|{certificate}{multiplex}")
}

/// The variable that lets Terraform, and OpenTofu, use this process instead of starting one.
pub(crate) fn reattach(provider: &str, address: &Address) -> String {
    let (network, text) = address.parts();
    let entry = json!({
        "Protocol": "grpc",
        "ProtocolVersion": PROTOCOL,
        "Pid": std::process::id(),
        "Test": true,
        "Addr": { "Network": network, "String": text },
    });
    let mut entries = serde_json::Map::from_iter([(provider.to_owned(), entry.clone())]);
    if let Some(rest) = provider.strip_prefix("registry.terraform.io/") {
        entries.insert(format!("registry.opentofu.org/{rest}"), entry);
    }
    format!("TF_REATTACH_PROVIDERS='{}'", serde_json::Value::Object(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Environment::read(lookup)
    }

    #[test]
    fn versions_are_a_set() {
        for text in ["5,6", "6,5", "6", ""] {
            assert!(read(&[("PLUGIN_PROTOCOL_VERSIONS", text)]).is_compatible(), "{text}");
        }
        assert!(read(&[]).is_compatible());
        assert!(!read(&[("PLUGIN_PROTOCOL_VERSIONS", "5")]).is_compatible());
    }

    #[test]
    fn only_the_cookie_proves_a_host() {
        assert!(read(&[(COOKIE_NAME, COOKIE)]).started_by_host);
        assert!(!read(&[(COOKIE_NAME, "x")]).started_by_host);
        assert!(!read(&[]).started_by_host);
    }

    #[test]
    fn line_has_six_fields_or_seven() {
        let unix = Address::Unix("/tmp/x/s".into());
        assert_eq!(line(&unix, "AAAA", false), "1|6|unix|/tmp/x/s|grpc|AAAA");
        assert_eq!(line(&unix, "", false), "1|6|unix|/tmp/x/s|grpc|");
        let tcp = Address::Tcp("127.0.0.1:10001".parse().unwrap());
        assert_eq!(line(&tcp, "", true), "1|6|tcp|127.0.0.1:10001|grpc||false");
    }

    #[test]
    fn reattach_names_both_registries() {
        let text = reattach("registry.terraform.io/a/b", &Address::Unix("/tmp/s".into()));
        let json = text.strip_prefix("TF_REATTACH_PROVIDERS='").and_then(|t| t.strip_suffix('\'')).unwrap();
        let entries: serde_json::Value = serde_json::from_str(json).unwrap();
        for host in ["registry.terraform.io", "registry.opentofu.org"] {
            let entry = &entries[format!("{host}/a/b")];
            assert_eq!(entry["Addr"]["String"], "/tmp/s");
            assert_eq!(entry["ProtocolVersion"], 6);
            assert_eq!(entry["Test"], true);
        }
    }
}
