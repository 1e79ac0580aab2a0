// SPDX-License-Identifier: MPL-2.0
//! A meeting of hosts on their replication ports: what is asked of the network, what came of it, and the words that two
//! hosts exchange there. The sockets are behind [`crate::host::Host::meet`].

use crate::host::{HostError, Process};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// What a host is asked to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The resource whose ports these are.
    pub resource: String,
    /// This host, as peers know it.
    pub node: String,
    /// To each peer, over each path.
    pub ways: Vec<Way>,
    /// All hosts do it now: this one listens, and only what peers answer counts. Else a refusal that comes back does.
    pub together: bool,
    /// When to give up.
    pub within: Duration,
}

/// One path to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The peer.
    pub peer: String,
    /// Where this host listens, and the address from which it connects.
    pub from: SocketAddr,
    /// Where the peer listens.
    pub to: SocketAddr,
}

/// What came of one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// This host's last attempt to connect.
    pub knock: Knock,
    /// The peer's connection arrived here.
    pub heard: bool,
}

/// An attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knock {
    /// The peer itself answered.
    Answered,
    /// Another host did, or the peer for another resource.
    Other(String),
    /// Something took the connection and did not speak our words: DRBD of a peer that is up, for example.
    Accepted,
    /// The port is closed: the refusal came back.
    Refused,
    /// Nothing came back, or that there is no way.
    Failed(String),
}

impl Met {
    /// Nothing is left to prove on this way.
    pub fn is_open(&self, together: bool) -> bool {
        match &self.knock {
            Knock::Answered => !together || self.heard,
            // Whatever has the peer's port does not knock here.
            Knock::Accepted => true,
            Knock::Refused => !together,
            Knock::Other(_) | Knock::Failed(_) => false,
        }
    }
}

/// Why nothing could be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMeeting {
    /// Something has the port.
    #[error("TCP port {} is taken: {} listens on it", at.port(), by.as_ref().map_or("something without a process of its own".to_owned(), ToString::to_string))]
    Taken {
        /// Where this host wanted to listen.
        at: SocketAddr,
        /// Who does, where a process does.
        by: Option<Process>,
    },
    /// The address belongs to no interface of this host.
    #[error("{} is no address of this host", .0.ip())]
    NotHere(SocketAddr),
    /// Anything else.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What hosts say first on a connection, both ways: for which resource, who, and where they listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The resource.
    pub resource: String,
    /// Who speaks.
    pub node: String,
    /// Where the speaker listens.
    pub at: SocketAddr,
}

/// First words of a card. DRBD's packets begin otherwise, and a DRBD that reads this hangs up and tries again.
const HEAD: &str = "drbd-host ports 1";

impl Card {
    /// More bytes than any card has.
    pub const LIMIT: usize = 512;

    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.strip_prefix(HEAD)?.strip_prefix(' ')?.split(' ');
        let card = Self {
            resource: words.next()?.to_owned(),
            node: words.next()?.to_owned(),
            at: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(card)
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD} {} {} {}", self.resource, self.node, self.at)
    }
}

impl Meeting {
    /// What this host says on a connection of a way.
    pub fn card(&self, way: &Way) -> Card {
        Card { resource: self.resource.clone(), node: self.node.clone(), at: way.from }
    }

    /// The way whose peer speaks on a connection that arrived at `here`.
    pub fn way_of(&self, card: &Card, here: SocketAddr) -> Option<usize> {
        let is_it = |way: &Way| way.peer == card.node && way.to == card.at && way.from == here;
        self.ways.iter().position(is_it).filter(|_| card.resource == self.resource)
    }

    /// What it means that this card came back from a way.
    pub fn answered_by(&self, way: &Way, card: &Card) -> Knock {
        match (card.node == way.peer, card.resource == self.resource) {
            (true, true) => Knock::Answered,
            (false, _) => Knock::Other(card.node.clone()),
            (true, false) => Knock::Other(format!("{} for resource {}", card.node, card.resource)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn meeting() -> Meeting {
        let way = Way { peer: "h2".into(), from: at("10.0.0.1:7000"), to: at("[fd00::2]:7001") };
        let within = Duration::from_secs(1);
        Meeting { resource: "r0".into(), node: "h1".into(), ways: vec![way], together: true, within }
    }

    fn card(resource: &str, node: &str, where_: &str) -> Card {
        Card { resource: resource.into(), node: node.into(), at: at(where_) }
    }

    #[test]
    fn a_peer_is_known_by_its_name_its_resource_and_both_addresses() {
        let meeting = meeting();
        let here = at("10.0.0.1:7000");
        assert_eq!(meeting.way_of(&card("r0", "h2", "[fd00::2]:7001"), here), Some(0));
        for other in [
            card("r1", "h2", "[fd00::2]:7001"),
            card("r0", "h3", "[fd00::2]:7001"),
            card("r0", "h2", "[fd00::2]:7000"),
        ] {
            assert_eq!(meeting.way_of(&other, here), None, "{other}");
        }
        assert_eq!(meeting.way_of(&card("r0", "h2", "[fd00::2]:7001"), at("10.0.0.1:7009")), None);
    }

    #[test]
    fn only_the_peer_itself_answers() {
        let meeting = meeting();
        let said =
            |resource, node| meeting.answered_by(&meeting.ways[0], &card(resource, node, "10.0.0.9:1"));
        assert_eq!(said("r0", "h2"), Knock::Answered);
        assert_eq!(said("r0", "h3"), Knock::Other("h3".into()));
        assert_eq!(said("r1", "h2"), Knock::Other("h2 for resource r1".into()));
    }

    #[test]
    fn a_refusal_is_a_proof_only_where_nobody_listens() {
        let met = |knock, heard| Met { knock, heard };
        assert!(met(Knock::Refused, false).is_open(false));
        assert!(!met(Knock::Refused, true).is_open(true));
        assert!(!met(Knock::Answered, false).is_open(true), "the way back is not proven");
        assert!(met(Knock::Answered, true).is_open(true));
        assert!(!met(Knock::Failed("no answer".into()), true).is_open(false));
    }

    proptest! {
        #[test]
        fn cards_are_read_as_they_were_written(resource in "[a-z][a-z0-9_.-]{0,40}", node in "[a-z][a-z0-9.-]{0,60}", port: u16) {
            for at in [format!("10.0.0.1:{port}"), format!("[fd00::1]:{port}")] {
                let card = card(&resource, &node, &at);
                let line = card.to_string();
                prop_assert!(line.len() <= Card::LIMIT);
                prop_assert_eq!(Card::parse(&line), Some(card));
            }
        }

        #[test]
        fn any_line_is_taken_or_not(line in r"(drbd-host ports 1 )?.{0,60}\n?") {
            let _ = Card::parse(&line);
        }
    }
}
