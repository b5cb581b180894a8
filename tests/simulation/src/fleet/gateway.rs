//! A gateway that accepts a limited number of REGISTERs per second. It checks no digest; the other simulation does.

use crate::wire::{Wire, digest_param};

pub(super) struct Gateway {
    per_second: u32,
    second: u64,
    answered: u32,
    /// Nonces from before the last restart are stale.
    life: u32,
    down_until: u64,
}

impl Gateway {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, second: 0, answered: 0, life: 0, down_until: 0 }
    }

    pub(super) fn restart(&mut self, up_at: u64) {
        self.life += 1;
        self.down_until = up_at;
    }

    pub(super) fn is_down(&self, at: u64) -> bool {
        at < self.down_until
    }

    pub(super) fn register(&mut self, bytes: &[u8], at: u64) -> Option<Box<[u8]>> {
        let request = Wire::parse(bytes).filter(|wire| wire.method() == "REGISTER")?;
        if at / 1000 != self.second {
            (self.second, self.answered) = (at / 1000, 0);
        }
        self.answered += 1;
        if self.answered > self.per_second {
            return Some(request.answer(503, "Service Unavailable", &[]).into());
        }
        let nonce = format!("life-{}-of-the-gateway", self.life);
        let answer = request.one("authorization");
        if digest_param(answer, "nonce") != nonce {
            let stale = if answer.is_empty() { "" } else { ", stale=true" };
            let challenge = format!(
                "WWW-Authenticate: Digest realm=\"fleet\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5{stale}"
            );
            return Some(request.answer(401, "Unauthorized", &[challenge]).into());
        }
        let contacts = request.contacts();
        let mut extra: Vec<String> = contacts
            .iter()
            .filter(|contact| contact.expires() != Some(0))
            .map(|contact| format!("Contact: <{}>;expires=3600", contact.uri))
            .collect();
        extra.push("Feature-Caps: *;+sip.pns=\"fcm\"".to_owned());
        Some(request.answer(200, "OK", &extra).into())
    }
}
