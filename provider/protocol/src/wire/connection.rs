// SPDX-License-Identifier: MPL-2.0
//! From a listening socket to connections that the gRPC server takes. Each TLS handshake has its own task and a
//! deadline, so a stuck peer blocks nobody.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::socket::Listener;

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(15);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An established connection, encrypted or plain.
pub(crate) struct Connection(Box<dyn Stream>);

impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// Accepts connections for as long as the returned stream lives.
pub(crate) fn accept(
    listener: Listener,
    tls: Option<Arc<ServerConfig>>,
) -> ReceiverStream<Result<Connection, io::Error>> {
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        let acceptor = tls.map(TlsAcceptor::from);
        while !sender.is_closed() {
            match listener.accept().await {
                Ok(stream) => {
                    tokio::spawn(establish(stream, acceptor.clone(), sender.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give the others time to close some.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn establish(
    stream: Box<dyn Stream>,
    acceptor: Option<TlsAcceptor>,
    sender: mpsc::Sender<Result<Connection, io::Error>>,
) {
    let connection = match acceptor {
        None => Connection(stream),
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Connection(Box::new(stream)),
            Ok(Err(error)) => return tracing::warn!("refused a connection: {error}"),
            Err(_) => {
                return tracing::warn!("dropped a connection: no TLS handshake within {HANDSHAKE_MAX:?}");
            }
        },
    };
    // Fails only when the server has ended.
    let _ = sender.send(Ok(connection)).await;
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Listener::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}
