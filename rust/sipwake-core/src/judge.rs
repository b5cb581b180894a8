//! Judges a push, once: is it for a user who is logged in, does it belong to a call that is not over, and to which one?
//!
//! A [`Gate`] is a small copy of what the client knows. The driver publishes a new one whenever something changes, so
//! that a push is judged without waiting for the client. [`handle_push`](crate::user_agent::UserAgent::handle_push)
//! later keeps to what the platform was told, action and UUID.

use std::sync::Arc;
use std::time::Duration;

use crate::account::{Account, AccountKey};
use crate::calls::{self, Notes, Past, Side, State, Table};
use crate::payload::{ActionKind, CALL_WINDOW, Duty, Hints, Ignored, Judged, PushAction};
use crate::snapshot::{LoggedOutUser, PushRule, Removals, StoredRemovals};

/// How long before the end of a binding a server pushes to have it refreshed, and how far the clocks may differ, in
/// seconds. OpenSIPS pushes two minutes before (`pn_trigger_interval`).
const REFRESH_PUSHES: u64 = 150;
const CLOCKS: u64 = 30;

/// What a push is judged by.
#[derive(Debug, Clone)]
pub struct Gate {
    users: Vec<User>,
    /// It is not known yet who logged out.
    unknown: bool,
    /// This is known even then: until this time, in seconds since 1970, no user of this phone may be disturbed.
    all_quiet_until: u64,
    /// This is known even then: all users of this phone accept only sealed pushes.
    all_sealed: bool,
    calls: Table,
    past: Option<Arc<Past>>,
    window: Duration,
    judged: Notes,
}

/// A user who is logged in, or was lately.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// `user@domain`, or the user alone.
    pub(crate) name: String,
    /// The account, as long as the client has it.
    pub(crate) account: Option<AccountKey>,
    /// No push for them makes a sound: they logged out, or want no pushes.
    pub(crate) silent: bool,
    /// Until when they do not want to be disturbed, in seconds since 1970. 0 if they may be disturbed.
    pub(crate) quiet_until: u64,
    /// They accept only what the app's decryptor opened.
    pub(crate) sealed: bool,
    /// They logged out, and the server does not know it yet.
    pub(crate) leaving: bool,
    /// When their binding ends, in seconds since 1970. 0 if there is none.
    pub(crate) bound_until: u64,
}

impl User {
    /// A user whose account is no longer here.
    pub(crate) fn logged_out(name: String) -> Self {
        Self { name, account: None, silent: true, quiet_until: 0, sealed: false, leaving: false, bound_until: 0 }
    }

    /// A user who is known only from the store.
    fn with_rule(user: PushRule) -> Self {
        Self { silent: false, quiet_until: user.until, sealed: user.sealed, ..Self::logged_out(user.name) }
    }

    /// Whether they do not want to be disturbed at that time.
    fn is_quiet(&self, wall: Duration) -> bool {
        wall.as_secs() < self.quiet_until
    }

    /// Whether pushes for them must be silent at that time.
    pub(crate) fn is_silent(&self, wall: Duration) -> bool {
        self.silent || self.is_quiet(wall)
    }
}

/// The AOR without its scheme. A push may name the user like this.
pub(crate) fn name(account: &Account) -> String {
    let aor = account.aor().as_str();
    aor.split_once(':').map_or(aor, |(_, rest)| rest).to_owned()
}

/// The users that a push is for. It may name them by user and domain, or else by user. If it names none of them, it is
/// for all (RFC 8599 section 4.1).
pub(crate) fn meant<'a>(users: &'a [User], action: &PushAction) -> Vec<&'a User> {
    let Some(user) = action.identity.account.as_deref() else { return users.iter().collect() };
    let of = |known: &&User| known.name.split('@').next().is_some_and(|name| name.eq_ignore_ascii_case(user));
    let spelled = action.account.as_deref().unwrap_or_default();
    let domain = spelled.rsplit_once('@').map(|(_, rest)| rest.split([':', ';', '>', '?']).next().unwrap_or_default());
    let exactly = |known: &&User| {
        let own = known.name.rsplit_once('@').map(|(_, rest)| rest.split(':').next().unwrap_or_default());
        own.zip(domain).is_some_and(|(own, domain)| own.eq_ignore_ascii_case(domain))
    };
    let exact: Vec<&User> = users.iter().filter(of).filter(exactly).collect();
    let named: Vec<&User> = if exact.is_empty() { users.iter().filter(of).collect() } else { exact };
    if named.is_empty() { users.iter().collect() } else { named }
}

/// The account that a push is for. There is one only if a single user can be meant who is here and believes the push.
pub(crate) fn account(meant: &[&User], action: &PushAction) -> Option<AccountKey> {
    let mut accounts = meant.iter().filter(|user| believes(user, action)).filter_map(|user| user.account.as_ref());
    let first = accounts.next()?;
    accounts.next().is_none().then(|| first.clone())
}

fn believes(user: &User, action: &PushAction) -> bool {
    !(user.sealed && action.unverified)
}

/// Whether all users, here or in the store, must not believe what a push says.
fn is_unbelieved(meant: &[&User], action: &PushAction) -> bool {
    let mut here = meant.iter().filter(|user| user.account.is_some() || user.sealed).peekable();
    here.peek().is_some() && !here.any(|user| believes(user, action))
}

/// Whether a push names a user who is not here.
pub(crate) fn is_nobody(meant: &[&User], action: &PushAction) -> bool {
    action.identity.account.is_some() && !names_one(meant, action)
}

/// Whether a push names one of these users.
fn names_one(meant: &[&User], action: &PushAction) -> bool {
    let Some(user) = action.identity.account.as_deref() else { return false };
    meant.iter().any(|known| known.name.split('@').next().is_some_and(|name| name.eq_ignore_ascii_case(user)))
}

impl Gate {
    pub(crate) fn new(
        users: Vec<User>,
        unknown: bool,
        (calls, past): (Table, Option<Arc<Past>>),
        window: Duration,
        judged: Notes,
    ) -> Self {
        Self { users, unknown, all_quiet_until: 0, all_sealed: false, calls, past, window, judged }
    }

    /// Returns a gate for a process without a client, from the stored record [`REMOVALS`](crate::snapshot::REMOVALS).
    /// It only knows which users logged out, do not want to be disturbed, or believe sealed pushes only. It silences
    /// pushes that name such a user, and every push while no user may be disturbed.
    pub fn of_log_outs(removals: Option<&[u8]>) -> Self {
        let stored = removals.and_then(|record| Removals::open(record).ok()).unwrap_or_default();
        let StoredRemovals { pending, departed, push_rules } = stored;
        let leaving = pending.into_iter().flatten().filter_map(|(_, removal)| Account::parse(removal.account).ok());
        let names = leaving.map(|account| name(&account)).chain(departed.iter().map(LoggedOutUser::name));
        let alone = push_rules.iter().all(|user| user.alone);
        let all_quiet_until =
            push_rules.iter().map(|user| user.until).filter(|until| alone && *until != 0).min().unwrap_or_default();
        let all_sealed = push_rules.iter().any(|user| user.sealed_alone);
        let users = names.map(User::logged_out).chain(push_rules.into_iter().map(User::with_rule)).collect();
        let gate = Self::new(users, true, (Table::default(), None), CALL_WINDOW, Notes::default());
        Self { all_quiet_until, all_sealed, ..gate }
    }

    /// Returns until when an account's user does not want to be disturbed, as time since 1970. `None` if they may be
    /// disturbed, and [`Duration::MAX`] until they say otherwise.
    pub fn do_not_disturb(&self, account: &AccountKey) -> Option<Duration> {
        let user = self.users.iter().find(|user| user.account.as_ref() == Some(account))?;
        match user.quiet_until {
            0 => None,
            u64::MAX => Some(Duration::MAX),
            until => Some(Duration::from_secs(until)),
        }
    }

    /// Returns how many log-outs the servers have not confirmed yet.
    pub fn pending_log_outs(&self) -> usize {
        self.users.iter().filter(|user| user.leaving).count()
    }

    /// Returns the action for this client. It is silent if nobody who is logged in and may be disturbed is meant, or if
    /// its call is over. It has the UUID that the call already has, if its INVITE or another push came before.
    ///
    /// PushKit's duty to report stays: such a call is reported and ended at once. The cancel of a connected call is
    /// reported, and ends nothing.
    pub fn judge(&self, mut action: PushAction, hints: &Hints, now: Duration) -> PushAction {
        let those = meant(&self.users, &action);
        // If a push names no known user, nobody can say who would have believed it.
        if is_unbelieved(&those, &action) && (!self.unknown || self.all_sealed || names_one(&those, &action)) {
            action.forget_words(hints);
        }
        let meant = meant(&self.users, &action);
        let push = Side::of_push(&action, account(&meant, &action));
        action.judged = Judged::Yes;
        if action.kind == ActionKind::Cancel {
            match self.calls.peek_cancel(&push) {
                Some((uuid, State::Over(_), _)) => action.uuid = uuid,
                Some((uuid, _, ends)) => {
                    action.uuid = uuid;
                    if ends {
                        action.judged = Judged::Ends;
                    } else if action.duty == Duty::ReportThenEnd {
                        action.duty = Duty::ReportCall;
                    }
                    return action;
                }
                None => {}
            }
        }
        let wall = hints.received.wall;
        let known = !self.unknown || names_one(&meant, &action) || wall.as_secs() < self.all_quiet_until;
        if known && meant.iter().all(|user| user.is_silent(wall)) {
            if meant.iter().any(|user| user.is_quiet(wall) && !user.leaving) {
                action.hush(hints);
            } else {
                action.silence(Ignored::LoggedOut, hints);
            }
            return action;
        }
        if action.is_call() {
            action.deadline = Some(action.age.deadline(self.window));
            match self.calls.peek(&push, now) {
                Some((uuid, state)) => {
                    action.uuid = uuid;
                    self.judged.note(calls::Judged { uuid, push, at: now });
                    if let State::Over(_) = state {
                        action.silence(Ignored::CallOver, hints);
                    }
                }
                // The call ended in an earlier process.
                None if self.past.as_ref().is_some_and(|past| past.knows(&push, hints.received.wall)) => {
                    action.silence(Ignored::CallOver, hints);
                }
                None if refreshes(&meant, &action, hints) => {
                    action.refresh(hints);
                }
                // If there is no room for another call, the phone must not ring.
                None if !self.calls.has_room(&push, now) => action.silence(Ignored::NoRoom, hints),
                None => {
                    action.uuid = self.calls.next_uuid(&push);
                    self.judged.note(calls::Judged { uuid: action.uuid, push, at: now });
                }
            }
        }
        action
    }
}

/// Whether a VoIP push without content only wants a refresh. Then it comes shortly before the end of the binding. If it
/// is a call after all, its INVITE follows the REGISTER and rings.
fn refreshes(meant: &[&User], action: &PushAction, hints: &Hints) -> bool {
    let now = hints.received.wall.as_secs();
    let soon = now.saturating_sub(CLOCKS)..=now.saturating_add(REFRESH_PUSHES);
    action.vendor.is_none()
        && meant
            .iter()
            .filter(|user| !user.is_silent(hints.received.wall))
            .all(|user| user.bound_until != 0 && soon.contains(&user.bound_until))
}
