//! The end: after quiet time both sides agree.

use super::World;
use crate::phone;
use crate::script::{Profile, SECOND};

impl World<'_> {
    /// After quiet time both sides agree.
    pub(super) fn agreed(&mut self, finally: bool) {
        // Where the server promises to push in time, a binding is renewed only as it lapses.
        self.server.expire(self.at.saturating_sub(60 * SECOND));
        if self.phone.agent.is_none() {
            return;
        }
        if let Some(key) = self.phone.unstored.first() {
            self.watch.fail(self.at, 1, format!("{key} is not stored though the store works again"));
        }
        for index in 0..self.phone.apps.len() {
            // A refresh under way may have made the server forget what has just lapsed.
            if !finally && self.watch.seen[index].in_flight.is_some() {
                continue;
            }
            if let Some(what) = self.disagreement(index) {
                let promise = if self.phone.apps[index].logged_in { 2 } else { 1 };
                self.watch.fail(self.at, promise, format!("{what} (finally: {finally})"));
            }
        }
    }

    pub(super) fn disagreement(&self, index: usize) -> Option<String> {
        let app = &self.phone.apps[index];
        let bindings = &self.server.bindings[&phone::user(index)];
        if !bindings.iter().any(|binding| binding.foreign) {
            return Some("another device's binding was removed".to_owned());
        }
        if self.server.knows_another_password(&phone::user(index)) {
            return None;
        }
        let ours: Vec<_> = bindings.iter().filter(|binding| !binding.foreign).collect();
        if !app.logged_in {
            return (!ours.is_empty() && !app.excused)
                .then(|| format!("a logged-out binding is left: {}", ours[0].contact.uri));
        }
        let pushes = !matches!(self.setting.profile, Profile::None | Profile::Rfc8599Refusing);
        let wanted = (app.wants_push && app.token > 0 && pushes).then(|| phone::token_text(index, app.token));
        if self.forgotten.contains(&phone::user(index)) {
            return None;
        }
        if !ours.iter().any(|binding| binding.token == wanted) {
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
        (ours.len() > 1).then(|| {
            format!("{} bindings of one phone: {} and {}", ours.len(), ours[0].contact.uri, ours[1].contact.uri)
        })
    }
}
