//! The request that makes a connection a WebSocket, and its answer (RFC 6455 section 4.1). No socket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1_smol::Sha1;
use sipwake_core::account::Hop;
use sipwake_core::event::FlowError;

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// A question under way.
pub(super) struct Handshake {
    key: String,
}

impl Handshake {
    pub(super) fn new(nonce: [u8; 16]) -> Self {
        Self { key: BASE64.encode(nonce) }
    }

    /// Returns the request, with the sub-protocol of RFC 7118.
    pub(super) fn request(&self, hop: &Hop) -> String {
        let path = hop.path.as_deref().unwrap_or("/");
        let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
            hop.host, self.key
        )
    }

    /// Reads the answer in what was read so far; returns how long its head is, `None` until it is whole.
    ///
    /// # Errors
    /// [`FlowError::WebSocket`] with what is wrong.
    pub(super) fn answer(&self, read: &[u8]) -> Result<Option<usize>, FlowError> {
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if read.len() > MAX_HEAD { Err(refused("an answer without end")) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&read[..end]).map_err(|_| refused("an answer that is no HTTP"))?;
        let mut lines = head.split("\r\n");
        let (version, status) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
        if !version.starts_with("HTTP/1.") {
            return Err(refused("an answer that is no HTTP"));
        }
        if status.split(' ').next() != Some("101") {
            return Err(FlowError::WebSocket(format!("the server answered {status}")));
        }
        let (mut upgrade, mut connection, mut accept, mut protocol) = (false, false, false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.trim_end().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "upgrade" => upgrade |= value.eq_ignore_ascii_case("websocket"),
                "connection" => connection |= value.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")),
                "sec-websocket-accept" => accept |= value == self.accept(),
                "sec-websocket-protocol" => protocol |= value.eq_ignore_ascii_case("sip"),
                "sec-websocket-extensions" if !value.is_empty() => {
                    return Err(refused("an extension that nobody asked for"));
                }
                _ => {}
            }
        }
        match (upgrade && connection, accept, protocol) {
            (false, ..) => Err(refused("no upgrade to WebSocket")),
            (_, false, _) => Err(refused("the answer to another handshake")),
            (_, _, false) => Err(refused("the server does not speak SIP over WebSocket")),
            _ => Ok(Some(end + 4)),
        }
    }

    fn accept(&self) -> String {
        let mut hash = Sha1::from(&self.key);
        hash.update(GUID);
        BASE64.encode(hash.digest().bytes())
    }
}

fn refused(why: &str) -> FlowError {
    FlowError::WebSocket(why.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 6455 section 1.3.
    fn handshake() -> Handshake {
        Handshake { key: "dGhlIHNhbXBsZSBub25jZQ==".into() }
    }

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

    #[test]
    fn the_answer_of_the_rfc_is_taken_and_what_follows_is_left() {
        assert_eq!(handshake().answer(ANSWER.as_bytes()), Ok(Some(ANSWER.len())));
        assert_eq!(handshake().answer(format!("{ANSWER}\u{1}").as_bytes()), Ok(Some(ANSWER.len())));
        for end in 0..ANSWER.len() {
            assert_eq!(handshake().answer(&ANSWER.as_bytes()[..end]), Ok(None));
        }
        let other_case =
            ANSWER.replace("Upgrade: websocket", "UPGRADE :  WebSocket").replace(": Upgrade", ": x, upgrade");
        assert!(handshake().answer(other_case.as_bytes()).is_ok());
    }

    #[test]
    fn an_answer_that_does_not_agree_is_refused() {
        for (from, to) in [
            ("101 Switching Protocols", "200 OK"),
            ("HTTP/1.1", "SIP/2.0"),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Connection: Upgrade", "Connection: close"),
            ("s3pP", "S3PP"),
            ("-Protocol: sip", "-Protocol: chat"),
            ("Sec-WebSocket-Protocol: sip", "X: y"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ] {
            let answer = ANSWER.replace(from, to);
            assert_ne!(answer, ANSWER);
            assert!(matches!(handshake().answer(answer.as_bytes()), Err(FlowError::WebSocket(_))), "{answer}");
        }
        assert!(handshake().answer(&[b'a'; MAX_HEAD + 1]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = handshake().answer(&bytes);
        }
    }
}
