//! Which REGISTER a response belongs to, and what follows from it.

use std::time::Duration;

use super::register::bare;
use super::{Companion, Error, Output, Register, headers};
use crate::account::{AccountKey, Hop};
use crate::clock::Now;
use crate::event::{Event, Failure, FlowId, Removed};
use crate::push::Verdict;
use crate::sip::{Contact, Message};
use crate::user_agent::UserAgent;

/// How many earlier REGISTERs of an account may still get a response.
const MAX_OLD: usize = 4;
/// For how many Call-IDs of an account the last answered CSeq is remembered.
const MAX_CALL_IDS: usize = 4;
/// If a stack answers more challenges than this to one REGISTER, its password is wrong.
const MAX_CHALLENGES: u8 = 4;

/// A response to a REGISTER, as the other stack shows it.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The [number](Register::number) of the REGISTER, if the app knows it.
    pub register: Option<u64>,
    /// The Call-ID of the other stack's REGISTER. If it is among the headers, it is taken from there.
    pub call_id: Option<&'a str>,
    /// Its CSeq, in the same way. With both, responses that come out of order find their REGISTER.
    pub cseq: Option<u32>,
    /// The status. 408 if no response came.
    pub status: u16,
    /// The reason phrase. Empty if the stack does not show it.
    pub phrase: &'a str,
    /// The header fields that the stack shows: in upper or lower case, folded or not, lists in one line or in several.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Heard<'a> {
    /// Returns a response without further details.
    pub fn new(status: u16, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { register: None, call_id: None, cseq: None, status, phrase: "", headers }
    }
}

/// What a response means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What to do.
    pub next: Next,
    /// What a 2xx says about push.
    pub verdict: Option<Verdict>,
    /// How long the binding lives.
    pub expires: Option<Duration>,
    /// How soon the other stack has to register again, at the latest. [`Output::Register`] says so, too.
    pub refresh_in: Option<Duration>,
}

/// What follows from a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Nothing, until an [`Output::Register`] comes.
    Nothing,
    /// Take the [tags](Companion::register_tags) and register at once: without what the server refused, for a longer
    /// time, at the redirect's target, or to remove what the server still lists. A former Contact to remove may come
    /// first, in its own REGISTER.
    Again,
    /// Answer the challenge. If `changed`, the REGISTER must now say something else: take the
    /// [tags](Companion::register_tags) first. Ask a stack that repeats its request by itself to register again.
    Authenticate {
        /// The challenge made something possible that the request did not say, such as `X-PIID` for its realm.
        changed: bool,
        /// The `uri` of the digest, if it is not the Request-URI.
        digest_uri: Option<String>,
    },
    /// It failed. An [`Output::Register`] comes when it is time for another attempt.
    Wait {
        /// Why.
        failure: Failure,
        /// For how long. `None` means: until the app changes something.
        retry_in: Option<Duration>,
    },
    /// The log-out is over.
    LoggedOut(Removed),
    /// It is a response to an earlier REGISTER, and says nothing about the current one.
    Old,
}

impl From<Next> for Answer {
    fn from(next: Next) -> Self {
        Self { next, verdict: None, expires: None, refresh_in: None }
    }
}

/// A REGISTER that the client has written.
#[derive(Debug)]
struct Exchange {
    register: Register,
    flow: FlowId,
    /// It is for the gateway in use.
    main: bool,
    branch: String,
    request: Message,
    /// The app has taken its tags.
    taken: bool,
    /// The Call-ID and CSeq that the other stack sent it with.
    sent_as: Option<(String, u32)>,
    /// The numbers of the challenged REGISTERs before it. The stack may still use those.
    before: Vec<u64>,
    /// A later REGISTER has replaced it.
    old: bool,
}

impl Exchange {
    fn goes_by(&self, number: u64) -> bool {
        self.register.number == number || self.before.contains(&number)
    }
}

/// What is known about the stack of an account.
#[derive(Debug)]
struct Stack {
    account: AccountKey,
    /// The app tells us its Contact.
    tells_contact: bool,
    /// The tags that the app took last.
    last: Option<Register>,
    challenges: u8,
    /// The last answered CSeq of each Call-ID.
    answered: Vec<(String, u32)>,
}

/// The REGISTERs that have no final response yet.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    hops: Vec<(FlowId, Hop)>,
    all: Vec<Exchange>,
    stacks: Vec<Stack>,
    written: u64,
}

/// The REGISTER that a response belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    At(usize),
    /// An earlier one that nothing waits for.
    Old,
    /// One that the stack sent by itself.
    Unasked,
}

impl Exchanges {
    pub(super) fn opened(&mut self, flow: FlowId, hop: Hop) {
        self.hops.push((flow, hop));
    }

    pub(super) fn closed(&mut self, flow: FlowId) {
        self.hops.retain(|(known, _)| *known != flow);
        self.all.retain(|exchange| exchange.flow != flow);
    }

    /// The client sends a message on a flow. If it is a new REGISTER, returns the account whose stack has to register.
    pub(super) fn written(&mut self, flow: FlowId, bytes: &[u8], agent: &mut UserAgent) -> Option<AccountKey> {
        if !bytes.starts_with(b"REGISTER ") {
            return None;
        }
        let request = Message::parse(bytes).ok()?;
        let branch = request.branch()?.to_owned();
        if self.all.iter().any(|known| known.branch == branch) {
            return None;
        }
        let (account, main) = agent.account_of(flow)?;
        let base = agent.base_of(&account, &branch)?;
        let registration = agent.registration(&account).ok()?;
        let (_, hop) = self.hops.iter().find(|(known, _)| *known == flow)?;
        let number = self.written + 1;
        let shown = |uri: &str| !registration.who().is_nowhere(uri);
        let mut register = Register::read(number, account.clone(), &request, hop, &base, shown)?;
        register.digest_uri = registration.digest_uri().map(str::to_owned);
        self.written = number;
        self.all.retain(|known| known.flow != flow || known.taken);
        for known in self.all.iter_mut().filter(|known| known.flow == flow) {
            known.old = true;
        }
        let old = |known: &Exchange| known.old && known.register.account == account;
        while self.all.iter().filter(|known| old(known)).count() > MAX_OLD {
            let Some(oldest) = self.all.iter().position(old) else { break };
            self.all.remove(oldest);
        }
        self.all.push(Exchange {
            register,
            flow,
            main,
            branch,
            request,
            taken: false,
            sent_as: None,
            before: Vec::new(),
            old: false,
        });
        main.then_some(account)
    }

    pub(super) fn told_contact(&mut self, account: &AccountKey) {
        self.stack(account).tells_contact = true;
    }

    fn stack(&mut self, account: &AccountKey) -> &mut Stack {
        let index = self.stacks.iter().position(|stack| stack.account == *account).unwrap_or_else(|| {
            let account = account.clone();
            self.stacks.push(Stack { account, tells_contact: false, last: None, challenges: 0, answered: Vec::new() });
            self.stacks.len() - 1
        });
        &mut self.stacks[index]
    }

    /// The current REGISTER for the gateway in use.
    fn current(&self, account: &AccountKey) -> Option<usize> {
        self.all.iter().position(|known| known.main && !known.old && known.register.account == *account)
    }

    fn take(&mut self, index: usize) -> Register {
        self.all[index].taken = true;
        let register = self.all[index].register.clone();
        if self.all[index].main {
            self.stack(&register.account).last = Some(register.clone());
        }
        register
    }

    /// Finds the REGISTER of a response: by number, by Call-ID and CSeq, or otherwise the one whose tags were requested first.
    /// If two REGISTERs are possible, it is not the later one: what the response proves would be wrong.
    fn find(&mut self, account: &AccountKey, heard: &Heard<'_>, id: Option<(&str, u32)>) -> Result<Found, Error> {
        let of = |known: &Exchange| known.register.account == *account;
        if let Some(number) = heard.register {
            if number == 0 || number > self.written {
                return Err(Error::NoSuchRegister(number));
            }
            let index = self.all.iter().position(|known| of(known) && known.goes_by(number));
            return Ok(index.map_or(Found::Old, Found::At));
        }
        if let Some((call_id, cseq)) = id {
            let as_sent =
                |known: &Exchange| known.sent_as.as_ref().is_some_and(|(id, seq)| id == call_id && *seq == cseq);
            if let Some(index) = self.all.iter().position(|known| of(known) && as_sent(known)) {
                return Ok(Found::At(index));
            }
            if self.stack(account).answered.iter().any(|(known, last)| known == call_id && cseq <= *last) {
                return Ok(Found::Old);
            }
        }
        let first = self.all.iter().position(|known| of(known) && known.main && known.taken && known.sent_as.is_none());
        Ok(first.or_else(|| self.current(account)).map_or(Found::Unasked, Found::At))
    }

    /// Notes that a REGISTER with this CSeq gets no further response.
    fn note_answered(&mut self, account: &AccountKey, id: Option<(&str, u32)>) {
        let Some((call_id, cseq)) = id else { return };
        let answered = &mut self.stack(account).answered;
        match answered.iter_mut().find(|(known, _)| known == call_id) {
            Some((_, last)) => *last = cseq.max(*last),
            None => {
                if answered.len() >= MAX_CALL_IDS {
                    answered.remove(0);
                }
                answered.push((call_id.to_owned(), cseq));
            }
        }
    }

    pub(super) fn forget(&mut self, account: &AccountKey) {
        self.all.retain(|known| known.register.account != *account);
        self.stacks.retain(|stack| stack.account != *account);
    }
}

/// The Contact URI of a stack, without push parameters.
pub(super) fn base_of(contact: &str) -> Result<String, Error> {
    // Without `<`, parameters would belong to the Contact header (RFC 3261 section 20.10). A plain URI keeps its
    // parameters.
    let contact = contact.trim();
    let uri = if contact.contains('<') { Contact::parse(contact).ok_or(Error::Contact)?.uri } else { contact };
    bare(uri).filter(|base| base.len() <= crate::account::MAX_FIELD).ok_or(Error::Contact)
}

impl Companion {
    /// Returns what the other stack's next REGISTER must say. It stays the same until a response comes or the app wants
    /// something else. Call it before each REGISTER, or once if the stack repeats what it was given. Do what
    /// [`poll_output`](Self::poll_output) returns before you send it.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`]. [`Error::NothingToSend`] if only left gateways still hold something.
    pub fn register_tags(&mut self, account: &AccountKey, now: Now) -> Result<Register, Error> {
        self.agent.with_registration(account, now, |registration| registration.ask_now())?;
        self.drain(now);
        let index = self.exchanges.current(account).ok_or(Error::NothingToSend)?;
        self.outputs.retain(|output| !matches!(output, Output::Register(due) if due == account));
        Ok(self.exchanges.take(index))
    }

    /// Asks the other stack to register now ([`Output::Register`]), unless it was asked and the response has not come yet.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn register(&mut self, account: &AccountKey, now: Now) -> Result<(), Error> {
        self.agent.registration(account)?;
        if self.exchanges.current(account).is_none() {
            self.agent.with_registration(account, now, |registration| registration.ask_now())?;
            self.drain(now);
        }
        Ok(())
    }

    /// Returns the REGISTERs that remove bindings at gateways that were left, for a stack that can reach them. Hand in
    /// each response with its number.
    pub fn registers_elsewhere(&mut self) -> Vec<Register> {
        let there: Vec<usize> =
            (0..self.exchanges.all.len()).filter(|index| !self.exchanges.all[*index].main).collect();
        there.into_iter().map(|index| self.exchanges.take(index)).collect()
    }

    /// Says which Call-ID and CSeq the other stack used for a REGISTER, if it shows them. They identify the response.
    ///
    /// # Errors
    /// [`Error::NoSuchRegister`] for one that was never written for this account, or was answered.
    pub fn sent(&mut self, account: &AccountKey, number: u64, call_id: &str, cseq: u32) -> Result<(), Error> {
        let mut all = self.exchanges.all.iter_mut();
        let known = all.find(|known| known.goes_by(number) && known.register.account == *account);
        known.ok_or(Error::NoSuchRegister(number))?.sent_as = Some((call_id.to_owned(), cseq));
        Ok(())
    }

    /// Takes a whole response to a REGISTER, as it came over the wire.
    ///
    /// # Errors
    /// As [`heard`](Self::heard).
    pub fn heard_message(
        &mut self,
        account: &AccountKey,
        register: Option<u64>,
        response: &[u8],
        now: Now,
    ) -> Result<Answer, Error> {
        let message = Message::parse(response)?;
        let status = message.code().ok_or(Error::Unreadable(crate::sip::ParseError::StartLine))?;
        let headers: Vec<(&str, &str)> = message.all_headers().collect();
        let crate::sip::Start::Response { reason: phrase, .. } = &message.start else {
            return Err(Error::Status(status));
        };
        self.heard(account, &Heard { register, phrase, ..Heard::new(status, &headers) }, now)
    }

    /// Takes a response to a REGISTER of the other stack, and says what follows from it.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::NothingAsked`], [`Error::NoSuchRegister`], [`Error::Status`], [`Error::Method`] and what may
    /// be wrong with headers. Nothing was changed then.
    pub fn heard(&mut self, account: &AccountKey, heard: &Heard<'_>, now: Now) -> Result<Answer, Error> {
        self.agent.registration(account)?;
        if !(100..700).contains(&heard.status) {
            return Err(Error::Status(heard.status));
        }
        let phrase = if heard.phrase.chars().any(char::is_control) { "" } else { heard.phrase };
        let response = headers::message(&format!("SIP/2.0 {} {phrase}", heard.status), heard.headers)?;
        headers::is_of(&response, "REGISTER")?;
        if heard.status < 200 {
            return Ok(Next::Nothing.into());
        }
        let call_id = heard.call_id.or(response.call_id());
        let cseq = heard.cseq.or(response.cseq().map(|cseq| cseq.seq));
        let id = call_id.zip(cseq);
        let challenge = matches!(heard.status, 401 | 407);
        let index = match self.exchanges.find(account, heard, id)? {
            Found::At(index) => index,
            Found::Old => return Ok(Next::Old.into()),
            Found::Unasked => {
                let Some(last) = self.exchanges.stack(account).last.clone() else { return Err(Error::NothingAsked) };
                self.agent.with_registration(account, now, |registration| registration.ask_now())?;
                self.drain(now);
                let all = &mut self.exchanges;
                match all.current(account) {
                    Some(index) if all.all[index].register.says_what(&last) => {
                        all.take(index);
                        index
                    }
                    Some(_) => return Ok(Next::Again.into()),
                    None => return Ok(Next::Old.into()),
                }
            }
        };
        if self.exchanges.all[index].old {
            // The stack may still answer its challenge.
            if !challenge {
                self.exchanges.all.remove(index);
                self.exchanges.note_answered(account, id);
            }
            return Ok(Next::Old.into());
        }
        let last = self.exchanges.stack(account).last.clone();
        let repeats = !self.exchanges.all[index].taken && self.exchanges.all[index].main;
        if repeats && !last.as_ref().is_some_and(|last| is_but_for_piid(&self.exchanges.all[index].register, last)) {
            return Ok(Next::Again.into());
        }
        let exchange = self.exchanges.all.remove(index);
        if challenge {
            return Ok(self.challenged(account, exchange, &response, now));
        }
        self.exchanges.stack(account).challenges = 0;
        self.exchanges.note_answered(account, id);
        self.learn_contact(account, &exchange, &response, now)?;
        let without_piid = repeats && exchange.register.has("X-PIID") && !last.is_some_and(|last| last.has("X-PIID"));
        let before = self.outputs.len();
        self.agent.with_registration(account, now, |registration| {
            if without_piid {
                registration.sent_without_piid(&exchange.branch);
            }
        })?;
        let bytes = headers::answer(&exchange.request, heard.status, phrase, &response);
        self.agent.handle_answer(exchange.flow, &bytes, now);
        if without_piid {
            // The stack left out `X-PIID`, which the next REGISTER has.
            let _ = self.agent.with_registration(account, now, |registration| registration.ask_now());
        }
        self.drain(now);
        Ok(self.follows(account, before, now))
    }

    fn challenged(&mut self, account: &AccountKey, exchange: Exchange, response: &Message, now: Now) -> Answer {
        let stack = self.exchanges.stack(account);
        stack.challenges = stack.challenges.saturating_add(1);
        if stack.challenges > MAX_CHALLENGES {
            stack.challenges = 0;
            let before = self.outputs.len();
            self.agent.give_up_credentials(account, &exchange.branch, now);
            self.drain(now);
            return self.follows(account, before, now);
        }
        self.agent.handle_challenge(account, &exchange.branch, response, now);
        self.drain(now);
        let current = self.exchanges.current(account);
        let changed = current.is_none_or(|index| !self.exchanges.all[index].register.says_what(&exchange.register));
        self.outputs.retain(|output| !matches!(output, Output::Register(due) if due == account));
        let digest_uri = current.and_then(|index| self.exchanges.all[index].register.digest_uri.clone());
        if let Some(index) = current {
            let next = &mut self.exchanges.all[index];
            next.before = exchange.before;
            next.before.push(exchange.register.number);
            if !changed && exchange.taken {
                // The app already has what the next REGISTER says, because it took the same tags.
                self.exchanges.take(index);
            }
        }
        Next::Authenticate { changed, digest_uri }.into()
    }

    /// Learns the other stack's Contact from the registrar's list, if the app does not tell it.
    fn learn_contact(
        &mut self,
        account: &AccountKey,
        exchange: &Exchange,
        response: &Message,
        now: Now,
    ) -> Result<(), Error> {
        let told = self.exchanges.stack(account).tells_contact;
        if told || exchange.register.removes() || response.code().is_none_or(|code| code >= 300) {
            return Ok(());
        }
        let listed = response.contacts();
        let known = exchange.register.contact.as_ref();
        if known.is_some_and(|known| listed.iter().any(|contact| contact.uri == known.expose())) {
            return Ok(());
        }
        let alive = listed.iter().filter(|contact| contact.expires() != Some(0));
        if let Some(base) = alive.filter_map(|contact| exchange.register.base_in(contact)).next() {
            self.agent
                .with_registration(account, now, |registration| registration.learn_base(&exchange.branch, &base))?;
        }
        Ok(())
    }

    /// The result of a response.
    fn follows(&mut self, account: &AccountKey, before: usize, now: Now) -> Answer {
        let mut answer = Answer::from(Next::Nothing);
        for output in self.outputs.iter().skip(before) {
            let Output::Event(event) = output else { continue };
            match &**event {
                Event::Registered { account: of, registered } if of == account => {
                    answer.verdict = Some(registered.verdict.clone());
                    answer.expires = Some(registered.expires);
                }
                Event::RegistrationFailed { account: of, failure, retry_in } if of == account => {
                    answer.next = Next::Wait { failure: failure.clone(), retry_in: *retry_in };
                }
                Event::LoggedOut { account: of, removed, .. } if of == account => {
                    answer.next = Next::LoggedOut(*removed);
                }
                _ => {}
            }
        }
        if matches!(answer.next, Next::LoggedOut(_)) {
            return answer;
        }
        if self.exchanges.current(account).is_some() {
            answer.next = Next::Again;
            self.outputs.retain(|output| !matches!(output, Output::Register(due) if due == account));
        }
        let refresh_at = self.agent.registration(account).ok().and_then(|registration| registration.refresh_at());
        answer.refresh_in = refresh_at.map(|at| at.saturating_sub(now.boot));
        answer
    }
}

/// Whether two REGISTERs differ at most in `X-PIID`.
fn is_but_for_piid(one: &Register, other: &Register) -> bool {
    let without = |register: &Register| {
        let mut register = register.clone();
        register.tags.headers.retain(|tag| !tag.name.eq_ignore_ascii_case("X-PIID"));
        register
    };
    without(one).says_what(&without(other))
}
