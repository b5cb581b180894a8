//! An answered call: its dialog, its descriptions, its timers, and the one request of ours that may be out in it.

use std::time::Duration;

use uuid::Uuid;

use super::asked::Asked;
use super::dialog::Dialog;
use super::session_timer::SessionTimer;
use super::uas::TransactionKey;
use crate::account::{AccountKey, Transport};
use crate::clock::Soonest;
use crate::digest::Challenged;
use crate::event::{Answer, Offer};
use crate::outbox::Way;
use crate::sip::{CSeq, Message, Method};
use crate::transaction::{ClientTransaction, Due};

/// How long the app may think about a new offer, below Timer C and a human's patience.
pub(crate) const OFFER_WINDOW: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) uuid: Uuid,
    pub(crate) account: AccountKey,
    pub(crate) way: Way,
    pub(crate) dialog: Dialog,
    /// The first ACK came.
    pub(crate) connected: bool,
    /// A 2xx of ours carried an offer: its ACK has the answer.
    pub(crate) awaits_answer: bool,
    pub(crate) local: Answer,
    pub(crate) remote: Option<Offer>,
    pub(crate) change: Option<Change>,
    /// Requests that the app thinks about.
    pub(crate) asked: Vec<Asked>,
    pub(crate) timer: Option<SessionTimer>,
    /// The caller said that it takes UPDATE.
    pub(crate) takes_update: bool,
    pub(crate) request: Option<Outgoing>,
    /// When a refresh that was refused for now is tried again.
    pub(crate) again_at: Option<Duration>,
    /// The ACK of our last re-INVITE's 2xx, for its repetitions.
    pub(crate) last_ack: Option<(u32, Vec<u8>)>,
    pub(crate) leaving: Leaving,
    /// Answers to challenges in this call, whoever asked.
    pub(crate) answers_given: u8,
}

/// How far a hang-up of ours has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// RFC 3261 section 15: no BYE before the ACK. With a status, the BYE says it.
    Wanted(Option<u16>),
    Sent,
}

/// An offer of the caller that the app thinks about.
#[derive(Debug)]
pub(crate) enum Change {
    /// In a re-INVITE.
    Invite(TransactionKey),
    /// In an UPDATE.
    Update { key: TransactionKey, way: Way, request: Box<Message>, until: Duration },
}

/// A request of ours.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) branch: String,
    pub(crate) cseq: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) transaction: ClientTransaction,
    /// What it carries of its own, to be sent again with credentials.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) challenged: Challenged,
    /// It was heard: an INVITE is not sent again then (RFC 3261 section 17.1.1.2).
    pub(crate) heard: bool,
}

impl Session {
    /// How much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let remote = self.remote.as_ref().map_or(0, |remote| remote.body.len());
        let change = match &self.change {
            Some(Change::Update { request, .. }) => request.size(),
            _ => 0,
        };
        let sent = self.request.as_ref().map_or(0, |request| request.bytes.len());
        let last_ack = self.last_ack.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let asked = self.asked.iter().map(Asked::size).sum::<usize>();
        self.dialog.size() + self.local.body.len() + remote + change + sent + last_ack + asked + size_of::<Self>()
    }

    /// Whether we are hanging up.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    /// Whether its requests may come past the registrar: over UDP, and never by `sips:`.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        self.way.transport == Transport::Udp && !self.dialog.is_secure()
    }

    pub(crate) fn timeouts(&self, soonest: &mut Soonest) {
        soonest.add(self.request.as_ref().map(|request| request.transaction.timeout()));
        if self.leaving == Leaving::No {
            soonest.add_at(self.timer.as_ref().map(SessionTimer::at), "session timer");
            soonest.add_at(self.again_at, "session refresh to be tried again");
        }
        if let Some(Change::Update { until, .. }) = &self.change {
            soonest.add_at(Some(*until), "offer to be answered");
        }
        for asked in &self.asked {
            soonest.add_at(Some(asked.until()), "request to be answered");
        }
    }

    /// Whether an offer says nothing new: a refresh. Some change a description and keep the version in `o=`, so the whole
    /// of it counts.
    pub(crate) fn is_known(&self, offer: &Offer) -> bool {
        self.remote.as_ref().is_some_and(|known| known.body == offer.body)
    }
}

impl Outgoing {
    /// Whether a response is to this request (RFC 3261 section 17.1.3).
    pub(crate) fn is_answered_by(&self, response: &Message) -> bool {
        response.branch() == Some(self.branch.as_str())
            && response.cseq() == Some(CSeq { seq: self.cseq, method: self.method.as_str() })
    }

    pub(crate) fn due(&mut self, now: Duration) -> Option<Due> {
        let due = self.transaction.due(now)?;
        (due == Due::TimedOut || !(self.heard && self.method == Method::Invite)).then_some(due)
    }
}
