//! The decisions that are recorded, and their codes.
//!
//! A code never changes its meaning, and no number is used again, so that old reports still read the same.
//! `docs/decisions.md` lists them, and a test compares it with this file.

use std::time::Duration;

use super::words::{
    Asks, Auth, Count, Distrust, Dropped, End, Fact, For, Gone, How, Kind, Milliseconds, NoRegister, Over, Push,
    Seconds, Sign, Silence, Status, Told, Trouble, Unopened, YesNo,
};
use crate::event::Failure;

/// One code of the list.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// Its number, which never changes its meaning.
    pub number: u16,
    /// Its name, which never changes either.
    pub name: &'static str,
    /// What was decided.
    pub meaning: &'static str,
    /// The names of the facts that it carries, and how to read them.
    pub facts: &'static [(&'static str, Kind)],
}

impl Code {
    /// Returns the code with this number.
    pub fn of(number: u16) -> Option<&'static Self> {
        CODES.binary_search_by_key(&number, |code| code.number).ok().map(|index| &CODES[index])
    }
}

macro_rules! decisions {
    ($($(#[doc = $meaning:literal])+ $number:literal $name:literal $variant:ident { $($fact:ident: $kind:ty),* })+) => {
        /// Something that was decided.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Decision { $($(#[doc = $meaning])+ $variant { $($fact: $kind),* },)+ }

        /// All codes, by their numbers.
        pub const CODES: &[Code] = &[$(Code {
            number: $number,
            name: $name,
            meaning: concat!($($meaning),+),
            facts: &[$((stringify!($fact), <$kind as Fact>::KIND)),*],
        }),+];

        impl Decision {
            /// Its number, how many facts it has, and these.
            pub(super) fn parts(self) -> (u16, usize, [u32; MOST_FACTS]) {
                match self {$(
                    Self::$variant { $($fact),* } => {
                        let given: &[u32] = &[$($fact.number()),*];
                        let mut facts = [0; MOST_FACTS];
                        facts[..given.len()].copy_from_slice(given);
                        ($number, given.len(), facts)
                    }
                )+}
            }
        }
    };
}

/// The most facts of one decision.
pub(super) const MOST_FACTS: usize = 3;

decisions! {
    /// A process began.
    100 "process-started" Started {}
    /// The wall clock was set by this much.
    101 "clock-set" ClockSet { by: Seconds, back: YesNo }
    /// The device's network changed: all flows are opened again.
    102 "network-changed" NetworkChanged {}
    /// The app asked for a registration.
    103 "register-asked" RegisterAsked {}
    /// The app gave another push token.
    104 "token-changed" TokenChanged {}

    /// A push was judged: what it asks for, why it is silent, and what the system was told.
    200 "push-judged" PushJudged { asks: Asks, silence: Silence, told: Told }
    /// How a push was delivered: how long after it was sent, if it says so, and whether its priority was lowered.
    201 "push-delivered" PushDelivered { age: Seconds, downgraded: YesNo }
    /// The push names no known user: it counts for the users who are logged in.
    202 "push-for-nobody-known" PushForNobodyKnown {}
    /// The push announces a call; the phone waits this long for its INVITE.
    203 "call-announced" Announced { window: Seconds }
    /// The push belongs to a known call.
    204 "push-again" PushAgain { invite_here: YesNo }
    /// The push, or the INVITE, belongs to a call that is over.
    205 "tombstone" Tombstone { invite: YesNo, ended: End }
    /// There is no room for another announced call.
    206 "push-full" PushFull {}
    /// The push leads to a REGISTER.
    207 "register-owed" RegisterOwed { in_flight: YesNo }
    /// Too many pushes came: the REGISTER waits.
    208 "register-delayed" RegisterDelayed { wait: Seconds }
    /// The push leads to no REGISTER.
    209 "no-register" NoRegister { why: NoRegister }
    /// The binding had expired before the push came, this long ago.
    210 "binding-lapsed" Lapsed { ago: Seconds }
    /// The push is sealed and was not opened: nothing in it counts.
    211 "push-unopened" PushUnopened { why: Unopened }

    /// A REGISTER was sent.
    300 "register-sent" RegisterSent { purpose: For, auth: Auth }
    /// A response to a REGISTER came.
    301 "register-answered" RegisterAnswered { status: Status, took: Milliseconds }
    /// No response to a REGISTER came in time.
    302 "register-unanswered" RegisterUnanswered {}
    /// The nonce was refused: it is forgotten.
    303 "nonce-forgotten" NonceForgotten { status: Status }
    /// The server refuses the push settings: the next REGISTER uses another dialect, or no push.
    304 "push-refused" PushRefused { status: Status }
    /// Registered for this long; what the server says about push.
    305 "registered" Registered { lifetime: Seconds, push: Push }
    /// The server did not prove that it knows the password.
    306 "server-suspicious" Suspicious {}
    /// The registration failed; the next attempt comes after the wait.
    307 "registration-failed" Failed { why: Trouble, status: Status, wait: Seconds }
    /// The registration failed, and nothing is sent until the app asks for it.
    308 "registration-stopped" Stopped { why: Trouble, status: Status }
    /// The registration failed at one gateway; the next one is tried.
    309 "next-gateway" NextGateway { why: Trouble, status: Status }
    /// The binding must be renewed.
    310 "refresh-due" RefreshDue {}

    /// A flow is opened, to this gateway of the list.
    400 "flow-opened" FlowOpened { over: Over }
    /// The flow is up.
    401 "flow-up" FlowUp {}
    /// The flow broke, or could not be opened.
    402 "flow-down" FlowDown { why: Trouble, was_up: YesNo }
    /// The flow gave no sign of life in time.
    403 "flow-silent" FlowSilent { missing: Sign }
    /// The flow moves to the server's next address.
    404 "next-address" NextAddress {}
    /// The flow is up at another address of the server.
    405 "flow-moved" FlowMoved {}

    /// An INVITE came for an announced call, this long after its push.
    500 "invite-joined" InviteJoined { after: Milliseconds }
    /// An INVITE came that no push had announced.
    501 "invite-new" InviteNew {}
    /// The INVITE came again, by another route.
    502 "invite-again" InviteAgain {}
    /// An INVITE was refused.
    503 "invite-refused" InviteRefused { status: Status }
    /// The phone may ring.
    504 "ringing" Ringing {}
    /// The user answered, and the INVITE is here: the app must give its media answer.
    505 "answer-wanted" AnswerWanted {}
    /// The call is up.
    506 "connected" Connected {}
    /// The call is over.
    507 "call-ended" CallEnded { how: End, status: Status }
    /// Something was dropped, this many times until now.
    508 "dropped" Dropped { what: Dropped, times: Count }
    /// The user declined.
    509 "declined" Declined { how: How }

    /// The user logged out: the log-out is stored and will be delivered.
    600 "log-out-asked" LogOutAsked {}
    /// The log-out is over.
    601 "logged-out" LoggedOut { removed: Gone }
    /// The push binding must be removed; the account stays.
    602 "unbind-asked" UnbindAsked {}
    /// A log-out that an earlier process could not deliver continues.
    603 "log-out-resumed" LogOutResumed {}
    /// The user switched do not disturb on or off.
    604 "do-not-disturb" DoNotDisturb { on: YesNo }
    /// Do not disturb is over: the push binding comes back.
    605 "do-not-disturb-over" DoNotDisturbOver {}

    /// A record cannot be read, because the store is shut.
    700 "store-shut" StoreShut {}
    /// The store failed.
    701 "store-failed" StoreFailed {}
    /// Everything that was asked for is stored.
    702 "durable" Durable {}

    /// Something from the network was not trusted: the app was told.
    800 "not-trusted" NotTrusted { what: Distrust }
}

impl Decision {
    /// A registration failed, and the next gateway is tried.
    pub(crate) fn next_gateway(failure: &Failure) -> Self {
        Self::NextGateway { why: failure.into(), status: status(failure) }
    }

    /// A registration failed. Without `retry_in`, it is not tried again.
    pub(super) fn failed(failure: &Failure, retry_in: Option<Duration>) -> Self {
        let (why, status) = (failure.into(), status(failure));
        match retry_in {
            Some(wait) => Self::Failed { why, status, wait: Seconds(wait) },
            None => Self::Stopped { why, status },
        }
    }
}

/// The status of a failure, or 0.
fn status(failure: &Failure) -> Status {
    Status(match failure {
        Failure::Refused { code, .. } | Failure::Answered { code, .. } => *code,
        _ => 0,
    })
}
