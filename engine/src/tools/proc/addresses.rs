// SPDX-License-Identifier: MPL-2.0
//! `/proc/net/fib_trie` and `/proc/net/if_inet6`: the addresses that a host has. Not here: interfaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of one host: networks whose addresses are all its own (`127.0.0.0/8`), and single ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses(Vec<(IpAddr, u8)>);

impl OwnAddresses {
    /// The host has this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(own, length)| match (own, address) {
            (IpAddr::V4(own), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from((*length).min(32))).unwrap_or(0);
                own.to_bits() & mask == address.to_bits() & mask
            }
            (own, address) => *own == address,
        })
    }

    /// Nothing is known of them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that another host could reach, in words.
    pub fn reachable(&self) -> String {
        let outside = |(address, length): &&(IpAddr, u8)| match address {
            IpAddr::V4(v4) => *length == 32 && !v4.is_loopback(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        self.0.iter().filter(outside).map(|(address, _)| address.to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Reads both files.
pub fn parse_own_addresses(fib_trie: &str, if_inet6: &str) -> OwnAddresses {
    let mut found: Vec<(IpAddr, u8)> = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if let (Some(length), Some(address)) =
            (line.strip_prefix('/').and_then(|rest| rest.strip_suffix(" host LOCAL")), leaf)
        {
            found.extend(length.parse().ok().map(|length| (address.into(), length)));
        }
    }
    found.extend(if_inet6.lines().filter_map(|line| {
        let digits = line.split_whitespace().next().filter(|digits| digits.len() == 32)?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some((Ipv6Addr::from_bits(bits).into(), 128))
    }));
    // The same tables stand under `Main` and `Local`.
    found.sort_unstable();
    found.dedup();
    OwnAddresses(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIB_TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
           |-- 192.0.2.0
              /24 link UNICAST
           |-- 192.0.2.2
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
";
    const IF_INET6: &str = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
00000000000000000000000000000001 01 80 10 80       lo
";

    #[test]
    fn own_addresses_are_told_from_networks_and_broadcasts() {
        let own = parse_own_addresses(FIB_TRIE, IF_INET6);
        let has = |address: &str| own.contains(address.parse().unwrap());
        for here in ["192.0.2.2", "127.0.0.1", "127.77.0.3", "fd00::2", "::1"] {
            assert!(has(here), "{here}");
        }
        for elsewhere in ["192.0.2.3", "192.0.2.255", "192.0.2.0", "10.0.0.1", "fd00::3"] {
            assert!(!has(elsewhere), "{elsewhere}");
        }
        assert_eq!(own.reachable(), "192.0.2.2, fd00::2");
        assert!(parse_own_addresses("", "").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(fib in "([|/+ -]{0,3}[0-9a-z. ]{0,12}(host LOCAL)?\n){0,9}", six in any::<String>(), address: u32) {
            let _ = parse_own_addresses(&fib, &six).contains(Ipv4Addr::from_bits(address).into());
        }
    }
}
