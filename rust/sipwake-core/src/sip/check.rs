//! Checks that a message which could be read also has the fields it needs.

use super::{Message, NameAddr, Via};

/// Why a message cannot be acted on: a request is answered with 400, a response is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A field that every message has is not there (RFC 3261 section 8.1.1).
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that may be there once is there again.
    #[error("{0} appears more than once")]
    Repeated(&'static str),
    /// A field breaks its grammar or its range.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The CSeq names another method than the request line (section 8.1.1.5).
    #[error("CSeq names another method than the request line")]
    OtherMethod,
}

const ONCE: [&str; 5] = ["From", "To", "Call-ID", "CSeq", "Max-Forwards"];

impl Message {
    /// Checks that the fields that identify a transaction and a dialog are there, once and well-formed: Via, From, To,
    /// Call-ID, CSeq, and Contact if there is one. A response may have only one Via: ours (section 8.1.3.3).
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn check(&self) -> Result<(), Fault> {
        let mut seen = [None; ONCE.len()];
        for (name, value) in self.all_headers() {
            if let Some(index) = ONCE.iter().position(|once| once.eq_ignore_ascii_case(name))
                && seen[index].replace(value).is_some()
            {
                return Err(Fault::Repeated(ONCE[index]));
            }
        }
        // RFC 2543 has no Max-Forwards, so it may be missing.
        if let Some(index) = (0..4).find(|&index| seen[index].is_none_or(str::is_empty)) {
            return Err(Fault::Missing(ONCE[index]));
        }
        for index in 0..2 {
            seen[index].and_then(NameAddr::parse).ok_or(Fault::Malformed(ONCE[index]))?;
        }
        if !self.values("Contact").all(|value| value == "*" || NameAddr::parse(value).is_some()) {
            return Err(Fault::Malformed("Contact"));
        }
        let mut vias = 0;
        for value in self.values("Via") {
            vias += 1;
            Via::parse(value).ok_or(Fault::Malformed("Via"))?;
        }
        match vias {
            0 => return Err(Fault::Missing("Via")),
            2.. if self.code().is_some() => return Err(Fault::Repeated("Via")),
            _ => {}
        }
        let cseq = self.cseq().ok_or(Fault::Malformed("CSeq"))?;
        match self.method() {
            Some(method) if method.as_str() != cseq.method => Err(Fault::OtherMethod),
            _ => Ok(()),
        }
    }
}
