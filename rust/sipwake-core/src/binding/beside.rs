//! A binding that another SIP stack makes in our place: the Contact is that stack's, and so are the answers to challenges.

use super::{Binding, Piid, Registrant};
use crate::clock::Now;
use crate::digest::parse_challenges;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::record::Decision;
use crate::record::words::{Milliseconds, Status};
use crate::sip::Message;

impl Registrant {
    /// Whether another SIP stack registers in our place.
    pub(crate) fn is_beside(&self) -> bool {
        self.stands_at.is_some()
    }

    /// From here on another stack registers. Its Contact is the one that was bound last or, until it is known, a name that goes
    /// nowhere.
    pub(crate) fn stand_beside(&mut self) {
        let known = self.memory.bound.as_ref().map(|bound| bound.base().to_owned());
        self.stands_at = Some(Box::new(known.unwrap_or_else(|| self.nowhere())));
    }

    /// The other stack's Contact URI without push parameters. Returns whether that is news.
    pub(crate) fn stand_at(&mut self, base: &str) -> bool {
        let before = self.stands_at.replace(Box::new(base.to_owned()));
        before.is_none_or(|before| *before != base)
    }

    /// Whether a Contact URI is the name that stands for one that is not known.
    pub(crate) fn is_nowhere(&self, uri: &str) -> bool {
        self.is_beside()
            && uri.strip_prefix(&self.nowhere()).is_some_and(|rest| rest.is_empty() || rest.starts_with(';'))
    }

    fn nowhere(&self) -> String {
        format!("sip:{}@{}.invalid", self.account.aor().user(), self.memory.from_tag)
    }
}

impl Binding {
    /// The REGISTER in flight: its branch and its Contact URI without push parameters.
    pub(crate) fn sent(&self) -> Option<(&str, &str)> {
        self.sent.as_ref().map(|sent| (sent.branch.as_str(), sent.base.as_str()))
    }

    /// Takes a challenge to the REGISTER in flight, which the other stack answers: only the realm and the digest's URI count
    /// here. The next REGISTER may say more than this one.
    pub(crate) fn challenged_beside(
        &mut self,
        message: &Message,
        who: &mut Registrant,
        flows: &Flows,
        outbox: &mut Outbox,
        now: Now,
    ) {
        let Some(sent) = &self.sent else { return };
        let took = Milliseconds(now.boot.saturating_sub(sent.sent_at));
        let status = Status(message.code().unwrap_or_default());
        outbox.note(who.key(), Decision::RegisterAnswered { status, took });
        self.take_auth_uri(message, who, flows, outbox);
        let challenges = parse_challenges(message.headers("WWW-Authenticate"), message.headers("Proxy-Authenticate"));
        self.note_realm(&challenges, who, flows, outbox);
        let nonces = self.nonces(who);
        challenges.iter().for_each(|challenge| nonces.learn(challenge, now));
        // The realms are kept, for the record of a log-out; the nonces are the other stack's.
        nonces.invalidate_all();
        self.ask_anew();
    }

    /// The REGISTER in flight was sent with this Contact URI, apart from its push parameters.
    pub(crate) fn sent_from(&mut self, base: &str) {
        if let Some(sent) = &mut self.sent
            && let Some(params) = sent.uri.strip_prefix(sent.base.as_str())
        {
            sent.uri = [base, params].concat();
            sent.base = base.to_owned();
        }
    }

    /// The other stack sent what was written before the one in flight, which had no `X-PIID`.
    pub(crate) fn sent_without_piid(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.piid = Piid::None;
        }
    }
}
