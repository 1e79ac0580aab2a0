// SPDX-License-Identifier: MPL-2.0
//! SSH host keys from what a new instance prints on its console.
//!
//! cloud-init prints the public keys between two markers. Whatever runs as root in the guest can print there, and nobody
//! outside of it can: the text comes from AWS over TLS, by instance id. Pure: fetching it is in `instance.rs`.

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";

/// A host key as in a `.pub` file, without the comment: `ssh-ed25519 AAAA…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostKey(String);

impl HostKey {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The line of a `known_hosts` file for a host.
    pub fn known_hosts_line(&self, host: &str) -> String {
        format!("{host} {}", self.0)
    }

    fn read(line: &str) -> Option<Self> {
        // A line may begin with a time stamp or with cloud-init's own "ci-info:" and the like.
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| is_algorithm(word))?;
        let (algorithm, blob) = (words.get(at)?, words.get(at + 1)?);
        let sound = blob.len() >= 40
            && blob.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        sound.then(|| Self(format!("{algorithm} {blob}")))
    }
}

fn is_algorithm(word: &str) -> bool {
    matches!(word, "ssh-ed25519" | "ssh-rsa") || word.starts_with("ecdsa-sha2-nistp")
}

/// The keys in the last complete block of a console's text; empty while there is none. The last block counts, because the
/// console keeps the output of earlier boots, and keys can have been made anew since.
pub fn host_keys(console: &str) -> Vec<HostKey> {
    let Some((before, _)) = console.rsplit_once(END) else { return Vec::new() };
    let Some((_, block)) = before.rsplit_once(BEGIN) else { return Vec::new() };
    let mut keys: Vec<HostKey> = block.lines().filter_map(HostKey::read).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const ED2: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1MHrzPXCxcDjZy3VZGgVdmuAT+l1REnVR9xHUF0G8q";
    const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBK";

    fn block(lines: &[&str]) -> String {
        format!("{BEGIN}\r\n{}\r\n{END}\r\n", lines.join("\r\n"))
    }

    fn texts(console: &str) -> Vec<String> {
        host_keys(console).into_iter().map(|key| key.0).collect()
    }

    #[test]
    fn keys_are_read_with_and_without_prefixes() {
        let console = format!(
            "[   12.3] Linux\r\nec2: {}",
            block(&[&format!("{EC} root@ip-10-0-0-1"), &format!("[   21.5] cloud-init[901]: {ED} root@x")])
        );
        assert_eq!(texts(&console), [EC, ED]);
    }

    #[test]
    fn the_last_boot_counts() {
        assert_eq!(texts(&format!("{}{}", block(&[ED]), block(&[ED2]))), [ED2]);
    }

    #[test]
    fn half_a_block_is_none() {
        assert_eq!(texts(&format!("{BEGIN}\n{ED}\n")), [] as [String; 0]);
        assert_eq!(texts(&format!("{ED}\n{END}\n")), [] as [String; 0]);
        assert_eq!(texts(""), [] as [String; 0]);
        // A second block that is still being printed does not hide the first.
        assert_eq!(texts(&format!("{}{BEGIN}\n{ED2}", block(&[ED]))), [ED]);
    }

    #[test]
    fn what_is_no_key_is_left_out() {
        let console = block(&["ssh-ed25519 short", "ssh-ed25519", "ssh-dss AAAAB3NzaC1kc3MAAACBAP", ED, ED]);
        assert_eq!(texts(&console), [ED]);
    }

    #[test]
    fn known_hosts_names_the_host() {
        let console = block(&[ED]);
        assert_eq!(host_keys(&console)[0].known_hosts_line("10.0.0.1"), format!("10.0.0.1 {ED}"));
    }
}
