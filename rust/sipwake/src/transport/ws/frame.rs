//! WebSocket's frames as a client sees them (RFC 6455 section 5): bytes in, whole messages out. No socket.

use sipwake_core::event::FlowError;
use sipwake_core::sip::MAX_MESSAGE;

/// RFC 6455 section 5.5: the most that a control frame carries.
const MAX_CONTROL: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// RFC 6455 section 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        [Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong]
            .into_iter()
            .find(|opcode| *opcode as u8 == bits)
    }

    fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A whole message, of one frame or of several.
    Message(Vec<u8>),
    /// To be answered with a pong of the same content.
    Ping(Vec<u8>),
    Pong,
    /// The connection ends; to be answered with the same content.
    Close(Vec<u8>),
}

/// Writes a frame that is a whole message. RFC 6455 section 5.3: a client masks each with bytes that nobody can foretell.
pub(super) fn write(opcode: Opcode, content: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(content.len() + 14);
    frame.push(FIN | opcode as u8);
    match (u8::try_from(content.len()), u16::try_from(content.len())) {
        (Ok(length @ ..126), _) => frame.push(MASKED | length),
        (_, Ok(length)) => {
            frame.push(MASKED | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(MASKED | 127);
            frame.extend((content.len() as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Puts frames together from what is read, and messages from frames.
#[derive(Debug, Default)]
pub(super) struct Reader {
    read: Vec<u8>,
    /// What there is of a message in fragments, and whether it is text.
    begun: Option<(bool, Vec<u8>)>,
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.read.extend_from_slice(bytes);
    }

    /// Returns what has come whole; `None` until more is read.
    ///
    /// # Errors
    /// [`FlowError::WebSocket`] for what is against RFC 6455, [`FlowError::Garbage`] for what no SIP message can be. Nothing
    /// that is read afterwards means anything.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, FlowError> {
        while let Some((fin, opcode, content)) = self.frame()? {
            let whole = match opcode {
                Opcode::Ping => return Ok(Some(Incoming::Ping(content))),
                Opcode::Pong => return Ok(Some(Incoming::Pong)),
                Opcode::Close => return Ok(Some(Incoming::Close(content))),
                Opcode::Text | Opcode::Binary if self.begun.is_some() => {
                    return Err(broken("a message within another"));
                }
                Opcode::Text | Opcode::Binary => (opcode == Opcode::Text, content),
                Opcode::Continuation => {
                    let (text, mut whole) = self.begun.take().ok_or_else(|| broken("the end of no message"))?;
                    whole.extend_from_slice(&content);
                    (text, whole)
                }
            };
            if whole.1.len() > MAX_MESSAGE {
                return Err(FlowError::Garbage);
            }
            if !fin {
                self.begun = Some(whole);
                continue;
            }
            // RFC 6455 section 8.1.
            if whole.0 && std::str::from_utf8(&whole.1).is_err() {
                return Err(FlowError::Garbage);
            }
            return Ok(Some(Incoming::Message(whole.1)));
        }
        Ok(None)
    }

    /// Takes a frame off what is read: whether it ends its message, its kind, its content.
    fn frame(&mut self) -> Result<Option<(bool, Opcode, Vec<u8>)>, FlowError> {
        let Some([first, second]) = self.read.first_chunk().copied() else { return Ok(None) };
        let opcode = Opcode::parse(first & 0x0f).ok_or_else(|| broken("a frame of no known kind"))?;
        if first & RESERVED != 0 {
            return Err(broken("a frame of an extension that was not agreed upon"));
        }
        // RFC 6455 section 5.1.
        if second & MASKED != 0 {
            return Err(broken("a masked frame from a server"));
        }
        let (head, length) = match second {
            126 => match self.read.get(2..4) {
                Some(length) => (4, length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
                None => return Ok(None),
            },
            127 => match self.read.get(2..10) {
                Some(length) => (10, length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
                None => return Ok(None),
            },
            length => (2, u64::from(length)),
        };
        let fin = first & FIN != 0;
        if opcode.is_control() && (!fin || length > MAX_CONTROL as u64) {
            return Err(broken("a control frame that is too long, or in fragments"));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE).ok_or(FlowError::Garbage)?;
        if self.read.len() < head + length {
            return Ok(None);
        }
        let content = self.read[head..head + length].to_vec();
        self.read.drain(..head + length);
        Ok(Some((fin, opcode, content)))
    }
}

fn broken(how: &str) -> FlowError {
    FlowError::WebSocket(how.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Incoming>, FlowError> {
        let mut reader = Reader::default();
        reader.push(bytes);
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    fn server(opcode: u8, content: &[u8]) -> Vec<u8> {
        [&[opcode, u8::try_from(content.len()).expect("short")], content].concat()
    }

    /// RFC 6455 section 5.7.
    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        let hello = || vec![Incoming::Message(b"Hello".to_vec())];
        assert_eq!(read(b"\x81\x05Hello"), Ok(hello()));
        assert_eq!(read(b"\x01\x03Hel\x80\x02lo"), Ok(hello()));
        assert_eq!(read(b"\x89\x05Hello"), Ok(vec![Incoming::Ping(b"Hello".to_vec())]));
        let masked = write(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(masked, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(
            read(&[b"\x82\x7e\x01\x00".as_slice(), &[7; 256]].concat()),
            Ok(vec![Incoming::Message(vec![7; 256])])
        );
    }

    #[test]
    fn a_control_frame_may_come_within_a_message() {
        let bytes = [server(0x01, b"a"), server(0x89, b"p"), server(0x8a, b""), server(0x80, b"b")].concat();
        let ping = Incoming::Ping(b"p".to_vec());
        assert_eq!(read(&bytes), Ok(vec![ping, Incoming::Pong, Incoming::Message(b"ab".to_vec())]));
    }

    #[test]
    fn what_is_against_the_rfc_is_refused() {
        let long = [b"\x89\x7e\x00\x7e".as_slice(), &[0; 126]].concat();
        let broken: [&[u8]; 8] =
            [b"\x83\x00", b"\x8b\x00", b"\xc1\x00", b"\x81\x80", b"\x09\x00", b"\x80\x00", b"\x01\x00\x01\x00", &long];
        for bytes in broken {
            assert!(matches!(read(bytes), Err(FlowError::WebSocket(_))), "{bytes:?}");
        }
        assert_eq!(read(b"\x81\x02\xc3\x28"), Err(FlowError::Garbage), "no UTF-8");
        assert_eq!(read(b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), Err(FlowError::Garbage), "too long");
    }

    #[test]
    fn a_message_in_fragments_is_bounded_as_a_whole() {
        let piece = [b"\x02\x7e\xff\xff".as_slice(), &[0; 65_535]].concat();
        let more = [b"\x00\x02".as_slice(), &[0; 2]].concat();
        assert_eq!(read(&[piece, more].concat()), Err(FlowError::Garbage));
    }

    proptest! {
        #[test]
        fn another_implementation_reads_what_is_written(content in proptest::collection::vec(any::<u8>(), 0..70_000), mask: [u8; 4]) {
            let bytes = std::io::Cursor::new(write(Opcode::Binary, &content, mask));
            let read = WebSocket::from_raw_socket(bytes, Role::Server, None).read().expect("a frame");
            prop_assert_eq!(read, Message::binary(content));
        }

        #[test]
        fn however_it_is_cut_it_is_read_the_same(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4),
            cut in 1usize..50,
        ) {
            let mut bytes = Vec::new();
            for content in &contents {
                let mut socket = WebSocket::from_raw_socket(std::io::Cursor::new(Vec::new()), Role::Server, None);
                socket.send(Message::binary(content.clone())).expect("written");
                bytes.extend(socket.into_inner().into_inner());
            }
            let (mut reader, mut heard) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                reader.push(piece);
                while let Some(message) = reader.next().expect("sound frames") {
                    heard.push(message);
                }
            }
            let expected: Vec<_> = contents.into_iter().map(Incoming::Message).collect();
            prop_assert_eq!(heard, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
