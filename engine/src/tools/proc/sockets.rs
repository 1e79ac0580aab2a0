// SPDX-License-Identifier: MPL-2.0
//! `/proc/net/tcp` and `/proc/net/tcp6`: where something listens, DRBD's own kernel sockets included. Not here:
//! who listens, which these files do not say.

use crate::tools::ToolError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FILE: &str = "/proc/net/tcp";
/// The kernel's `TCP_LISTEN`.
const LISTEN: &str = "0A";

/// The sockets in the text of either file that listen, in the order of the file.
///
/// # Errors
///
/// [`ToolError`] when a line is not one of a socket.
pub fn parse_listening(text: &str) -> Result<Vec<SocketAddr>, ToolError> {
    let mut sockets = Vec::new();
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(local), Some(state)) = (words.nth(1), words.nth(1)) else {
            return Err(ToolError::malformed(
                FILE,
                "socket",
                "number, local and remote address, state",
                line,
            ));
        };
        let Some(local) = endpoint(local) else {
            return Err(ToolError::malformed(FILE, "address", "8 or 32 digits, a colon, 4 digits", line));
        };
        if state == LISTEN {
            sockets.push(local);
        }
    }
    Ok(sockets)
}

/// `0B00630A:1B58`: words of 32 bits in the byte order of the machine, and the port as a number.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a lab host: sshd on port 22, and one connection to it.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1290 1 0000000072b29c00 100 0 0 10 0
   1: 0B00630A:0016 0100630A:B2C4 01 00000000:00000000 02:0009D2B6 00000000     0        0 3071 2 0000000071fcd400 20 4 30 10 -1
";

    #[test]
    fn only_listening_sockets_count() {
        let one =
            |text: &str| parse_listening(text).map(|found| found.iter().map(ToString::to_string).collect());
        assert_eq!(one(TCP), Ok(vec!["0.0.0.0:22".to_owned()]));
        let own = TCP.replace("00000000:0016 00000000:0000 0A", "0B00630A:1B58 00000000:0000 0A");
        assert_eq!(one(&own), Ok(vec!["10.99.0.11:7000".to_owned()]));
        let six = TCP.replace("00000000:0016 ", "0000000000000000FFFF00000B00630A:0016 ");
        assert_eq!(one(&six), Ok(vec!["[::ffff:10.99.0.11]:22".to_owned()]));
        assert_eq!(one(""), Ok(Vec::new()));
        assert!(parse_listening("header\n 0: nonsense\n").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(text in "([0-9a-fA-F: \n]{0,8}|[[:print:]\n]{0,20}){0,12}") {
            let _ = parse_listening(&text);
        }
    }
}
