//! An answered call: its dialog, its descriptions, its timers, and the one request of ours that may be under way in it.

use std::time::Duration;

use uuid::Uuid;

use super::app_request::AppRequest;
use super::dialog::Dialog;
use super::session_timer::SessionTimer;
use super::uas::TransactionKey;
use crate::account::{AccountKey, Transport};
use crate::clock::NextTimeout;
use crate::digest::Challenged;
use crate::event::{Answer, Offer};
use crate::outbox::Destination;
use crate::sip::{CSeq, Message, Method};
use crate::transaction::{ClientTransaction, Due};

/// How long the app may decide on a new offer. It is below Timer C, and below a person's patience.
pub(crate) const OFFER_WINDOW: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) uuid: Uuid,
    pub(crate) account: AccountKey,
    pub(crate) destination: Destination,
    pub(crate) dialog: Dialog,
    /// The first ACK has come.
    pub(crate) connected: bool,
    /// Our 2xx carried an offer, so its ACK has the answer.
    pub(crate) awaits_answer: bool,
    pub(crate) local: Answer,
    pub(crate) remote: Option<Offer>,
    pub(crate) change: Option<Change>,
    /// Requests that wait for the app.
    pub(crate) asked: Vec<AppRequest>,
    pub(crate) timer: Option<SessionTimer>,
    /// The caller supports UPDATE.
    pub(crate) takes_update: bool,
    pub(crate) request: Option<Outgoing>,
    /// When a refresh is tried again after a temporary refusal.
    pub(crate) again_at: Option<Duration>,
    /// The ACK of our last re-INVITE's 2xx, in case it must be repeated.
    pub(crate) last_ack: Option<(u32, Vec<u8>)>,
    pub(crate) leaving: Leaving,
    /// How many challenges were answered in this call, for anybody.
    pub(crate) answers_given: u8,
}

/// The stage of our hang-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// RFC 3261 section 15: no BYE before the ACK. If there is a status, the BYE names it.
    Wanted(Option<u16>),
    Sent,
}

/// An offer of the caller that waits for the app.
#[derive(Debug)]
pub(crate) enum Change {
    /// In a re-INVITE.
    Invite(TransactionKey),
    /// In an UPDATE.
    Update { key: TransactionKey, destination: Destination, request: Box<Message>, until: Duration },
}

/// A request of ours.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) branch: String,
    pub(crate) cseq: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) transaction: ClientTransaction,
    /// Its own header fields, for sending it again with credentials.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) challenged: Challenged,
    /// A provisional response has come. An INVITE is not sent again after that (RFC 3261 section 17.1.1.2).
    pub(crate) heard: bool,
}

impl Session {
    /// Its size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        let remote = self.remote.as_ref().map_or(0, |remote| remote.body.len());
        let change = match &self.change {
            Some(Change::Update { request, .. }) => request.size(),
            _ => 0,
        };
        let sent = self.request.as_ref().map_or(0, |request| request.bytes.len());
        let last_ack = self.last_ack.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let asked = self.asked.iter().map(AppRequest::size).sum::<usize>();
        self.dialog.size() + self.local.body.len() + remote + change + sent + last_ack + asked + size_of::<Self>()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    /// Whether its requests may come from another peer than the registrar. They may over UDP, but never with `sips:`.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        self.destination.transport == Transport::Udp && !self.dialog.is_secure()
    }

    pub(crate) fn timeouts(&self, soonest: &mut NextTimeout) {
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

    /// Whether an offer is only a refresh. Some callers change a description and keep the version in `o=`, so all of it
    /// is compared.
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
