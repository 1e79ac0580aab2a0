// SPDX-License-Identifier: MPL-2.0
//! How to log in: what the provider block and a node say about SSH, and the [`Target`] that follows.
//!
//! A node's own settings win over those of the provider block. A host key must be vouched for by a pinned key or a
//! known_hosts file; nothing here accepts any key. Deliberately not here: the attributes' descriptions (`ssh_schema.rs`).

use std::path::PathBuf;
use std::time::Duration;

use drbd_ssh::{Auth, Escalate, Pin, Secret, Target, Trust};
use tfplugin::{Decode, Diagnostic, Path, Reader, Value};

use crate::duration;

/// What one `ssh` attribute says. Everything is optional; the provider block and defaults fill the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SshSettings {
    pub(crate) host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    private_key_file: Option<String>,
    private_key: Option<Secret>,
    use_agent: Option<bool>,
    known_hosts_files: Option<Vec<String>>,
    host_keys: Option<Vec<Pin>>,
    bastion: Option<Box<SshSettings>>,
    become_root: Option<Become>,
    connect_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Become {
    Sudo,
    None,
}

impl<'v> Decode<'v> for SshSettings {
    fn decode(value: &'v Value, path: &Path) -> Result<Self, Diagnostic> {
        let r = Reader::decode(value, path)?;
        let bastion = r.nested("bastion")?.map(|b| Self::decode(b.value(), b.path())).transpose()?;
        let timeout = r.opt_str("connect_timeout")?.map(|text| {
            duration::parse(text)
                .ok_or_else(|| r.error("connect_timeout", "Not a duration", duration::ALLOWED))
        });
        Ok(Self {
            host: r.get("host")?,
            port: r.get("port")?,
            user: r.get("user")?,
            private_key_file: r.get("private_key_file")?,
            private_key: r.opt_str("private_key")?.map(Secret::new),
            use_agent: r.get("use_agent")?,
            known_hosts_files: r.get("known_hosts_files")?,
            host_keys: pins(&r)?,
            bastion: bastion.map(Box::new),
            become_root: match r.opt_str("become")? {
                Some("none") => Some(Become::None),
                Some(_) => Some(Become::Sudo),
                None => None,
            },
            connect_timeout: timeout.transpose()?,
        })
    }
}

/// How another SSH client logs in to a host, by the same settings. Key files are as they were written, `~/` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Unset: whoever runs the client.
    pub(crate) user: Option<String>,
    pub(crate) key_files: Vec<String>,
    /// Whether commands need `sudo`. None where that depends on who runs the client.
    pub(crate) sudo: Option<bool>,
    /// The pinned keys, as they were written.
    pub(crate) pins: Vec<Pin>,
    pub(crate) bastion: Option<Box<Login>>,
}

fn pins(r: &Reader<'_>) -> Result<Option<Vec<Pin>>, Diagnostic> {
    let Some(texts) = r.get::<Option<Vec<String>>>("host_keys")? else { return Ok(None) };
    let parse = |text: &String| text.parse::<Pin>();
    let pins = texts.iter().map(parse).collect::<Result<Vec<_>, _>>();
    pins.map(Some).map_err(|error| r.error("host_keys", "Not a host key", format!("{error}.")))
}

impl SshSettings {
    /// Settings that name a host and nothing else.
    pub(crate) fn of_host(host: &str) -> Self {
        let (host, port) = split_port(host);
        Self { host: Some(host.to_owned()), port, ..Self::default() }
    }

    /// Whom to connect to, and how. `self` is the node's part; `base` that of the provider block.
    ///
    /// # Errors
    /// When no host is named, or a file is named below `~` and there is no home directory.
    pub(crate) fn target(&self, base: &Self) -> Result<Target, Diagnostic> {
        let host = self.host.as_deref().ok_or_else(|| {
            let detail = "The attribute ssh.host is not set; it names the host to log in to.";
            Diagnostic::error("Missing value", detail).at(Path::of("ssh").attribute("host"))
        })?;
        let user = self.user.clone().or_else(|| base.user.clone()).unwrap_or_else(local_user);
        let escalate = match self.become_root.or(base.become_root) {
            Some(Become::None) => Escalate::None,
            Some(Become::Sudo) => Escalate::Sudo,
            None if user == "root" => Escalate::None,
            None => Escalate::Sudo,
        };
        let bastion = match self.bastion.as_ref().or(base.bastion.as_ref()) {
            Some(bastion) => Some(Box::new(bastion.bastion_target(base, &user)?)),
            None => None,
        };
        Ok(Target {
            port: self.port.or(base.port).unwrap_or(22),
            auth: self.auth(base)?,
            trust: self.trust(base)?,
            bastion,
            escalate,
            connect_timeout: self.connect_timeout.or(base.connect_timeout).unwrap_or(Duration::from_secs(15)),
            ..Target::new(host, user)
        })
    }

    /// These settings with those of `other` where it has some.
    pub(crate) fn overridden_by(self, other: &Self) -> Self {
        Self {
            user: other.user.clone().or(self.user),
            private_key_file: other.private_key_file.clone().or(self.private_key_file),
            bastion: other.bastion.clone().or(self.bastion),
            become_root: other.become_root.or(self.become_root),
            ..self
        }
    }

    /// What another client needs to log in as [`Self::target`] does. A key that was given as text is not in it.
    ///
    /// # Errors
    /// As [`Self::target`].
    pub(crate) fn login(&self, base: &Self) -> Result<Login, Diagnostic> {
        let target = self.target(base)?;
        let user = self.user.clone().or_else(|| base.user.clone());
        let bastion = self.bastion.as_ref().or(base.bastion.as_ref());
        let of_bastion = Self { port: None, bastion: None, user: user.clone(), ..base.clone() };
        let sudo = match self.become_root.or(base.become_root) {
            Some(how) => Some(how == Become::Sudo),
            None => user.as_ref().map(|user| user != "root"),
        };
        let key_files = [self, base].into_iter().filter_map(|settings| settings.private_key_file.clone());
        let mut key_files: Vec<String> = key_files.collect();
        key_files.dedup();
        Ok(Login {
            host: target.host,
            port: target.port,
            user,
            key_files,
            sudo,
            pins: self.host_keys.clone().unwrap_or_default(),
            bastion: bastion.map(|bastion| bastion.login(&of_bastion)).transpose()?.map(Box::new),
        })
    }

    /// A bastion takes the keys and known hosts of the provider block, but neither its port nor its bastion.
    fn bastion_target(&self, base: &Self, user: &str) -> Result<Target, Diagnostic> {
        let base = Self { port: None, bastion: None, user: Some(user.to_owned()), ..base.clone() };
        let target = self.target(&base)?;
        Ok(Target { escalate: Escalate::None, ..target })
    }

    /// The node's key first, then those of the provider block; the agent last, unless it is switched off. Without any
    /// key it is the agent alone.
    fn auth(&self, base: &Self) -> Result<Vec<Auth>, Diagnostic> {
        let mut ways = Vec::new();
        for settings in [self, base] {
            if let Some(path) = &settings.private_key_file {
                let way = Auth::KeyFile { path: expand(path)?, passphrase: None };
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
            if let Some(key) = &settings.private_key {
                ways.push(Auth::KeyData { key: key.clone(), passphrase: None, certificate: None });
            }
        }
        if base.use_agent.unwrap_or(ways.is_empty()) {
            ways.push(Auth::Agent { socket: None });
        }
        Ok(ways)
    }

    fn trust(&self, base: &Self) -> Result<Trust, Diagnostic> {
        if let Some(pins) = &self.host_keys {
            return Ok(Trust::Pinned(pins.clone()));
        }
        match self.known_hosts_files.as_ref().or(base.known_hosts_files.as_ref()) {
            Some(files) => {
                let files = files.iter().map(|file| expand(file)).collect::<Result<_, _>>()?;
                Ok(Trust::KnownHosts { files })
            }
            None => Ok(Trust::default_known_hosts()),
        }
    }
}

/// `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
pub(crate) fn split_port(text: &str) -> (&str, Option<u16>) {
    let unbracketed =
        |host: &'_ str| host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).map(str::len).is_some();
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || unbracketed(host) => match port.parse() {
            Ok(port) => (host.trim_start_matches('[').trim_end_matches(']'), Some(port)),
            Err(_) => (text, None),
        },
        _ => (text.trim_start_matches('[').trim_end_matches(']'), None),
    }
}

/// Who runs Terraform, as `ssh` itself would assume.
fn local_user() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned())
}

fn expand(path: &str) -> Result<PathBuf, Diagnostic> {
    let Some(rest) = path.strip_prefix("~/") else { return Ok(path.into()) };
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(rest)),
        None => {
            let detail = format!("Cannot use {path:?}: the environment has no HOME. Write the whole path.");
            Err(Diagnostic::error("No home directory", detail).at(Path::of("ssh")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn settings<const N: usize>(members: [(&str, Value); N]) -> SshSettings {
        SshSettings::decode(&Value::object(members), &Path::of("ssh")).unwrap()
    }

    fn known(files: [&str; 1]) -> Trust {
        Trust::KnownHosts { files: files.iter().map(PathBuf::from).collect() }
    }

    #[test]
    fn a_node_takes_from_the_provider_what_it_does_not_set() {
        let base = settings([
            ("user", "ubuntu".into()),
            ("port", 2222_u16.into()),
            ("private_key_file", "/k".into()),
            ("known_hosts_files", Value::list(["/kh"])),
            ("connect_timeout", "5s".into()),
        ]);
        let target = settings([("host", "10.0.0.1".into())]).target(&base).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.user.as_str()), ("10.0.0.1", 2222, "ubuntu"));
        assert_eq!(target.auth, [Auth::KeyFile { path: "/k".into(), passphrase: None }]);
        assert_eq!(target.trust, known(["/kh"]));
        assert_eq!(target.escalate, Escalate::Sudo);
        assert_eq!(target.connect_timeout, Duration::from_secs(5));
    }

    #[test]
    fn what_a_node_sets_wins() {
        let base = settings([
            ("user", "ubuntu".into()),
            ("become", "sudo".into()),
            ("known_hosts_files", Value::list(["/kh"])),
        ]);
        let node = settings([
            ("host", "h1".into()),
            ("user", "root".into()),
            ("port", 22_u16.into()),
            ("become", "none".into()),
            ("host_keys", Value::list([KEY])),
        ]);
        let target = node.target(&base).unwrap();
        assert_eq!((target.user.as_str(), target.escalate), ("root", Escalate::None));
        assert_eq!(target.trust, Trust::Pinned(vec![KEY.parse().unwrap()]));
        assert_eq!(target.auth, [Auth::Agent { socket: None }], "without any key the agent is asked");
    }

    #[test]
    fn root_needs_no_sudo_and_others_do() {
        let escalate = |user: &str| {
            settings([("host", "h".into()), ("user", user.into())])
                .target(&SshSettings::default())
                .unwrap()
                .escalate
        };
        assert_eq!((escalate("root"), escalate("admin")), (Escalate::None, Escalate::Sudo));
    }

    #[test]
    fn a_bastion_has_its_own_port_and_key_check() {
        let bastion =
            Value::object([("host", Value::from("203.0.113.7")), ("host_keys", Value::list([KEY]))]);
        let base = settings([
            ("user", "ubuntu".into()),
            ("port", 2222_u16.into()),
            ("known_hosts_files", Value::list(["/kh"])),
            ("bastion", bastion),
        ]);
        let target = settings([("host", "10.0.0.1".into())]).target(&base).unwrap();
        let bastion = target.bastion.unwrap();
        assert_eq!(
            (bastion.host.as_str(), bastion.port, bastion.user.as_str()),
            ("203.0.113.7", 22, "ubuntu")
        );
        assert_eq!(bastion.trust, Trust::Pinned(vec![KEY.parse().unwrap()]));
        assert_eq!((bastion.escalate, bastion.bastion), (Escalate::None, None));
        assert_eq!(target.trust, known(["/kh"]));
    }

    #[test]
    fn a_private_key_is_shown_nowhere() {
        let text = format!("{:?}", settings([("private_key", "-----BEGIN hunter2".into())]));
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn hosts_may_carry_a_port() {
        assert_eq!(split_port("h1"), ("h1", None));
        assert_eq!(split_port("h1:2222"), ("h1", Some(2222)));
        assert_eq!(split_port("[fd00::1]:2222"), ("fd00::1", Some(2222)));
        assert_eq!(split_port("fd00::1"), ("fd00::1", None));
        assert_eq!(split_port("[fd00::1]"), ("fd00::1", None));
    }
}
