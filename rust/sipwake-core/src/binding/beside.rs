//! A binding that another SIP stack makes in our place. The Contact is that stack's, and the stack answers challenges.

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

    /// From here on another stack registers. Its Contact is the last one that was bound. As long as there is none, it
    /// is a name that leads nowhere.
    pub(crate) fn stand_beside(&mut self) {
        let known = self.memory.bound.as_ref().map(|bound| bound.base().to_owned());
        self.stands_at = Some(Box::new(known.unwrap_or_else(|| self.nowhere())));
    }

    /// Notes the other stack's Contact URI without push parameters. Returns whether it has changed.
    pub(crate) fn stand_at(&mut self, base: &str) -> bool {
        let before = self.stands_at.replace(Box::new(base.to_owned()));
        before.is_none_or(|before| *before != base)
    }

    /// Whether a Contact URI is the name that stands for an unknown one.
    pub(crate) fn is_nowhere(&self, uri: &str) -> bool {
        self.is_beside()
            && uri.strip_prefix(&self.nowhere()).is_some_and(|rest| rest.is_empty() || rest.starts_with(';'))
    }

    fn nowhere(&self) -> String {
        format!("sip:{}@{}.invalid", self.account.aor().user(), self.memory.from_tag)
    }
}

impl Binding {
    /// The REGISTER in flight: its branch, and its Contact URI without push parameters.
    pub(crate) fn sent(&self) -> Option<(&str, &str)> {
        self.sent.as_ref().map(|sent| (sent.branch.as_str(), sent.base.as_str()))
    }

    /// Takes a challenge to the REGISTER in flight. The other stack responds to it, so only the realm and the digest's URI
    /// matter here. The next REGISTER may say more than this one.
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
        // The realms are kept for the record of a log-out. The nonces belong to the other stack.
        nonces.invalidate_all();
        self.ask_anew();
    }

    /// Notes that the REGISTER in flight was sent with this Contact URI. Its push parameters stay.
    pub(crate) fn sent_from(&mut self, base: &str) {
        if let Some(sent) = &mut self.sent
            && let Some(params) = sent.uri.strip_prefix(sent.base.as_str())
        {
            sent.uri = [base, params].concat();
            sent.base = base.to_owned();
        }
    }

    /// The other stack sent the REGISTER that was written before the one in flight. That one had no `X-PIID`.
    pub(crate) fn sent_without_piid(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.piid = Piid::None;
        }
    }
}
