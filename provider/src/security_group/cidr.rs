// SPDX-License-Identifier: MPL-2.0
//! Address ranges as EC2 writes them. Pure.

use std::net::IpAddr;

/// Checks a range: as EC2 would write it, so that what is read back is what was declared.
///
/// # Errors
/// With what is wrong, and the range that was meant where that is clear.
pub(super) fn check(text: &str) -> Result<(), String> {
    let malformed = || format!("{text:?} is no address range, such as 203.0.113.0/24 or 2001:db8::/32");
    let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(malformed)?;
    let network = format!("{}/{prefix}", first(address, prefix));
    if network == text {
        Ok(())
    } else {
        Err(format!("{text:?} is written {network:?} in EC2, and would be read back so; write it like that"))
    }
}

/// Whether a range is everything.
pub(super) fn is_world(text: &str) -> bool {
    text.split_once('/').is_some_and(|(_, prefix)| prefix.parse() == Ok(0_u8))
}

fn first(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(32 - prefix).unwrap_or_default()).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(128 - prefix).unwrap_or_default()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_as_ec2_writes_it() {
        for good in ["203.0.113.0/24", "10.0.0.1/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "", "10.0.0/8"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("10.0.0.5/24").unwrap_err().contains("10.0.0.0/24"));
        assert!(check("2001:DB8:0::/32").unwrap_err().contains("2001:db8::/32"));
    }

    #[test]
    fn everything_is_the_world_in_any_words() {
        assert!(is_world("0.0.0.0/0") && is_world("::/0") && is_world("1.2.3.4/0") && is_world("::/00"));
        assert!(!is_world("10.0.0.0/8") && !is_world("::/1"));
    }
}
