//! What must hold after every step. Each check names the promise of the architecture that it guards.

use std::collections::{BTreeMap, BTreeSet};

use sipwake_core::event::{CallChange, CallEvent, Ended, Registered};
use sipwake_core::push::Standing;
use uuid::Uuid;

use crate::script::{Profile, SECOND};
use crate::wire::{Wire, digest_param};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Milliseconds into the story.
    pub at: u64,
    /// The promise's number in the architecture.
    pub promise: u8,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "promise {} at {}.{:03} s: {}", self.promise, self.at / SECOND, self.at % SECOND, self.what)
    }
}

/// The REGISTER in flight.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) branch: String,
    pub(crate) flow: u64,
    bytes: Vec<u8>,
    since: u64,
}

/// What was seen of one account.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) in_flight: Option<InFlight>,
    call_id: Option<String>,
    /// The last nonce and the host that gave it. Another host does not know it.
    pub(crate) nonce: Option<(u64, String)>,
    pub(crate) stored_nonce: Option<(u64, String)>,
    /// Refusals of a wrong password since the app was last told, or since there was a reason to try.
    pub(crate) refusals: u32,
    /// The flow of the registration, while it is open.
    main: Option<u64>,
    /// The last final response was a server error.
    pub(crate) trouble: bool,
    /// Flows that were opened beside it, to the left gateway. Nonces there are separate.
    aside: BTreeSet<u64>,
    /// The server confirmed a log-out, and nothing was bound since. One more removal elsewhere goes to the left gateway.
    removed: bool,
    /// When the REGISTERs since the last reason for one began, and how many there were.
    burst: (u64, u32),
}

#[derive(Debug, Default)]
struct Ring {
    announced: bool,
    ringing: bool,
    ended: bool,
    /// Its user logged out. A call that rings after they log in again is a new one.
    logged_out: bool,
    uuid: Option<Uuid>,
    since: u64,
}

/// Watches a story.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) seen: Vec<Seen>,
    cseqs: BTreeMap<String, u32>,
    counts: BTreeMap<String, u32>,
    rings: BTreeMap<String, Ring>,
    pub(crate) broken: Option<Broken>,
    /// There is an attacker, so a server or an app cannot expect what the others normally do.
    pub(crate) is_attacked: bool,
}

fn removes(wire: &Wire) -> bool {
    wire.one("expires") == "0"
}

impl Seen {
    /// A final response to the REGISTER in flight arrived.
    /// Returns the request.
    pub(crate) fn answered(&mut self, answer: &Wire, logged_in: bool) -> Option<Vec<u8>> {
        let asked = self.in_flight.take()?.bytes;
        let status = answer.status();
        let lists =
            |wire: &Wire| wire.contacts().iter().any(|ours| answer.contacts().iter().any(|it| it.uri == ours.uri));
        let removal = Wire::parse(&asked).is_some_and(|wire| removes(&wire) && !lists(&wire));
        self.removed |= !logged_in && removal && matches!(status, Some(200..300));
        // A refusal that is no challenge may be because of the nonce, which is then forgotten. A server error only counts
        // as one if it is the second in a row.
        let trouble = matches!(status, Some(408 | 503 | 504));
        let refused = matches!(status, Some(400..) if !matches!(status, Some(401 | 407 | 423 | 439 | 555)) && !trouble);
        if refused || (trouble && self.trouble) {
            self.nonce = None;
        }
        if !matches!(status, Some(401 | 407)) {
            self.trouble = trouble;
        }
        Some(asked)
    }

    /// Whether this flow was opened beside that of the registration.
    pub(crate) fn is_aside(&self, flow: u64) -> bool {
        self.aside.contains(&flow)
    }
}

impl Watch {
    pub(crate) fn fail(&mut self, at: u64, promise: u8, what: impl Into<String>) {
        if !self.is_attacked || promise == 8 {
            self.attacked(at, promise, what);
        }
    }

    /// A promise that also holds under attack.
    pub(crate) fn attacked(&mut self, at: u64, promise: u8, what: impl Into<String>) {
        self.broken.get_or_insert(Broken { at, promise, what: what.into() });
    }

    /// There is a reason to register.
    pub(crate) fn reason(&mut self) {
        for seen in &mut self.seen {
            seen.burst = (0, 0);
            seen.refusals = 0;
        }
    }

    /// The process ended.
    pub(crate) fn killed(&mut self) {
        for seen in &mut self.seen {
            seen.in_flight = None;
            seen.main = None;
            // The next process may not know that the log-out was confirmed.
            seen.removed = false;
            seen.nonce.clone_from(&seen.stored_nonce);
        }
        self.rings.clear();
    }

    /// The user is back. From here on, removals belong to the registration.
    pub(crate) fn logged_in(&mut self, account: usize) {
        self.seen[account].removed = false;
    }

    /// Everything that was remembered about an account is gone for a good reason.
    pub(crate) fn forgotten(&mut self, account: usize) {
        let seen = &mut self.seen[account];
        seen.call_id = None;
        seen.nonce = None;
        seen.stored_nonce = None;
    }

    /// The record of an account is out of date, so numbers may be used again.
    pub(crate) fn record_lost(&mut self, account: usize) {
        self.forgotten(account);
        self.cseqs.clear();
        self.counts.clear();
    }

    /// A request in flight at an address that is given up is sent again at the next one.
    pub(crate) fn flow_moved(&mut self, flow: u64) {
        for seen in &mut self.seen {
            seen.in_flight.take_if(|known| known.flow == flow);
        }
    }

    pub(crate) fn flow_closed(&mut self, flow: u64) {
        for seen in &mut self.seen {
            seen.in_flight.take_if(|known| known.flow == flow);
            seen.main.take_if(|main| *main == flow);
        }
    }

    /// Promises 3 and 4: one REGISTER at a time, one Call-ID, a CSeq and a nonce count that grow, and credentials
    /// before the challenge.
    pub(crate) fn register_sent(
        &mut self,
        account: usize,
        wire: &Wire,
        bytes: &[u8],
        (flow, host): (u64, u64),
        at: u64,
    ) {
        let seen = &mut self.seen[account];
        let branch = wire.branch();
        if let Some(known) = &seen.in_flight {
            if known.branch == branch {
                if known.bytes != bytes {
                    self.fail(at, 3, "a retransmission differs from its request");
                }
                return;
            }
            // Timer F.
            if at < known.since + 32 * SECOND {
                return self.fail(at, 3, "two REGISTERs in flight");
            }
        }
        if seen.burst.1 == 0 {
            seen.burst.0 = at;
        }
        seen.burst.1 += 1;
        if at > seen.burst.0 + 600 * SECOND {
            seen.burst = (at, 1);
        }
        let hammering = seen.burst.1 > 60;
        seen.in_flight = Some(InFlight { branch: branch.to_owned(), flow, bytes: bytes.to_vec(), since: at });
        let call_id = wire.one("call-id");
        let other_call_id = seen.call_id.as_deref().is_some_and(|known| known != call_id);
        seen.call_id = Some(call_id.to_owned());
        let answer = wire.one("authorization");
        let nonce = digest_param(answer, "nonce");
        seen.removed &= removes(wire);
        let elsewhere = if seen.removed { seen.main != Some(flow) } else { seen.main.is_some_and(|main| main != flow) };
        if elsewhere {
            seen.aside.insert(flow);
        }
        let aside = seen.is_aside(flow);
        if !aside {
            seen.main = Some(flow);
        }
        let unasked = !aside && seen.nonce.as_ref().is_some_and(|(from, known)| *from == host && known != nonce);
        if other_call_id {
            return self.fail(at, 3, "another Call-ID for the same registration");
        }
        if hammering {
            return self.fail(at, 3, "more than 60 REGISTERs in ten minutes without a reason");
        }
        let last = self.cseqs.insert(call_id.to_owned(), wire.cseq()).unwrap_or(0);
        if wire.cseq() <= last {
            return self.fail(at, 3, format!("CSeq {} after {last}", wire.cseq()));
        }
        if unasked {
            return self.fail(at, 4, "the nonce at hand was not used ahead of the challenge");
        }
        if !nonce.is_empty() {
            let count = u32::from_str_radix(digest_param(answer, "nc"), 16).unwrap_or(0);
            let last = self.counts.insert(nonce.to_owned(), count).unwrap_or(0);
            if count <= last {
                self.fail(at, 3, format!("nonce count {count} after {last}"));
            }
        }
    }

    /// Promise 5: the verdict matches what the server said.
    pub(crate) fn registered(&mut self, profile: Profile, dropped: bool, registered: &Registered, at: u64) {
        let standing = registered.verdict.standing;
        let fits = match (registered.token.is_some(), profile) {
            (false, _) => standing == Standing::NotAsked,
            (true, _) if dropped && standing != Standing::Confirmed => true,
            (true, Profile::Rfc8599 | Profile::OpenSips) => standing == Standing::Confirmed,
            (true, Profile::Rfc8599Refusing) => matches!(standing, Standing::Unconfirmed | Standing::Refused),
            (true, _) => standing == Standing::Unconfirmed,
        };
        if !fits {
            self.fail(at, 5, format!("verdict {standing:?} from {profile:?}, token {}", registered.token.is_some()));
        }
    }

    /// Promise 6: one call, one UUID, one ring, one end.
    ///
    /// If a server changes Call-IDs, a push after the end counts as one for another call.
    pub(crate) fn call(&mut self, event: &CallEvent, renamed: bool, at: u64) {
        let complaint = match &event.change {
            CallChange::Announced(caller) | CallChange::Ringing { caller, .. } => {
                let ring = self.rings.entry(number(&caller.uri)).or_default();
                if (renamed || ring.logged_out) && ring.ended && ring.uuid != Some(event.uuid) {
                    *ring = Ring::default();
                }
                let ringing = matches!(event.change, CallChange::Ringing { .. });
                let other = ring.uuid.is_some_and(|known| known != event.uuid);
                ring.uuid = Some(event.uuid);
                ring.since = at;
                let again = if ringing { ring.ringing } else { ring.announced || ring.ringing };
                if ringing {
                    ring.ringing = true
                } else {
                    ring.announced = true
                }
                match (other, again, ring.ended) {
                    (true, _, _) => Some("one call with two UUIDs"),
                    (_, true, _) => Some("one call rings twice"),
                    (_, _, true) => Some("a call rings after its end"),
                    _ => None,
                }
            }
            CallChange::Ended(how) => match self.rings.values_mut().find(|ring| ring.uuid == Some(event.uuid)) {
                None => Some("the end of a call that never began"),
                Some(ring) if ring.ended => Some("an end is told twice"),
                Some(ring) => {
                    ring.ended = true;
                    ring.logged_out = *how == Ended::LoggedOut;
                    (*how == Ended::Missed && ring.ringing).then_some("a ringing call was missed")
                }
            },
            _ => None,
        };
        if let Some(complaint) = complaint {
            self.fail(at, 6, complaint);
        }
    }

    pub(crate) fn knows_calls(&self) -> bool {
        !self.rings.is_empty()
    }

    /// Promise 6: a call whose INVITE never comes ends on time.
    pub(crate) fn calls_are_over(&mut self, at: u64) {
        // An INVITE that comes again on another flow rings again.
        const LONGEST: u64 = 365 * SECOND;
        let late = self.rings.values().any(|ring| {
            let limit = if ring.ringing { LONGEST } else { 41 * SECOND };
            ring.uuid.is_some() && !ring.ended && at > ring.since + limit
        });
        if late {
            self.fail(at, 6, "a call has no end");
        }
        self.rings.retain(|_, ring| !ring.ended || at < ring.since + 1800 * SECOND);
    }
}

/// `+4912` of `sip:+4912@x` and of `+4912`.
fn number(uri: &str) -> String {
    uri.trim_start_matches("sip:").split('@').next().unwrap_or_default().to_owned()
}

impl Seen {
    /// Whether a server may know something about this account.
    pub(crate) fn ever_sent(&self) -> bool {
        self.call_id.is_some()
    }
}
