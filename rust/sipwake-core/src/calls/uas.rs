//! The server's side of transactions other than INVITE (RFC 3261 section 17.2.2).

use std::time::Duration;

use crate::sip::Message;
use crate::transaction::T1;

/// How many responses are kept for retransmitted requests. The oldest is dropped first.
const MAX_ANSWERS: usize = 256;

/// RFC 3261 17.2.3: the branch, the sent-by and the method. An ACK or CANCEL has the key of its INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionKey(String);

impl TransactionKey {
    pub(super) fn size(&self) -> usize {
        self.0.len() + size_of::<Self>()
    }

    pub(crate) fn of(request: &Message) -> Option<Self> {
        let via = request.via()?;
        let method = match request.method()?.as_str() {
            "ACK" | "CANCEL" => "INVITE",
            method => method,
        };
        let branch = via.branch()?;
        // Before RFC 3261, branches were not unique. There Call-ID, From tag and CSeq make the key.
        if branch.starts_with("z9hG4bK") {
            return Some(Self(format!("{branch} {} {:?} {method}", via.host, via.port)));
        }
        let cseq = request.cseq()?.seq;
        Some(Self(format!("{} {:?} {cseq} {method}", request.call_id()?, request.from_tag())))
    }
}

/// The responses to requests other than INVITE, kept as long as those may come again (timer J).
#[derive(Debug, Default)]
pub(crate) struct Answers {
    given: Vec<(TransactionKey, Vec<u8>, Duration)>,
}

impl Answers {
    pub(crate) fn find(&self, key: &TransactionKey, now: Duration) -> Option<&[u8]> {
        let found = self.given.iter().find(|(known, _, until)| known == key && *until > now);
        found.map(|(_, bytes, _)| bytes.as_slice())
    }

    /// Their size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.given.iter().map(|(key, bytes, _)| key.size() + bytes.len()).sum()
    }

    /// Forgets the oldest. Returns `false` if there is none.
    pub(crate) fn forget_one(&mut self) -> bool {
        let any = !self.given.is_empty();
        self.given.drain(..usize::from(any));
        any
    }

    pub(crate) fn keep(&mut self, key: TransactionKey, bytes: Vec<u8>, now: Duration) {
        self.given.retain(|(_, _, until)| *until > now);
        if self.given.len() >= MAX_ANSWERS {
            self.given.remove(0);
        }
        self.given.push((key, bytes, now + 64 * T1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_answers_the_oldest_goes_first() {
        let mut answers = Answers::default();
        let key = |number: usize| TransactionKey(number.to_string());
        for number in 0..=MAX_ANSWERS {
            answers.keep(key(number), vec![0], Duration::ZERO);
        }
        assert_eq!(answers.given.len(), MAX_ANSWERS);
        assert_eq!(answers.find(&key(0), Duration::ZERO), None);
        assert!(answers.find(&key(1), Duration::ZERO).is_some());
    }
}
