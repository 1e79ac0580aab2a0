// SPDX-License-Identifier: MPL-2.0
//! Sockets on replication ports: listens on this host's, connects to those of the peers, until every way is open both ways
//! or the time is over. What that means is decided in the engine.
//!
//! As DRBD does, a connection comes from the very address that this host replicates from: a route that takes another one
//! would prove nothing.

use crate::stop::Stop;
use crate::users;
use drbd_engine::host::HostError;
use drbd_engine::meeting::{Card, Knock, Meeting, Met, NoMeeting, Way};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

/// One attempt to connect: long enough for two lost packets.
const ATTEMPT: Duration = Duration::from_secs(4);
/// An attempt that was not cut off: a lost packet is sent again after a second.
const WHOLE_ATTEMPT: Duration = Duration::from_secs(1);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);
/// How long the other side may take to say who it is.
const CARD: Duration = Duration::from_secs(2);
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// Meets the peers.
pub(crate) fn meet(meeting: &Meeting, stop: &Stop) -> Result<Vec<Met>, NoMeeting> {
    let listeners = listen(meeting)?;
    let unknown = Met { knock: Knock::Failed("not tried".to_owned()), heard: false };
    let met = Mutex::new(vec![unknown; meeting.ways.len()]);
    let round = Round { meeting, met, until: Instant::now() + meeting.within, stop };
    thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(|| round.welcome(scope, listener));
        }
        for (number, way) in meeting.ways.iter().enumerate() {
            let round = &round;
            scope.spawn(move || round.knock(number, way));
        }
    });
    if let Some(by) = stop.requested() {
        return Err(HostError::Interrupted { by }.into());
    }
    Ok(round.met.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Takes every port of this host, also where nobody will connect: that it is free is part of the answer.
fn listen(meeting: &Meeting) -> Result<Vec<TcpListener>, NoMeeting> {
    let own: BTreeSet<SocketAddr> = meeting.ways.iter().map(|way| way.from).collect();
    own.into_iter()
        .map(|at| {
            let listener = TcpListener::bind(at).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            listener.map_err(|error| no_listener(at, &error))
        })
        .collect()
}

fn no_listener(at: SocketAddr, error: &io::Error) -> NoMeeting {
    match error.kind() {
        io::ErrorKind::AddrInUse => NoMeeting::Taken { at, by: users::listening_at(at) },
        io::ErrorKind::AddrNotAvailable => NoMeeting::NotHere(at),
        _ => HostError::Os { what: format!("listen on {at}"), reason: error.to_string() }.into(),
    }
}

/// One meeting while it runs.
struct Round<'a> {
    meeting: &'a Meeting,
    met: Mutex<Vec<Met>>,
    until: Instant,
    stop: &'a Stop,
}

impl Round<'_> {
    fn is_over(&self) -> bool {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.iter().all(|met| met.is_open(self.meeting.together))
            || Instant::now() >= self.until
            || self.stop.requested().is_some()
    }

    fn note(&self, number: usize, what: impl FnOnce(&mut Met)) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(met) = met.get_mut(number) {
            what(met);
        }
    }

    /// Takes connections until all is over.
    fn welcome<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, listener: &'scope TcpListener) {
        while !self.is_over() {
            match listener.accept() {
                // Each by itself: one that says nothing must not keep the others waiting.
                Ok((stream, _)) => {
                    scope.spawn(move || self.greet(stream));
                }
                Err(_) => drop(wait_for(listener, PollFlags::IN, LOOK)),
            }
        }
    }

    /// Says who is here, and notes who came. A stranger gets no answer.
    fn greet(&self, mut stream: TcpStream) {
        let Ok(here) = stream.local_addr() else { return };
        let Some(card) = read_card(&stream) else { return };
        let Some(way) = self.meeting.ways.iter().find(|way| way.from == here) else { return };
        let answered = stream.write_all(self.meeting.card(way).to_string().as_bytes());
        if let (Ok(()), Some(number)) = (answered, self.meeting.way_of(&card, here)) {
            self.note(number, |met| met.heard = true);
        }
    }

    /// Connects to a peer until that is proven, or all is over.
    fn knock(&self, number: usize, way: &Way) {
        loop {
            let began = Instant::now();
            let knock = self.attempt(way);
            // What ends with the time that is given, sooner than a packet may need, tells nothing.
            let cut_off = Instant::now() >= self.until && began.elapsed() < WHOLE_ATTEMPT;
            let mut done = false;
            self.note(number, |met| {
                if !(cut_off && matches!(knock, Knock::Failed(_))) && tells_more(&knock, &met.knock) {
                    met.knock = knock;
                }
                done = met.knock == Knock::Answered || met.is_open(self.meeting.together);
            });
            if done || self.is_over() {
                return;
            }
            thread::sleep(BETWEEN_ATTEMPTS);
        }
    }

    fn attempt(&self, way: &Way) -> Knock {
        match self.connect(way) {
            Ok(mut stream) => {
                let said = stream.write_all(self.meeting.card(way).to_string().as_bytes());
                match said.ok().and_then(|()| read_card(&stream)) {
                    Some(card) => self.meeting.answered_by(way, &card),
                    None => Knock::Accepted,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Knock::Refused,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Knock::Failed("no answer".to_owned()),
            Err(error) => Knock::Failed(error.to_string()),
        }
    }

    /// A connection from the address of this host that the way begins at.
    fn connect(&self, way: &Way) -> io::Result<TcpStream> {
        let family = if way.to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddr::new(way.from.ip(), 0))?;
        match connect(&socket, &way.to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let until = self.until.min(Instant::now() + ATTEMPT);
        while !wait_for(&socket, PollFlags::OUT, LOOK)? {
            if Instant::now() >= until || self.stop.requested().is_some() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        sockopt::socket_error(&socket)??;
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// The last attempt counts; but somebody else's answer is not forgotten because he left.
fn tells_more(new: &Knock, old: &Knock) -> bool {
    !(matches!(old, Knock::Other(_)) && matches!(new, Knock::Refused | Knock::Failed(_)))
}

/// Whether something happened within that time.
fn wait_for(socket: &impl AsFd, what: PollFlags, within: Duration) -> io::Result<bool> {
    let within = Timespec::try_from(within).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(socket, what)], Some(&within)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Who is at the other end; `None` for a stranger.
fn read_card(stream: &TcpStream) -> Option<Card> {
    stream.set_read_timeout(Some(CARD)).ok()?;
    stream.set_write_timeout(Some(CARD)).ok()?;
    let mut line = String::new();
    let limit = u64::try_from(Card::LIMIT).ok()?;
    BufReader::new(stream.take(limit)).read_line(&mut line).ok()?;
    Card::parse(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that is free now; loopback has 127.0.0.0/8, so every test takes an address of its own.
    fn free(host: u8) -> SocketAddr {
        TcpListener::bind((format!("127.77.0.{host}"), 0)).unwrap().local_addr().unwrap()
    }

    fn meeting(node: &str, from: SocketAddr, peers: &[(&str, SocketAddr)]) -> Meeting {
        let ways = peers.iter().map(|(peer, to)| Way { peer: (*peer).to_owned(), from, to: *to }).collect();
        let within = Duration::from_secs(10);
        Meeting { resource: "r0".into(), node: node.into(), ways, together: true, within }
    }

    fn short(meeting: Meeting) -> Meeting {
        Meeting { within: Duration::from_millis(700), ..meeting }
    }

    fn hold(meeting: &Meeting) -> Result<Vec<Met>, NoMeeting> {
        meet(meeting, &Stop::catch().unwrap())
    }

    #[test]
    fn three_that_meet_prove_every_way_and_leave_their_ports() {
        let at = [free(1), free(2), free(3)];
        let names = ["h1", "h2", "h3"];
        let started = Instant::now();
        let met: Vec<_> = thread::scope(|scope| {
            let hosts = (0..3).map(|me| {
                let peers: Vec<_> = (0..3).filter(|i| *i != me).map(|i| (names[i], at[i])).collect();
                let meeting = meeting(names[me], at[me], &peers);
                scope.spawn(move || hold(&meeting).unwrap())
            });
            let hosts: Vec<_> = hosts.collect();
            hosts.into_iter().flat_map(|host| host.join().unwrap()).collect()
        });
        assert_eq!(met.len(), 6);
        assert!(met.iter().all(|met| met.heard && met.knock == Knock::Answered), "{met:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        for at in at {
            TcpListener::bind(at).unwrap();
        }
    }

    #[test]
    fn a_closed_port_and_a_stranger_are_told_apart() {
        let here = free(11);
        let closed = free(12);
        let stranger = TcpListener::bind("127.77.0.13:0").unwrap();
        let there = stranger.local_addr().unwrap();
        let hangs_up = thread::spawn(move || drop(stranger.accept().unwrap()));
        let found = hold(&short(meeting("h1", here, &[("h2", closed), ("h3", there)]))).unwrap();
        hangs_up.join().unwrap();
        assert_eq!(found[0], Met { knock: Knock::Refused, heard: false });
        assert_eq!(found[1], Met { knock: Knock::Accepted, heard: false });
    }

    #[test]
    fn another_host_at_the_address_of_a_peer_is_named() {
        let (one, two) = (free(21), free(22));
        let found = thread::scope(|scope| {
            let other = scope.spawn(|| hold(&short(meeting("h9", two, &[("h1", one)]))).unwrap());
            let found = hold(&short(meeting("h1", one, &[("h2", two)]))).unwrap();
            assert!(other.join().unwrap()[0].knock == Knock::Answered);
            found
        });
        assert_eq!(found, [Met { knock: Knock::Other("h9".into()), heard: false }]);
    }

    #[test]
    fn a_port_of_another_program_is_named_with_it() {
        let taken = TcpListener::bind("127.77.0.31:0").unwrap();
        let at = taken.local_addr().unwrap();
        let Err(NoMeeting::Taken { by: Some(by), .. }) = hold(&meeting("h1", at, &[("h2", free(32))])) else {
            panic!("the port was taken")
        };
        assert_eq!(by.pid, std::process::id());
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        // TEST-NET-1 belongs to nobody.
        let at: SocketAddr = "192.0.2.1:7000".parse().unwrap();
        assert_eq!(hold(&meeting("h1", at, &[("h2", free(42))])), Err(NoMeeting::NotHere(at)));
    }
}
