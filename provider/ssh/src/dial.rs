// SPDX-License-Identifier: MPL-2.0
//! From a host name to a byte stream.
//!
//! Name resolution, TCP to several addresses with a head start for the first, and the stream that can be cut off.
//! Deliberately not here: SSH (`link`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::SshError;
use crate::target::Target;

/// How long an address is tried alone before the next one joins (as in RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// A TCP connection to the target, within its `connect_timeout`.
///
/// # Errors
/// [`SshError::Unresolvable`] or [`SshError::Unreachable`].
pub(crate) async fn tcp(target: &Target) -> Result<TcpStream, SshError> {
    let start = Instant::now();
    let deadline = start + target.connect_timeout;
    let unreachable = |last: String| SshError::Unreachable {
        host: target.host.clone(),
        port: target.port,
        after: start.elapsed(),
        last,
    };
    let resolved = timeout_at(deadline, lookup_host((target.host.as_str(), target.port))).await;
    let addresses: Vec<SocketAddr> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            return Err(SshError::Unresolvable { host: target.host.clone(), last: error.to_string() });
        }
        Err(_) => return Err(unreachable("the name server does not answer".to_owned())),
    };
    match timeout_at(deadline, first_of(addresses)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(last)) => Err(unreachable(last)),
        Err(_) => Err(unreachable("no answer to the TCP connection".to_owned())),
    }
}

/// The first address that answers. All failures are told, because the last alone is often the least interesting.
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    let mut waiting = addresses.into_iter();
    let mut trying = JoinSet::new();
    let mut failures = Vec::new();
    let start_next = |trying: &mut JoinSet<_>, waiting: &mut std::vec::IntoIter<SocketAddr>| {
        if let Some(address) = waiting.next() {
            trying.spawn(async move { (address, TcpStream::connect(address).await) });
        }
    };
    start_next(&mut trying, &mut waiting);
    loop {
        tokio::select! {
            ended = trying.join_next() => match ended {
                None => break,
                Some(Ok((_, Ok(stream)))) => {
                    // Small requests and answers: waiting to fill packets costs 40 ms each.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Ok((address, Err(error)))) => {
                    failures.push(format!("{}: {error}", address.ip()));
                    start_next(&mut trying, &mut waiting);
                }
                Some(Err(error)) => failures.push(error.to_string()),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => start_next(&mut trying, &mut waiting),
        }
    }
    Err(if failures.is_empty() { "the name has no address".to_owned() } else { failures.join(", ") })
}

/// Ends a [`Cuttable`] stream when it is dropped.
///
/// russh runs the handshake in a task of its own, which a dropped connect future would leave behind: with a server
/// that says hello and then nothing, for ever.
#[derive(Debug)]
pub(crate) struct Scissors {
    keep: oneshot::Sender<()>,
    heard: Arc<AtomicBool>,
}

impl Scissors {
    /// Whether the other side has sent anything yet.
    pub(crate) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Leaves the stream uncut for good.
    pub(crate) fn put_away(self) {
        // A message, unlike a drop, lets the stream go on.
        let _ = self.keep.send(());
    }
}

/// A stream whose reads and writes fail once its [`Scissors`] are dropped.
#[derive(Debug)]
pub(crate) struct Cuttable<S> {
    stream: S,
    cut: Option<oneshot::Receiver<()>>,
    is_cut: bool,
    heard: Arc<AtomicBool>,
}

impl<S> Cuttable<S> {
    /// The stream and its scissors.
    pub(crate) fn new(stream: S) -> (Self, Scissors) {
        let (keep, cut) = oneshot::channel();
        let heard = Arc::new(AtomicBool::new(false));
        (Self { stream, cut: Some(cut), is_cut: false, heard: Arc::clone(&heard) }, Scissors { keep, heard })
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut {
            match Pin::new(cut).poll(cx) {
                Poll::Pending => {}
                Poll::Ready(kept) => {
                    self.cut = None;
                    self.is_cut = kept.is_err();
                }
            }
        }
        if self.is_cut {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))
        } else {
            Ok(())
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn dropped_scissors_end_a_waiting_read() {
        let (mut far, near) = duplex(16);
        let (mut near, scissors) = Cuttable::new(near);
        far.write_all(b"hello").await.unwrap();
        let mut buf = [0; 5];
        near.read_exact(&mut buf).await.unwrap();
        assert!(scissors.heard());
        let reading = tokio::spawn(async move { near.read_exact(&mut [0; 1]).await });
        tokio::task::yield_now().await;
        drop(scissors);
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn scissors_put_away_cut_nothing() {
        let (mut far, near) = duplex(16);
        let (mut near, scissors) = Cuttable::new(near);
        assert!(!scissors.heard());
        scissors.put_away();
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = closed.local_addr().unwrap();
        drop(closed);
        assert!(first_of(vec![refused, open.local_addr().unwrap()]).await.is_ok());
        let error = first_of(vec![refused]).await.unwrap_err();
        assert!(error.starts_with("127.0.0.1: "), "{error}");
        assert!(first_of(Vec::new()).await.is_err());
    }
}
