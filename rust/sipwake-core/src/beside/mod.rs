//! Beside another SIP stack, which registers and takes the calls: everything that a [`UserAgent`] can do without a
//! socket.
//!
//! A [`Companion`] says what the next REGISTER must carry, reads the response, judges pushes, and says which call an
//! INVITE belongs to. `docs/beside.md` says what the companion guarantees and what depends on the stack.
//!
//! # The contract
//!
//! Hand in what happened. Then do everything that [`Companion::poll_output`] returns until it returns `None`, *in that
//! order*, and before the other stack sends anything. Come back when something else happens, or at
//! [`Companion::poll_timeout`].
//!
//! ```
//! use std::time::Duration;
//! use sipwake_core::account::{Account, AccountConfig};
//! use sipwake_core::beside::{Companion, Heard, Next, Output};
//! use sipwake_core::clock::Now;
//! use sipwake_core::push::{Provider, Push, PushConfig, Standing};
//!
//! let now = Now::new(Duration::from_secs(60), Duration::from_secs(1_800_000_000));
//! let mut companion = Companion::new([7; 32], None, now); // a seed that nobody can guess
//! let push = Push::parse(PushConfig::new(Provider::Fcm, "my-project"))?;
//! let token = push.parse_token(Some("c-10:APA91b"), None)?.expect("a token");
//! let account = Account::parse(AccountConfig::new("sip:alice@example.com", "wonderland"))?;
//! let alice = companion.add_account(account, Some(push), None, now)?;
//! companion.set_token(&alice, token, now)?;
//!
//! let register = companion.register_tags(&alice, now)?;
//! while let Some(output) = companion.poll_output() {
//!     if let Output::Save(_record) = output { /* keep it */ }
//! }
//! assert_eq!(register.tags.uri_params_text(), ";pn-provider=fcm;pn-param=my-project;pn-prid=c-10:APA91b");
//! // The other stack sends it, and shows what came back.
//! let headers = [("Expires", "3600"), ("feature-caps", "*;+sip.pns=\"fcm\"")];
//! let answer = companion.heard(&alice, &Heard::new(200, &headers), now)?;
//! assert_eq!(answer.next, Next::Nothing);
//! assert_eq!(answer.verdict.map(|verdict| verdict.standing), Some(Standing::Confirmed));
//! # Ok::<(), sipwake_core::beside::Error>(())
//! ```

mod calls;
mod error;
mod exchange;
mod headers;
mod register;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use uuid::Uuid;

use crate::account::{Account, AccountKey};
use crate::call::CallPolicy;
use crate::clock::Now;
use crate::digest::Credentials;
use crate::error::{FieldError, Rule};
use crate::event::{self, CallTimes, Event};
use crate::judge::Gate;
use crate::payload::{Channel, Hints, Payload, PushAction, parse_push};
use crate::push::{Push, PushToken};
use crate::record::{Platform, Report};
use crate::snapshot::{Record, SaveId};
use crate::user_agent::{Unreadable, UserAgent};

use self::calls::Held;
pub use self::calls::Invite;
pub use self::error::Error;
use self::exchange::Exchanges;
pub use self::exchange::{Answer, Heard, Next};
pub use self::register::Register;

/// One thing to do.
#[derive(Debug)]
pub enum Output {
    /// Store this record, or remove it, before you send anything that came after this output.
    Save(Record),
    /// Read the record under this key again, and hand it in ([`Companion::handle_loaded`]).
    Load(String),
    /// Make the other stack register now, with what [`Companion::register_tags`] says.
    Register(AccountKey),
    /// Respond with this status to each INVITE of this call that the other stack holds. Its caller gave up, or the user
    /// logged out.
    Refuse {
        /// The call.
        call: Uuid,
        /// The status.
        status: u16,
    },
    /// Tell the app.
    Event(Box<Event>),
}

/// A log-out that no response has proven or accepted. The other stack still has to send what
/// [`Companion::register_tags`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The account's id.
    pub account: AccountKey,
    /// The address of record.
    pub aor: String,
    /// The user name of the digest answer.
    pub auth_user: String,
    /// The password or, in a later process, HA1 for each realm that has asked. That is enough for stacks that accept
    /// HA1.
    pub credentials: Credentials,
}

/// The client beside another stack. See the [module](self) for how it is driven.
pub struct Companion {
    agent: UserAgent,
    exchanges: Exchanges,
    held: Held,
    outputs: VecDeque<Output>,
    /// The store refused something or could not be read. The app waits to hear when everything is stored.
    owes_durable: bool,
    /// An address that stands for the current network. What a server said without TLS counts only on the network where
    /// it did.
    local: IpAddr,
}

impl Companion {
    /// Returns a companion without accounts. It takes over the log-outs that an earlier process could not deliver.
    ///
    /// `seed` must be unguessable and new for each process. `removals` is the stored record
    /// [`REMOVALS`](crate::snapshot::REMOVALS), if there is one. The records are the same as the client's, so an app
    /// that changes from one to the other keeps its bindings.
    pub fn new(seed: [u8; 32], removals: Option<&[u8]>, now: Now) -> Self {
        // We do not know our address, so each process gets a network of its own.
        let [a, b, c, ..] = seed;
        let mut companion = Self {
            agent: UserAgent::new(seed, removals, now),
            exchanges: Exchanges::default(),
            held: Held::default(),
            outputs: VecDeque::new(),
            owes_durable: false,
            local: Ipv4Addr::new(240, a, b, c).into(),
        };
        companion.agent.saves_are_answered_later();
        companion.drain(now);
        companion
    }

    // Accounts and commands.

    /// Adds an account, or changes the settings of the one with the same AOR and registrar.
    ///
    /// The gateway's transport is the one that the other stack uses. Say it in `gateways` or `transport`, because
    /// `X-PIID` is not sent where others can read it. `stored` is the account's own record (see
    /// [`binding_key`](crate::snapshot::binding_key)).
    ///
    /// # Errors
    /// [`Error::Field`] for too many accounts, and for `require_server_proof`. Only the stack that computes the digest
    /// can check the proof.
    pub fn add_account(
        &mut self,
        account: Account,
        push: Option<Push>,
        stored: Option<&[u8]>,
        now: Now,
    ) -> Result<AccountKey, Error> {
        if account.requires_server_proof() {
            let conflict = "the stack that answers the challenges must check the server's proof";
            return Err(FieldError::new("require_server_proof", Rule::Conflict { conflict }).into());
        }
        let key = self.agent.add_account(account, push, stored, now)?;
        self.drain(now);
        Ok(key)
    }

    /// Sets the other stack's Contact URI, whenever it changes, so that a removal can name what was bound. If the stack
    /// does not show it, the companion learns it from the registrar's list.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::Contact`].
    pub fn stands_at(&mut self, account: &AccountKey, contact: &str, now: Now) -> Result<(), Error> {
        let base = exchange::base_of(contact)?;
        self.agent.registration(account)?;
        self.exchanges.told_contact(account);
        self.agent.with_registration(account, now, |registration| registration.stand_at(&base))?;
        self.drain(now);
        Ok(())
    }

    /// Takes the token that the push provider gave: as [`UserAgent::set_token`].
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn set_token(&mut self, account: &AccountKey, token: PushToken, now: Now) -> Result<(), Error> {
        self.agent.set_token(account, token, now)?;
        self.drain(now);
        Ok(())
    }

    /// Returns an account's push settings.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn push_settings(&self, account: &AccountKey) -> Result<Option<&Push>, Error> {
        Ok(self.agent.push(account)?)
    }

    /// Ends push and stays registered: as [`UserAgent::unbind_push`].
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn unbind_push(&mut self, account: &AccountKey, now: Now) -> Result<(), Error> {
        self.agent.unbind_push(account, now)?;
        self.drain(now);
        Ok(())
    }

    /// Keeps pushes from disturbing an account's user until then, or ends this with `None`: as
    /// [`UserAgent::set_do_not_disturb`]. The other stack is asked to register without push and, when the time is over,
    /// with it.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn set_do_not_disturb(&mut self, account: &AccountKey, until: Option<Duration>, now: Now) -> Result<(), Error> {
        self.agent.set_do_not_disturb(account, until, now)?;
        self.drain(now);
        Ok(())
    }

    /// Returns until when an account's user does not want to be disturbed, as time since 1970. `None` if they may be
    /// disturbed.
    pub fn do_not_disturb(&self, account: &AccountKey) -> Option<Duration> {
        self.gate().do_not_disturb(account)
    }

    /// Takes the public part of this phone's key for sealed pushes: as [`UserAgent::set_push_key`]. It goes with the tags of accounts
    /// that [send it](crate::account::AccountConfig::send_push_key).
    #[cfg(feature = "sealed")]
    pub fn set_push_key(&mut self, key: &crate::sealed::PushKey, now: Now) {
        self.agent.set_push_key(key, now);
        self.drain(now);
    }

    /// Whether an account sends the key for sealed pushes, which is not here yet.
    #[cfg(feature = "sealed")]
    pub fn wants_push_key(&self) -> bool {
        self.agent.wants_push_key()
    }

    /// Logs out: as [`UserAgent::log_out`]. The log-out is stored. [`pending`](Self::pending) names it, in later processes too,
    /// until a response that was [`heard`](Self::heard) ends it.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn log_out(&mut self, account: &AccountKey, now: Now) -> Result<(), Error> {
        self.watching(now, |agent| agent.log_out(account, now))?;
        Ok(())
    }

    /// Takes another realm for `X-PIID`: as [`UserAgent::accept_realm`].
    ///
    /// # Errors
    /// [`Error::Field`].
    pub fn accept_realm(&mut self, account: &AccountKey, realm: &str, now: Now) -> Result<(), Error> {
        self.agent.accept_realm(account, realm, now)?;
        self.drain(now);
        Ok(())
    }

    /// Says that the server may hold a binding that no record knows, as [`UserAgent::assume_bound`].
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn assume_bound(&mut self, account: &AccountKey) -> Result<(), Error> {
        Ok(self.agent.assume_bound(account)?)
    }

    /// Returns the log-outs that are not over.
    pub fn pending(&self) -> Vec<Pending> {
        let pending = |account: &Account| Pending {
            account: account.key(),
            aor: account.aor().to_string(),
            auth_user: account.auth_user().to_owned(),
            credentials: account.credentials().clone(),
        };
        self.agent.leaving().map(pending).collect()
    }

    // Pushes.

    /// Reads, judges and takes a push. The action says what to tell the platform.
    pub fn push<'a>(&mut self, payload: impl Into<Payload<'a>>, channel: Channel, hints: &Hints) -> PushAction {
        let action = self.gate().judge(parse_push(payload, channel, hints), hints, hints.received.boot);
        self.handle_push(&action, hints.received);
        action
    }

    /// Takes a push that was read, and perhaps judged by the [`gate`](Self::gate), before.
    pub fn handle_push(&mut self, action: &PushAction, now: Now) {
        self.watching(now, |agent| agent.handle_push(action, now));
    }

    /// Returns what judges pushes on another thread.
    pub fn gate(&self) -> Gate {
        self.agent.gate()
    }

    /// Sets how long an announced call is waited for, as [`UserAgent::set_call_policy`]. The stack itself decides about
    /// answers.
    pub fn set_call_policy(&mut self, policy: CallPolicy) {
        self.agent.set_call_policy(policy);
    }

    /// Returns the times of a call, also of one that ended within the last hour.
    pub fn call_times(&self, call: Uuid) -> Option<CallTimes> {
        self.agent.call_times(call)
    }

    // Time, the network and the store.

    /// The device is on another network: the other stack registers again.
    pub fn network_changed(&mut self, now: Now) {
        if let IpAddr::V4(address) = self.local {
            let next = u32::from(address).wrapping_add(1) | 0xf000_0000;
            self.local = Ipv4Addr::from(next).into();
        }
        self.agent.network_changed_beside(now);
        self.drain(now);
    }

    /// Does what is due now: ends calls whose INVITE never came, and asks for due REGISTERs.
    pub fn handle_timeout(&mut self, now: Now) {
        self.watching(now, |agent| agent.handle_timeout(now));
    }

    /// Returns the boot time at which [`handle_timeout`](Self::handle_timeout) wants to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        self.agent.poll_timeout()
    }

    /// Takes the result of an [`Output::Save`], soon after it: until then no command of the app is [durable](Self::is_durable). A
    /// record that the store refused comes again, as from [`UserAgent::handle_saved`].
    pub fn handle_saved(&mut self, id: SaveId, result: Result<(), String>, now: Now) {
        self.owes_durable |= result.is_err();
        self.agent.handle_saved(id, result, now);
        self.drain(now);
    }

    /// Takes a record that could not be read at first, or why it cannot be: as [`UserAgent::handle_loaded`].
    pub fn handle_loaded(&mut self, key: &str, loaded: Result<Option<&[u8]>, Unreadable>, now: Now) {
        self.owes_durable |= loaded.is_err();
        self.agent.handle_loaded(key, loaded, now);
        self.drain(now);
    }

    /// The store can be read, or written to, again.
    pub fn store_available(&mut self, now: Now) {
        self.agent.store_available(now);
        self.drain(now);
    }

    /// Whether everything that the app asked for is stored.
    pub fn is_durable(&self) -> bool {
        self.agent.is_durable()
    }

    /// Returns the black box to store, as [`UserAgent::poll_record`].
    pub fn poll_record(&mut self) -> Option<Vec<u8>> {
        self.agent.poll_record()
    }

    /// Returns the decisions and the current state, as [`UserAgent::report`].
    pub fn report(&self, platform: Option<Platform>, now: Now) -> Report {
        self.agent.report(platform, now)
    }

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the accounts, without those that are logged out.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.agent.accounts()
    }

    /// Plays the other side of every flow. Each flow is up as soon as the client asks for it. The other stack has to
    /// send each REGISTER on it.
    fn drain(&mut self, now: Now) {
        self.agent.stand_beside();
        while let Some(output) = self.agent.poll_output() {
            match output {
                event::Output::Save(record) => self.outputs.push_back(Output::Save(record)),
                event::Output::Load(key) => self.outputs.push_back(Output::Load(key)),
                // The app hears that everything is stored only if something was not.
                event::Output::Event(event) if *event == Event::Durable && !self.owes_durable => {}
                event::Output::Event(event) => {
                    self.owes_durable &= *event != Event::Durable;
                    if let Event::LoggedOut { account, .. } = &*event {
                        self.exchanges.forget(account);
                    }
                    self.outputs.push_back(Output::Event(event));
                }
                event::Output::Open { flow, hop, .. } => {
                    self.exchanges.opened(flow, hop);
                    self.agent.handle_flow_up(flow, SocketAddr::new(self.local, 9), now);
                    self.agent.stand_beside();
                }
                event::Output::Close(flow) => self.exchanges.closed(flow),
                event::Output::Transmit { flow, bytes, .. } => {
                    if let Some(account) = self.exchanges.written(flow, &bytes, &mut self.agent) {
                        self.outputs.push_back(Output::Register(account));
                    }
                }
                event::Output::NextAddress(_) | event::Output::HearPeers { .. } | event::Output::Received { .. } => {}
            }
        }
    }

    /// Runs a step that may end calls whose INVITEs the other stack has.
    fn watching<T>(&mut self, now: Now, act: impl FnOnce(&mut UserAgent) -> T) -> T {
        let ringing = self.agent.ringing_beside();
        let done = act(&mut self.agent);
        self.drain(now);
        for call in ringing {
            if let Some(status) = calls::refusal(self.agent.state_of(call)) {
                self.held.forget(call);
                self.outputs.push_back(Output::Refuse { call, status });
            }
        }
        done
    }
}
