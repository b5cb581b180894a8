//! The matching rules of `docs/calls.md` and nothing else. This was written from that page alone, before anybody read the client's code. It uses none of the
//! client's types.

/// What one side, a push or an INVITE, says about the caller and the call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) call_id: Option<String>,
    pub(super) vendor_id: Option<String>,
    pub(super) numbers: Vec<String>,
    /// Users that are not numbers, and names.
    pub(super) words: Vec<String>,
    /// It says that the caller wants to stay anonymous.
    pub(super) anonymous: bool,
}

impl Side {
    fn names(&self) -> bool {
        !self.numbers.is_empty() || !self.words.is_empty()
    }

    fn withholds(&self) -> bool {
        self.anonymous && !self.names()
    }

    fn has_id(&self) -> bool {
        self.call_id.is_some() || self.vendor_id.is_some()
    }

    fn shares_an_id(&self, other: &Side) -> bool {
        both(&self.call_id, &other.call_id) == Some(true) || both(&self.vendor_id, &other.vendor_id) == Some(true)
    }
}

fn both(a: &Option<String>, b: &Option<String>) -> Option<bool> {
    Some(a.as_ref()? == b.as_ref()?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Same,
    Different,
    Unknown,
}

fn caller(a: &Side, b: &Side) -> Caller {
    let number = a.numbers.iter().any(|a| b.numbers.iter().any(|b| same_number(a, b)));
    let both_numbers = !a.numbers.is_empty() && !b.numbers.is_empty();
    let word = a.words.iter().any(|a| b.words.iter().any(|b| same_word(a, b)));
    if number || (!both_numbers && word) {
        Caller::Same
    } else if a.names() && b.names() {
        Caller::Different
    } else {
        Caller::Unknown
    }
}

fn same_word(a: &str, b: &str) -> bool {
    let plain = |word: &str| {
        word.trim().trim_matches('"').split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    plain(a).eq_ignore_ascii_case(&plain(b))
}

/// "Two numbers are the same without `+`, leading zeros, `(0)`, …; or …; or …"
pub(super) fn same_number(a: &str, b: &str) -> bool {
    #[derive(PartialEq)]
    enum Form {
        International,
        National,
        Plain,
    }
    fn read(number: &str) -> (Form, String) {
        let bare: String = number.replace("(0)", "").chars().filter(|c| !" -./()[]".contains(*c)).collect();
        let form = if bare.starts_with('+') || bare.starts_with("00") {
            Form::International
        } else if bare.starts_with('0') {
            Form::National
        } else {
            Form::Plain
        };
        (form, bare.trim_start_matches('+').trim_start_matches('0').to_owned())
    }
    let ((form_a, a), (form_b, b)) = (read(a), read(b));
    if a == b {
        return true;
    }
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    if short.len() >= 7 && long.ends_with(short.as_str()) {
        return true;
    }
    let behind_a_code = |international: &str, national: &str| {
        national.len() >= 4
            && international.ends_with(national)
            && (1..=3).contains(&(international.len() - national.len()))
    };
    (form_a == Form::International && form_b == Form::National && behind_a_code(&a, &b))
        || (form_b == Form::International && form_a == Form::National && behind_a_code(&b, &a))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gateway {
    Keeps,
    Renames,
    NotKnown,
}

fn vendors_differ(a: &Side, b: &Side) -> bool {
    both(&a.vendor_id, &b.vendor_id) == Some(false)
}

fn call_ids_differ(a: &Side, b: &Side) -> bool {
    both(&a.call_id, &b.call_id) == Some(false)
}

fn apart(a: &Side, b: &Side, gateway: Gateway) -> bool {
    vendors_differ(a, b) || (call_ids_differ(a, b) && gateway == Gateway::Keeps)
}

fn perhaps_apart(a: &Side, b: &Side, gateway: Gateway) -> bool {
    vendors_differ(a, b) || (call_ids_differ(a, b) && gateway != Gateway::Renames)
}

/// Rule U: "one of the two sides does not tell which call it is".
fn undecidable(a: &Side, b: &Side, gateway: Gateway) -> bool {
    let ids_differ = vendors_differ(a, b) || call_ids_differ(a, b);
    let tells = |side: &Side| {
        side.names() || (side.call_id.is_some() && gateway == Gateway::Keeps) || (side.withholds() && ids_differ)
    };
    !tells(a) || !tells(b)
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The user refused it, before or after its INVITE.
    Refused,
    /// Nobody answered, or the caller gave up first.
    Missed,
    /// It had been answered.
    HungUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Ringing,
    Connected,
    Over(u64, End),
}

#[derive(Debug, Clone)]
struct Call {
    push: Option<Side>,
    invite: Option<Side>,
    invite_at: u64,
    /// `None`: any account.
    account: Option<usize>,
    life: Life,
    /// The order in which they reached the client.
    order: usize,
}

impl Call {
    fn under_way(&self) -> bool {
        !matches!(self.life, Life::Over(..))
    }

    fn may_be_for(&self, account: Option<usize>) -> bool {
        account.is_none() || self.account.is_none() || self.account == account
    }

    fn shares_an_id(&self, side: &Side) -> bool {
        [&self.push, &self.invite].into_iter().flatten().any(|mine| mine.shares_an_id(side))
    }

    /// "Of a call that has both its sides the INVITE's word counts first."
    fn caller(&self, side: &Side) -> Caller {
        [&self.invite, &self.push]
            .into_iter()
            .flatten()
            .map(|mine| caller(mine, side))
            .find(|found| *found != Caller::Unknown)
            .unwrap_or(Caller::Unknown)
    }

    fn waits_for_its_invite(&self) -> bool {
        self.under_way() && self.push.is_some() && self.invite.is_none()
    }

    fn waits_for_its_push(&self) -> bool {
        self.under_way() && self.push.is_none() && self.invite.is_some()
    }
}

/// The result for a push or an INVITE, and the row that it comes from, for the reader of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    New(usize),
    Joins(usize),
    /// The call has ended: its INVITE is refused, or its push stays silent.
    Over,
}

#[derive(Debug, Default)]
pub(super) struct Page {
    calls: Vec<Call>,
    /// Ids of cancel pushes that matched no call.
    cancelled: Vec<Side>,
}

impl Page {
    fn gateway(&self, account: usize) -> Gateway {
        let ids = |call: &Call| Some((call.push.as_ref()?.call_id.clone()?, call.invite.as_ref()?.call_id.clone()?));
        let shown = self.newest(|call| call.account == Some(account) && ids(call).is_some());
        let shown = shown.and_then(|at| ids(&self.calls[at]).map(|(push, invite)| (at, push, invite)));
        let Some((at, push, invite)) = shown else { return Gateway::NotKnown };
        let met_the_wrong_one = || {
            let others = self.calls.iter().enumerate().filter(|(other, _)| *other != at);
            others.filter_map(|(_, call)| call.invite.as_ref()?.call_id.as_ref()).any(|id| *id == push)
        };
        if push == invite || met_the_wrong_one() { Gateway::Keeps } else { Gateway::Renames }
    }

    fn newest(&self, fits: impl Fn(&Call) -> bool) -> Option<usize> {
        let fitting = self.calls.iter().enumerate().filter(|(_, call)| fits(call));
        fitting.max_by_key(|(_, call)| call.order).map(|(at, _)| at)
    }

    fn only(&self, fits: impl Fn(&Call) -> bool) -> Option<usize> {
        let mut all = (0..self.calls.len()).filter(|at| fits(&self.calls[*at]));
        all.next().filter(|_| all.next().is_none())
    }

    /// A push announces a call.
    pub(super) fn push(&mut self, push: Side, account: Option<usize>, now: u64) -> (Outcome, &'static str) {
        if let Some(at) = self.newest(|call| call.under_way() && call.shares_an_id(&push)) {
            self.calls[at].push.get_or_insert(push);
            return (Outcome::Joins(at), "P1");
        }
        if let Some(at) = self.newest(|call| call.shares_an_id(&push)) {
            self.calls[at].push.get_or_insert(push);
            return (Outcome::Over, "P2");
        }
        if self.cancelled.iter().any(|id| id.shares_an_id(&push)) {
            return (Outcome::Over, "P2");
        }
        let gateway = |call: &Call| self.gateway(call.account.expect("an INVITE is for an account"));
        let half = |call: &Call| call.waits_for_its_push() && call.may_be_for(account);
        let not_apart =
            |call: &Call| !apart(call.invite.as_ref().expect("it waits for its push"), &push, gateway(call));
        let p3 = self.newest(|call| half(call) && call.caller(&push) == Caller::Same && not_apart(call));
        if let Some(at) = p3 {
            self.calls[at].push = Some(push);
            return (Outcome::Joins(at), "P3");
        }
        let p4 = self.only(half).filter(|at| {
            let call = &self.calls[*at];
            call.caller(&push) == Caller::Unknown
                && not_apart(call)
                && undecidable(call.invite.as_ref().expect("it has one"), &push, gateway(call))
        });
        if let Some(at) = p4 {
            self.calls[at].push = Some(push);
            return (Outcome::Joins(at), "P4");
        }
        let p5 = self.newest(|call| {
            let Some(invite) = &call.invite else { return false };
            let over = !call.under_way();
            let owed = call.push.is_none() && now < call.invite_at + 40 && call.may_be_for(account);
            over && owed && call.caller(&push) == Caller::Same && !perhaps_apart(invite, &push, gateway(call))
        });
        if let Some(at) = p5 {
            self.calls[at].push = Some(push);
            return (Outcome::Over, "P5");
        }
        let p6 = self.newest(|call| {
            let Some(first) =
                call.push.as_ref().filter(|_| call.under_way() && call.may_be_for(account) && !push.has_id())
            else {
                return false;
            };
            let nobody = !push.names() && !first.names() && !first.has_id() && call.invite.is_none();
            call.caller(&push) == Caller::Same || nobody
        });
        if let Some(at) = p6 {
            return (Outcome::Joins(at), "P6");
        }
        let order = self.next();
        self.calls.push(Call { push: Some(push), invite: None, invite_at: 0, account, life: Life::Ringing, order });
        (Outcome::New(self.calls.len() - 1), "P9")
    }

    /// An INVITE comes.
    pub(super) fn invite(&mut self, invite: Side, account: usize, now: u64) -> (Outcome, &'static str) {
        let has = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.shares_an_id(&invite));
        let known = self.newest(|call| has(&call.invite) && call.under_way());
        let known = known.or_else(|| self.newest(|call| has(&call.invite)));
        let known = known.or_else(|| self.newest(|call| has(&call.push)));
        let mut as_new = None;
        if let Some(at) = known {
            let call = &self.calls[at];
            match (has(&call.invite), &call.invite, call.life) {
                (true, _, Life::Over(since, _)) if now < since + 10 => return (Outcome::Over, "I2"),
                (true, _, Life::Over(..)) => as_new = Some("I3"),
                (true, ..) => return (Outcome::Joins(at), "I1"),
                (false, Some(_), _) => as_new = Some("I5"),
                (false, None, life) => {
                    self.take(at, invite, account, now);
                    return (if matches!(life, Life::Over(..)) { Outcome::Over } else { Outcome::Joins(at) }, "I4");
                }
            }
        }
        if let Some(row) = as_new {
            return (self.new_invite(invite, account, now), row);
        }
        let gateway = self.gateway(account);
        let half = |call: &Call| call.waits_for_its_invite() && call.may_be_for(Some(account));
        let not_apart = |call: &Call| !apart(call.push.as_ref().expect("it waits for its INVITE"), &invite, gateway);
        if let Some(at) = self.newest(|call| half(call) && call.caller(&invite) == Caller::Same && not_apart(call)) {
            self.take(at, invite, account, now);
            return (Outcome::Joins(at), "I6");
        }
        let i7 = self.only(half).filter(|at| {
            let call = &self.calls[*at];
            call.caller(&invite) == Caller::Unknown
                && not_apart(call)
                && undecidable(call.push.as_ref().expect("it has one"), &invite, gateway)
        });
        if let Some(at) = i7 {
            self.take(at, invite, account, now);
            return (Outcome::Joins(at), "I7");
        }
        let i8 = self.newest(|call| {
            let Some(push) = call.push.as_ref().filter(|_| call.invite.is_none()) else { return false };
            let refused = matches!(call.life, Life::Over(since, End::Refused) if now < since + 40);
            refused
                && call.may_be_for(Some(account))
                && call.caller(&invite) == Caller::Same
                && !perhaps_apart(push, &invite, gateway)
        });
        if let Some(at) = i8 {
            self.take(at, invite, account, now);
            return (Outcome::Over, "I8");
        }
        (self.new_invite(invite, account, now), "I9")
    }

    fn take(&mut self, at: usize, invite: Side, account: usize, now: u64) {
        let call = &mut self.calls[at];
        (call.invite, call.account, call.invite_at) = (Some(invite), Some(account), now);
    }

    fn new_invite(&mut self, invite: Side, account: usize, now: u64) -> Outcome {
        let order = self.next();
        self.calls.push(Call {
            push: None,
            invite: Some(invite),
            invite_at: now,
            account: Some(account),
            life: Life::Ringing,
            order,
        });
        Outcome::New(self.calls.len() - 1)
    }

    /// A cancel push and the call that it ends.
    pub(super) fn cancel_push(
        &mut self,
        cancel: Side,
        account: Option<usize>,
        now: u64,
    ) -> (Option<usize>, &'static str) {
        if let Some(at) = self.newest(|call| call.under_way() && call.shares_an_id(&cancel)) {
            let call = &self.calls[at];
            // The flows of these tests stay up, so C2 never applies.
            let ends = match &call.invite {
                None => true,
                Some(invite) => call.life == Life::Ringing && call.push.is_some() && invite.shares_an_id(&cancel),
            };
            if !ends {
                return (None, "C3");
            }
            self.over(at, End::Missed, now);
            return (Some(at), "C1");
        }
        let known = self.calls.iter().any(|call| call.shares_an_id(&cancel));
        if known || self.cancelled.iter().any(|id| id.shares_an_id(&cancel)) {
            return (None, "C3");
        }
        let waits = |call: &Call| {
            call.waits_for_its_invite() && call.may_be_for(account) && !call.push.as_ref().is_some_and(Side::has_id)
        };
        let c3 = self.newest(|call| waits(call) && call.caller(&cancel) == Caller::Same);
        let c4 = || self.only(waits).filter(|_| !cancel.names());
        if let Some(at) = c3.or_else(c4) {
            self.over(at, End::Missed, now);
            return (Some(at), if c3.is_some() { "C4" } else { "C5" });
        }
        if cancel.has_id() {
            self.cancelled.push(cancel);
            return (None, "C6");
        }
        (None, "C7")
    }

    /// The client handles the push of an announced call.
    pub(super) fn reached(&mut self, at: usize) {
        if self.calls[at].invite.is_none() {
            self.calls[at].order = self.next();
        }
    }

    fn next(&self) -> usize {
        self.calls.iter().map(|call| call.order + 1).max().unwrap_or_default()
    }

    pub(super) fn connected(&mut self, at: usize) {
        self.calls[at].life = Life::Connected;
    }

    pub(super) fn over(&mut self, at: usize, end: End, now: u64) {
        self.calls[at].life = Life::Over(now, end);
    }
}
