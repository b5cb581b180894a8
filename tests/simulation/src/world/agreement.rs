//! The end: after quiet time both sides agree.

use super::World;
use crate::habits::{self, Habit};
use crate::phone;
use crate::script::{Profile, SECOND};
use crate::server::Server;

impl World<'_> {
    /// After quiet time both sides agree.
    pub(super) fn agreed(&mut self, finally: bool) {
        // Where the server promises a push in time, a binding is renewed only when it expires.
        let at = self.at.saturating_sub(60 * SECOND);
        self.servers.iter_mut().for_each(|server| server.expire(at));
        if self.phone.agent.is_none() {
            return;
        }
        if self.phone.agent.as_ref().is_some_and(|agent| !agent.is_durable()) {
            self.watch.fail(self.at, 1, "what the app asked for is not durable though the store works again");
        }
        if let Some(key) = self.phone.unstored.first() {
            self.watch.fail(self.at, 1, format!("{key} is not stored though the store works again"));
        }
        for index in 0..self.phone.apps.len() {
            // A refresh in flight may have made the server forget a binding that has just expired.
            if !finally && self.watch.seen[index].in_flight.is_some() {
                continue;
            }
            if let Some(what) = self.disagreement(index) {
                let promise = if self.phone.apps[index].logged_in { 2 } else { 1 };
                self.watch.fail(self.at, promise, format!("{what} (finally: {finally})"));
            }
            if finally && self.is_told_otherwise(index) {
                self.watch.fail(self.at, 5, "the app hears last that it is not registered, and it is");
            }
        }
    }

    /// Whether the app takes an account for lost that the server still has.
    fn is_told_otherwise(&self, index: usize) -> bool {
        let app = &self.phone.apps[index];
        let user = phone::user(index);
        let has = |server: &Server| server.bindings[&user].iter().any(|b| b.confirmed && !b.foreign);
        let excused = app.excused || self.servers[0].knows_another_password(&user);
        app.logged_in && !excused && self.told[index] == Some(false) && self.servers.iter().any(has)
    }

    pub(super) fn disagreement(&self, index: usize) -> Option<String> {
        let app = &self.phone.apps[index];
        let user = phone::user(index);
        let foreign = |server: &Server| server.bindings[&user].iter().any(|binding| binding.foreign);
        if !self.servers.iter().all(foreign) {
            return Some("another device's binding was removed".to_owned());
        }
        // What left gateways hold is checked at the time when it should be gone.
        let bindings = &self.servers[self.holdings[index].home.unwrap_or(0)].bindings[&user];
        if self.servers[0].knows_another_password(&user) {
            return None;
        }
        let ours: Vec<_> = bindings.iter().filter(|binding| !binding.foreign && !binding.given_up).collect();
        // If lists hide whose Contacts they name, the phone cannot find what it has forgotten. A Contact without push
        // expires.
        let hidden = habits::hide(&self.setting.habits);
        if !app.logged_in {
            let ours: Vec<_> = ours.iter().filter(|binding| !hidden || binding.token.is_some()).collect();
            // The same holds for a gateway that was down when the user left and that another one replaced.
            let told = self.phone.agent.as_ref().is_some_and(|agent| agent.push(&app.key).is_err());
            if told && self.setting.apart.is_some() {
                return None;
            }
            return (!ours.is_empty() && !app.excused)
                .then(|| format!("a logged-out binding is left: {}", ours[0].contact.uri));
        }
        let pushes = !matches!(self.setting.profile, Profile::None | Profile::Rfc8599Refusing);
        let wanted =
            (app.wants_push && app.token > 0 && pushes).then(|| phone::token_text(self.setting, index, app.token));
        if self.forgotten.contains(&user) {
            return None;
        }
        // Without its record the phone takes a 403 for final until the app registers.
        if app.excused && self.setting.has(Habit::ForbiddenAtTimes) {
            return None;
        }
        let dropped = self.setting.has(Habit::ProviderDropped) || self.setting.has(Habit::ContactTooLong);
        if !ours.iter().any(|binding| binding.token == wanted || (dropped && binding.token.is_none())) {
            let seen: Vec<_> = ours.iter().map(|binding| &binding.token).collect();
            return Some(format!("no binding with {wanted:?}, but {seen:?}"));
        }
        if app.excused {
            return None;
        }
        let old = ours.iter().find(|binding| binding.token.is_some() && binding.token != wanted);
        if let Some(old) = old {
            return Some(format!("an old token is still pushed to: {}", old.contact.uri));
        }
        // The server was asked twice to remove a Contact and did not: first it refused the provider in the Contact, then it overlooked
        // the Contact. The phone stops asking after some time, and the Contact expires.
        let overlooked = self.setting.has(Habit::ProviderDropped) && self.setting.has(Habit::RemovalOverlooked);
        (ours.len() > 1 && !hidden && !overlooked).then(|| {
            format!("{} bindings of one phone: {} and {}", ours.len(), ours[0].contact.uri, ours[1].contact.uri)
        })
    }
}
