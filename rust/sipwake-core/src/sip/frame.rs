//! Messages out of a stream: whatever way the bytes are split, the same messages, in bounded memory.

use super::head::{Head, MAX_LINE, MAX_MESSAGE, ParseError, next_line};

/// The most bytes that a framer holds. Who takes the frames out after every push never meets it.
const MAX_BUFFERED: usize = 4 * MAX_MESSAGE;
/// What an idle framer may keep allocated.
const IDLE_CAPACITY: usize = 2048;

/// What a stream carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, for [`Message::parse`](super::Message::parse).
    Message(Vec<u8>),
    /// CRLF CRLF: a keep-alive that wants a [`Pong`](Self::Pong) (RFC 5626 section 4.4.1).
    Ping,
    /// CRLF: the answer to a ping.
    Pong,
}

/// Shows no content, only the length.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::Ping => f.write_str("Ping"),
            Self::Pong => f.write_str("Pong"),
        }
    }
}

/// Why a stream cannot be framed any further. Where the next message begins is lost, so the connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A head that is none.
    #[error(transparent)]
    Head(#[from] ParseError),
    /// A body is announced (Content-Type) but not its length, which a stream needs (RFC 3261 section 18.3).
    #[error("a body without Content-Length on a stream")]
    NoContentLength,
    /// More bytes were pushed than are held at once.
    #[error("more than {MAX_BUFFERED} bytes were pushed and not taken out")]
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
    /// Where the line begins that is not whole yet.
    line: usize,
    /// How long the message at `begin` is, once its head is read.
    length: Option<usize>,
    /// A pong was just taken out: one more CRLF right behind it makes the two a ping.
    after_pong: bool,
    failed: Option<FrameError>,
}

impl Framer {
    /// Returns a framer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
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
    /// A lone CRLF is a pong at once; if another CRLF comes right behind it, a ping follows, so that no ping is lost to the way the
    /// stream was split.
    ///
    /// # Errors
    /// Any error is final: this framer gives it again and no more frames.
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

    fn step(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.length.is_none() && self.line == self.begin {
            while self.buffer.get(self.begin) == Some(&b'\n') {
                self.consume(1);
            }
            match &self.buffer[self.begin..] {
                [] | [b'\r'] => return Ok(None),
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
        let length = match self.length {
            Some(length) => length,
            None => match self.read_head()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        self.length = Some(length);
        let Some(message) = self.buffer[self.begin..].get(..length) else { return Ok(None) };
        let message = message.to_vec();
        self.consume(length);
        self.length = None;
        Ok(Some(Frame::Message(message)))
    }

    /// Looks for the end of the head, and gives the length of the whole message.
    fn read_head(&mut self) -> Result<Option<usize>, FrameError> {
        loop {
            let Some(line) = next_line(&self.buffer, self.line) else {
                // One byte more for the CR of an ending that is not whole yet.
                if self.buffer.len() - self.line > MAX_LINE + 1 {
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
        let body = match head.content_length {
            Some(length) => length,
            None if head.fields.iter().any(|field| field.name(&head.text).eq_ignore_ascii_case("Content-Type")) => {
                return Err(FrameError::NoContentLength);
            }
            None => 0,
        };
        match head.length.checked_add(body) {
            Some(length) if length <= MAX_MESSAGE => Ok(Some(length)),
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
