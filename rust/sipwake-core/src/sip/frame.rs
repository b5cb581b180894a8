//! Cuts a stream into messages. They are the same however the bytes are split, and the memory is limited.

use super::Message;
use super::head::{Head, MAX_MESSAGE, ParseError, max_line, next_line};

/// The most bytes that a framer holds. Nobody who takes the frames out after every push reaches that.
const MAX_BUFFERED: usize = 4 * MAX_MESSAGE;
/// The most memory that an idle framer keeps, in bytes.
const IDLE_CAPACITY: usize = 2048;

/// The parts of a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// One whole message for [`Message::parse`](super::Message::parse), which may still refuse it.
    Message(Vec<u8>),
    /// CRLF CRLF: a keep-alive that wants a [`Pong`](Self::Pong) (RFC 5626 section 4.4.1).
    Ping,
    /// CRLF: the response to a ping.
    Pong,
}

/// Shows the length, and no content.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::Ping => f.write_str("Ping"),
            Self::Pong => f.write_str("Pong"),
        }
    }
}

/// Why a stream cannot be framed any further. Nobody knows where the next message begins, so the connection must be
/// closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The head cannot be read.
    #[error(transparent)]
    Head(#[from] ParseError),
    /// A body is announced (Content-Type) but not its length, which a stream needs (RFC 3261 section 18.3).
    #[error("a body without Content-Length on a stream")]
    NoContentLength,
    /// More bytes were pushed than are held at once.
    #[error("more than {MAX_BUFFERED} bytes were pushed but not read")]
    Overflow,
}

/// Cuts a TCP or TLS stream into messages and keep-alives (RFC 3261 sections 7.5 and 18.3, RFC 5626 section 3.5.1).
///
/// After every [`push`](Self::push) take out all frames with [`next`](Self::next), until it says `Ok(None)`.
///
/// ```
/// use sipwake_core::sip::{Frame, Framer};
/// let mut framer = Framer::new();
/// framer.push(b"\r\n\r\nOPTIONS sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nhi\r\n")?;
/// assert_eq!(framer.next()?, Some(Frame::Ping));
/// assert!(matches!(framer.next()?, Some(Frame::Message(_))));
/// assert_eq!(framer.next()?, Some(Frame::Pong));
/// assert_eq!(framer.next()?, None);
/// # Ok::<(), sipwake_core::sip::FrameError>(())
/// ```
#[derive(Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the unread bytes begin.
    begin: usize,
    /// Where the incomplete line begins.
    line: usize,
    /// The length of the message at `begin`, once its head is read.
    length: Option<usize>,
    /// The head that was read last, until [`parse`](Self::parse) takes it.
    head: Option<Head>,
    /// A pong was just taken out. If one more CRLF follows directly, the two are a ping.
    after_pong: bool,
    /// We sent a ping and have no pong yet.
    pong_due: bool,
    failed: Option<FrameError>,
}

impl Framer {
    /// Returns a framer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns `true` when nothing is held that a later push could make whole: such a framer is worth no memory.
    pub fn is_idle(&self) -> bool {
        self.begin == self.buffer.len() && !self.after_pong && self.failed.is_none()
    }

    /// Says whether we wait for a pong. Then a single CRLF is that pong, and not the first half of a ping.
    pub(crate) fn set_pong_due(&mut self, due: bool) {
        self.pong_due = due;
    }

    /// Takes in bytes as they came.
    ///
    /// # Errors
    /// [`FrameError::Overflow`] when more than 256 KiB would be held, or the error that ended the stream before.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.buffer.len() - self.begin + bytes.len() > MAX_BUFFERED {
            return Err(self.fail(FrameError::Overflow));
        }
        if self.begin > 0 {
            self.buffer.drain(..self.begin);
            self.line -= self.begin;
            self.begin = 0;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the next frame, or `Ok(None)` when more bytes are needed.
    ///
    /// A single CRLF is a pong at once. If another CRLF follows directly, a ping comes next. So no ping is lost,
    /// however the stream is split.
    ///
    /// # Errors
    /// Any error is final: this framer returns it again and no further frames.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let frame = self.step().map_err(|error| self.fail(error))?;
        if frame.is_some() && self.begin == self.buffer.len() {
            self.begin = 0;
            self.line = 0;
            self.buffer.clear();
            if self.buffer.capacity() > IDLE_CAPACITY {
                self.buffer = Vec::new();
            }
        }
        Ok(frame)
    }

    /// Reads the message that [`next`](Self::next) has just returned. Its head is read already.
    pub(crate) fn parse(&mut self, message: &[u8]) -> Result<Message, ParseError> {
        match self.head.take() {
            Some(head) => Message::of_head(head, message),
            None => Message::parse(message),
        }
    }

    fn step(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.length.is_none() && self.line == self.begin {
            while self.buffer.get(self.begin) == Some(&b'\n') {
                self.consume(1);
            }
            match &self.buffer[self.begin..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n'] if self.pong_due => {
                    self.consume(2);
                    self.pong_due = false;
                    return Ok(Some(Frame::Pong));
                }
                [b'\r', b'\n', ..] if self.after_pong => {
                    self.consume(2);
                    self.after_pong = false;
                    return Ok(Some(Frame::Ping));
                }
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.consume(4);
                    return Ok(Some(Frame::Ping));
                }
                [b'\r', b'\n', ..] => {
                    self.consume(2);
                    self.after_pong = true;
                    return Ok(Some(Frame::Pong));
                }
                _ => self.after_pong = false,
            }
        }
        if self.length.is_none() {
            self.length = self.read_head()?;
        }
        let Some(length) = self.length else { return Ok(None) };
        let Some(message) = self.buffer[self.begin..].get(..length) else { return Ok(None) };
        let message = message.to_vec();
        self.consume(length);
        self.length = None;
        Ok(Some(Frame::Message(message)))
    }

    /// Looks for the end of the head, and reads it. Returns the length of the whole message.
    fn read_head(&mut self) -> Result<Option<usize>, FrameError> {
        loop {
            let Some(line) = next_line(&self.buffer, self.line) else {
                // One more byte is allowed, for the CR of an incomplete line end.
                let line = &self.buffer[self.line..];
                if line.len() > max_line(line) + 1 {
                    return Err(ParseError::LineTooLong.into());
                }
                if self.buffer.len() - self.begin > MAX_MESSAGE {
                    return Err(ParseError::TooLarge.into());
                }
                return Ok(None);
            };
            let ends = line.text.is_empty() && !line.torn;
            self.line = line.next;
            if self.line - self.begin > MAX_MESSAGE {
                return Err(ParseError::TooLarge.into());
            }
            if ends {
                break;
            }
        }
        let head = Head::read(&self.buffer[self.begin..self.line])?;
        // If the peer speaks another protocol, nothing tells where its next message begins.
        if !head.text[..head.start].contains("SIP/") {
            return Err(ParseError::StartLine.into());
        }
        let body = match head.content_length {
            Some(length) => length,
            None if head.fields.iter().any(|field| field.name(&head.text).eq_ignore_ascii_case("Content-Type")) => {
                return Err(FrameError::NoContentLength);
            }
            None => 0,
        };
        match head.length.checked_add(body) {
            Some(length) if length <= MAX_MESSAGE => {
                self.head = Some(head);
                Ok(Some(length))
            }
            _ => Err(ParseError::TooLarge.into()),
        }
    }

    fn consume(&mut self, count: usize) {
        self.begin += count;
        self.line = self.begin;
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.failed = Some(error);
        self.buffer = Vec::new();
        self.begin = 0;
        self.line = 0;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{MAX_LINE, Message};
    use proptest::prelude::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nCSeq: 1 OPTIONS\r\nl: 4\r\n\r\n\r\n\r\n";
    const TORN: &[u8] = b"SIP/2.0 200 OK\r\nFlow-Timer: 30\r\0Content-Length: 0\r\n\r\n";
    const BARE: &[u8] = b"SIP/2.0 200 OK\nCSeq: 1 OPTIONS\nContent-Length:\n 2\n\nhi";

    fn frames(chunks: &[&[u8]]) -> (Vec<Frame>, Option<FrameError>) {
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for chunk in chunks {
            if let Err(error) = framer.push(chunk) {
                return (frames, Some(error));
            }
            loop {
                match framer.next() {
                    Ok(Some(frame)) => {
                        if let Frame::Message(bytes) = &frame {
                            assert_eq!(framer.parse(bytes), Message::parse(bytes));
                        }
                        frames.push(frame);
                    }
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn messages_back_to_back_come_out_one_by_one() {
        let stream = [OPTIONS, TORN, b"\r\n", BARE, b"\r\n\r\n\r\n"].concat();
        let expected = [
            Frame::Message(OPTIONS.to_vec()),
            Frame::Message(TORN.to_vec()),
            Frame::Pong,
            Frame::Message(BARE.to_vec()),
            Frame::Ping,
            Frame::Pong,
        ];
        assert_eq!(frames(&[&stream]), (expected.to_vec(), None));
    }

    #[test]
    fn a_ping_in_two_halves_is_a_pong_and_then_a_ping() {
        assert_eq!(frames(&[b"\r", b"\n", b"\r", b"\n"]), (vec![Frame::Pong, Frame::Ping], None));
        assert_eq!(
            frames(&[b"\r\n", OPTIONS, b"\r\n"]).0,
            [Frame::Pong, Frame::Message(OPTIONS.to_vec()), Frame::Pong]
        );
    }

    #[test]
    fn an_expected_pong_is_not_half_of_a_ping() {
        let mut framer = Framer::new();
        for (due, bytes, expected) in [
            (true, "\r\n", Frame::Pong),
            (true, "\r\n", Frame::Pong),
            // The two halves of a ping, with the pong between them.
            (false, "\r\n", Frame::Pong),
            (true, "\r\n", Frame::Pong),
            (false, "\r\n", Frame::Ping),
            (true, "\r\n\r\n", Frame::Ping),
        ] {
            framer.set_pong_due(due);
            framer.push(bytes.as_bytes()).expect("it is short");
            assert_eq!((framer.next(), framer.next()), (Ok(Some(expected)), Ok(None)), "{due} {bytes:?}");
        }
    }

    #[test]
    fn a_stream_that_cannot_be_framed_stays_failed() {
        let no_length = b"MESSAGE sip:a@b SIP/2.0\r\nContent-Type: text/plain\r\n\r\nhi".as_slice();
        let too_long = b"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 65536\r\n\r\n".as_slice();
        let negative = b"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n".as_slice();
        for (bytes, error) in [
            (no_length, FrameError::NoContentLength),
            (too_long, ParseError::TooLarge.into()),
            (negative, ParseError::ContentLength.into()),
            (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ParseError::StartLine.into()),
            (&[b'x'; MAX_LINE + 2], ParseError::LineTooLong.into()),
            (&[b'x'; MAX_BUFFERED + 1], FrameError::Overflow),
        ] {
            assert_eq!(frames(&[bytes]), (vec![], Some(error)));
        }
        let mut framer = Framer::new();
        framer.push(negative).expect("it is short");
        assert!(framer.next().is_err());
        assert_eq!(framer.push(OPTIONS), framer.next().map(|_| ()));
        assert!(framer.push(OPTIONS).is_err());
    }

    #[test]
    fn headers_without_end_are_refused_before_they_fill_the_memory() {
        let mut framer = Framer::new();
        framer.push(b"SIP/2.0 200 OK\r\n").expect("it is short");
        let failed =
            (0..MAX_MESSAGE).find_map(|_| framer.push(b"X: yyyyyyyyyyyyyyyy\r\n").and_then(|()| framer.next()).err());
        assert_eq!(failed, Some(ParseError::TooLarge.into()));
        assert_eq!(framer.buffer.capacity(), 0);
    }

    #[test]
    fn an_idle_framer_holds_no_large_buffer() {
        let mut framer = Framer::new();
        let body = vec![b'x'; 30_000];
        framer.push(&[b"MESSAGE sip:a@b SIP/2.0\r\nl: 30000\r\n\r\n", body.as_slice()].concat()).expect("it fits");
        assert!(matches!(framer.next(), Ok(Some(Frame::Message(_)))));
        assert!(framer.buffer.capacity() <= IDLE_CAPACITY);
    }

    #[test]
    fn a_body_is_never_read_as_the_next_message() {
        let inner = b"BYE sip:a@b SIP/2.0\r\nl: 0\r\n\r\n";
        let outer =
            [format!("MESSAGE sip:a@b SIP/2.0\r\nContent-Length: {}\r\n\r\n", inner.len()).as_bytes(), inner].concat();
        assert_eq!(frames(&[&outer]).0, [Frame::Message(outer)]);
    }

    fn chunks<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.insert(0, 0);
        cuts.push(stream.len());
        cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
    }

    fn without_pongs(frames: Vec<Frame>) -> Vec<Frame> {
        frames.into_iter().filter(|frame| *frame != Frame::Pong).collect()
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages_and_pings(
            parts in prop::collection::vec(prop::sample::select(vec![OPTIONS, TORN, BARE, b"\r\n", b"\r\n\r\n", b"\n", b"SIP/2.0 100 x\r\n\r\n"]), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let stream = parts.concat();
            let whole = frames(&[&stream]);
            let split = frames(&chunks(&stream, &cuts));
            let bytewise = frames(&stream.chunks(1).collect::<Vec<_>>());
            prop_assert_eq!(&without_pongs(whole.0), &without_pongs(split.0));
            prop_assert_eq!((split.1, bytewise.1), (None, None));
            for frame in bytewise.0 {
                if let Frame::Message(bytes) = frame {
                    prop_assert!(Message::parse(&bytes).is_ok());
                }
            }
        }

        #[test]
        fn no_bytes_make_the_framer_panic_and_any_split_gives_the_same_messages(
            stream in "(SIP/2\\.0 200 OK|[a-z]{0,5}|X: y|l: [0-9]|m: z| f|\r\n|\n|\r|\r\n\r\n|\0|\r\0|é){0,40}",
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let whole = frames(&[stream.as_bytes()]);
            let split = frames(&chunks(stream.as_bytes(), &cuts));
            prop_assert_eq!(without_pongs(whole.0), without_pongs(split.0));
            prop_assert_eq!(whole.1, split.1);
        }
    }
}
