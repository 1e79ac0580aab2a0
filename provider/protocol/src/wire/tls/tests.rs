// SPDX-License-Identifier: MPL-2.0
//! Handshakes with the certificates that a host makes: the right one, none, another one.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

const CLIENT: (&str, &str) = (
    include_str!("../../../tests/certificates/client.pem"),
    include_str!("../../../tests/certificates/client.key.pem"),
);
const OTHER: (&str, &str) = (
    include_str!("../../../tests/certificates/other.pem"),
    include_str!("../../../tests/certificates/other.key.pem"),
);

/// Trusts exactly the certificate of the handshake line, as hosts do.
#[derive(Debug)]
struct PinnedServer(Vec<u8>);

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(end_entity.as_ref(), self.0, "the server shows the announced certificate");
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client_config(
    server: &Tls,
    identity: Option<(&str, &str)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let pinned = PinnedServer(STANDARD_NO_PAD.decode(&server.certificate).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned));
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    }
}

/// Connects, sends a byte each way, and tells what the server saw of the client.
async fn connect(
    identity: Option<(&str, &str)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> io::Result<(ProtocolVersion, bool)> {
    let server = Tls::new(CLIENT.0).unwrap();
    let mut config = client_config(&server, identity, versions);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (near, far) = tokio::io::duplex(16 << 10);
    let accept = async {
        let mut stream = TlsAcceptor::from(Arc::clone(&server.config)).accept(far).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().is_some_and(|chain| chain.len() == 1);
        assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
        Ok::<_, io::Error>((session.protocol_version().unwrap(), shown, stream))
    };
    let connect = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, near).await?;
        stream.read_u8().await
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    let (version, shown, _stream) = accepted?;
    connected?;
    Ok((version, shown))
}

#[tokio::test]
async fn the_announced_certificate_is_accepted() {
    let (version, shown) = connect(Some(CLIENT), &[&rustls::version::TLS13]).await.unwrap();
    assert!(shown && version == ProtocolVersion::TLSv1_3);
    let (version, shown) = connect(Some(CLIENT), &[&rustls::version::TLS12]).await.unwrap();
    assert!(shown && version == ProtocolVersion::TLSv1_2);
}

#[tokio::test]
async fn no_certificate_is_refused() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let error = connect(None, &[version]).await.unwrap_err();
        assert!(error.to_string().contains("no certificates"), "{error}");
    }
}

#[tokio::test]
async fn another_certificate_is_refused() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let error = connect(Some(OTHER), &[version]).await.unwrap_err();
        assert!(error.to_string().contains("ApplicationVerificationFailure"), "{error}");
    }
}

#[tokio::test]
async fn the_announced_certificate_without_its_key_is_refused() {
    // rustls refuses to send a certificate with another key, so the resolver is told to.
    let server = Tls::new(CLIENT.0).unwrap();
    let key = PrivateKeyDer::from_pem_slice(OTHER.1.as_bytes()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certificate = CertificateDer::from_pem_slice(CLIENT.0.as_bytes()).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![certificate], key);
    let pinned = PinnedServer(STANDARD_NO_PAD.decode(&server.certificate).unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let (near, far) = tokio::io::duplex(16 << 10);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let accept = TlsAcceptor::from(Arc::clone(&server.config)).accept(far);
    let (accepted, _connected) = tokio::join!(accept, connector.connect(name, near));
    let error = accepted.err().unwrap();
    assert!(error.to_string().contains("BadSignature"), "{error}");
}

#[test]
fn text_without_a_certificate_is_refused() {
    assert!(matches!(Tls::new("nonsense"), Err(TlsError::ClientCertificate)));
}
