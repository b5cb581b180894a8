//! A registration that another SIP stack carries out. The stack decides when it registers, and we decide what it says.

use std::time::Duration;

use super::{Due, Life, Pace, Registration};
use crate::binding::{Binding, Registrant};
use crate::clock::Now;
use crate::event::Failure;
use crate::flows::Flows;
use crate::outbox::Outbox;
use crate::sip::Message;

impl Registration {
    /// From here on another stack registers in our place.
    pub(crate) fn stand_beside(&mut self) {
        if !self.who.is_beside() {
            self.who.stand_beside();
        }
    }

    /// Who registers.
    pub(crate) fn who(&self) -> &Registrant {
        &self.who
    }

    /// The other stack registers now, whether or not that was due. The next REGISTER says what the app wants. If the
    /// one in flight says something else, its response is not waited for.
    pub(crate) fn ask_now(&mut self) {
        if self.is_leaving() {
            (self.pace, self.failures) = (Pace::Free, 0);
            if !self.here.is_asking() && self.life == Life::Leaving {
                self.due.insert(Due::Binding);
            }
        } else {
            self.register();
        }
        if self.here.is_asking() && self.wants_to_send() {
            self.interrupt();
        }
    }

    /// Notes the other stack's Contact URI, without push parameters.
    pub(crate) fn stand_at(&mut self, base: &str) {
        if self.here.sent().is_some_and(|(_, sent)| self.who.is_nowhere(sent)) {
            self.here.sent_from(base);
        }
        let moved = self.who.stand_at(base) && !self.here.is_asking();
        let bound = self.who.memory().bound.as_ref().is_some_and(|bound| bound.base() != base);
        if moved && bound && self.life == Life::Active && self.registered_at.is_some() {
            self.due.insert(Due::Binding);
        }
    }

    /// Notes the Contact URI that the REGISTER in flight had.
    pub(crate) fn learn_base(&mut self, branch: &str, base: &str) {
        self.who.stand_at(base);
        if let Some((binding, _)) = self.asks(branch) {
            binding.sent_from(base);
        }
    }

    /// The Contact URI of a REGISTER in flight, without push parameters.
    pub(crate) fn base_of(&mut self, branch: &str) -> Option<String> {
        self.asks(branch).and_then(|(binding, _)| binding.sent().map(|(_, base)| base.to_owned()))
    }

    /// The URI in the digest, if the server named another one than the Request-URI.
    pub(crate) fn digest_uri(&self) -> Option<&str> {
        self.who.memory().auth_uri.as_deref()
    }

    /// Boot time at which the binding has to be refreshed.
    pub(crate) fn refresh_at(&self) -> Option<Duration> {
        self.refresh_at
    }

    /// The server challenged a REGISTER. The other stack responds to the challenge.
    pub(crate) fn challenged_beside(
        &mut self,
        branch: &str,
        message: &Message,
        flows: &Flows,
        outbox: &mut Outbox,
        now: Now,
    ) {
        if let Some((binding, who)) = self.asks(branch) {
            binding.challenged_beside(message, who, flows, outbox, now);
        }
    }

    /// The server refused the other stack's responses to challenges. The other stack is asked for no REGISTER until the
    /// app changes something or the stack registers by itself.
    pub(crate) fn give_up_credentials(&mut self, branch: &str, flows: &Flows, outbox: &mut Outbox) {
        if self.here.sent().is_some_and(|(known, _)| known == branch) {
            self.interrupt();
            let in_the_clear = self.is_in_the_clear(flows);
            self.stop(Failure::WrongCredentials, in_the_clear, outbox);
        } else if let Some((binding, _)) = self.asks(branch) {
            binding.ask_anew();
        }
    }

    /// The other stack sent an earlier REGISTER again, and not this one.
    pub(crate) fn sent_without_piid(&mut self, branch: &str) {
        if let Some((binding, _)) = self.asks(branch) {
            binding.sent_without_piid();
        }
    }

    /// The binding whose REGISTER with this branch is in flight.
    fn asks(&mut self, branch: &str) -> Option<(&mut Binding, &mut Registrant)> {
        let left = self.left.as_mut().map(|left| left.binding_mut());
        let late = self.late.iter_mut().map(|late| late.binding_mut());
        let mut all = std::iter::once(&mut self.here).chain(left).chain(late);
        let binding = all.find(|binding| binding.sent().is_some_and(|(known, _)| known == branch))?;
        Some((binding, &mut self.who))
    }
}
