//! An attacker on the path of clear flows, at the push service with the phone's token, and at the other end of calls. Attacked
//! stories check only two promises: no secret reaches a host that is not configured, and no INVITE of a registered flow is
//! lost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sipwake_core::account::Hop;
use sipwake_core::call::HangUp;
use sipwake_core::event::{CallChange, CallEvent, Offer};
use sipwake_core::payload::{Channel, Hints, parse_push};
use uuid::Uuid;

use super::{Due, World};
use crate::chance::Chance;
use crate::phone;
use crate::script::SECOND;
use crate::server::REALM;
use crate::wire::{Wire, digest_param};

/// What the attacker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// Answers the next REGISTERs, this many, in the server's place and in this way.
    Answers(u8, u8),
    /// Sends this many pushes in this way.
    Pushes(u8, u8),
}

impl Attack {
    pub(crate) fn drawn(chance: &mut Chance) -> Self {
        let way = chance.between(0, 30) as u8;
        if chance.hits(500) {
            Self::Answers(chance.between(1, 3) as u8, way)
        } else {
            Self::Pushes(*chance.pick(&[1, 1, 3, 200]), way)
        }
    }
}

/// What the attacker is doing, and what was seen of it.
#[derive(Default)]
pub(super) struct Attacker {
    answers: (u8, u8),
    pushes: u32,
    /// Flows to hosts that are not configured.
    foreign: BTreeSet<u64>,
    /// Numbers for which the phone rang, or which a real push announced to the app.
    heard: BTreeSet<String>,
    /// The current announcement is forged.
    forging: bool,
    /// A REGISTER got a challenge with the attacker's realm.
    asked_as_registrar: bool,
}

const EVIL: [&str; 9] = [
    "<sip:evil.example>",
    "<sip:evil.example;transport=tls>",
    "<sips:evil.example>;q=1",
    "<sip:198.51.100.66:5060>",
    "<sip:example.com.evil.example>",
    "<sip:example.com;maddr=198.51.100.66>",
    "<sip:eu.example.com;transport=tls>",
    "<sip:evil.example>;q=0.9, <sip:also.evil.example>;q=0.1",
    "<sip:example.com@evil.example>",
];

impl World<'_> {
    pub(super) fn attack(&mut self, attack: Attack) {
        match attack {
            Attack::Answers(count, way) => self.attacker.answers = (count, way),
            Attack::Pushes(count, way) => {
                for _ in 0..count {
                    self.forge_push(way);
                }
            }
        }
    }

    fn forge_push(&mut self, way: u8) {
        self.attacker.pushes += 1;
        let number = self.attacker.pushes;
        // The caller that the attacker wants to silence: the current or the next one.
        let victim = self.calls.len().saturating_sub(usize::from(way & 1));
        let to = phone::user(usize::from(way) % self.setting.accounts);
        let before = number.saturating_sub(1);
        let payload = match way % 11 {
            0 => format!(r#"{{"ntype":"2","nfrom":"+49{victim}","ncallid":"forged-{number}","ntouser":"{to}"}}"#),
            1 => format!(r#"{{"ntype":"2","nfrom":"+49{victim}"}}"#),
            2 => r#"{"ntype":"2"}"#.to_owned(),
            3 => format!(
                r#"{{"ntype":"2","nfrom":"+49{victim}","ncallid":"call-{victim}@example.com","ntouser":"{to}"}}"#
            ),
            4 => format!(r#"{{"ntype":"0","nfrom":"+666{number}","ncallid":"forged-{number}","ntouser":"{to}"}}"#),
            5 => format!(r#"{{"ntype":"0","nfrom":"+666{number}","ncallid":"forged-{number}"}}"#),
            6 => "{}".to_owned(),
            // It names the current or the next caller, and is cancelled again.
            8 => {
                format!(r#"{{"ntype":"0","nfrom":"+49{victim}","ncallid":"forged-{number}","ntouser":"{to}"}}"#)
            }
            9 => format!(r#"{{"ntype":"0","nfrom":"+49{victim}","ntouser":"{to}"}}"#),
            10 => {
                format!(r#"{{"ntype":"2","nfrom":"+49{victim}","ncallid":"forged-{before}","ntouser":"{to}"}}"#)
            }
            _ => r#"{"ntype":"4"}"#.to_owned(),
        };
        let hints = Hints::at(self.phone.now(self.at));
        self.phone.asleep_until = 0;
        self.show(|| format!("    forged push {payload}"));
        self.attacker.forging = true;
        self.with_agent(|agent, now| {
            let action = parse_push(payload.as_str(), Channel::FcmAndroid, &hints);
            let action = agent.gate().judge(action, &hints, now.boot);
            agent.handle_push(&action, *now);
        });
        self.attacker.forging = false;
    }

    /// Whether the attacker answers a REGISTER in the server's place.
    pub(super) fn forges_answer(&mut self, flow: u64, wire: &Wire<'_>) -> bool {
        let (left, way) = self.attacker.answers;
        if left == 0 {
            return false;
        }
        self.attacker.answers.0 -= 1;
        let way = usize::from(way);
        self.attacker.asked_as_registrar |= (16..20).contains(&way);
        let challenge = |realm: &str, more: &str| {
            format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"forged{way}\"{more}")
        };
        let auth_uri = "X-Sy.AuthURI: sip:evil.example".to_owned();
        let (status, extra) = match way {
            0..16 => (if way % 3 == 0 { 305 } else { 302 }, vec![format!("Contact: {}", EVIL[way % EVIL.len()])]),
            16..20 => (401, vec![challenge(["bank", REALM][way % 2], ", qop=\"auth\""), auth_uri]),
            20..22 => (407, vec![challenge("proxy", "").replace("WWW", "Proxy")]),
            22..26 => ([403, 404, 555, 439][way - 22], vec![auth_uri]),
            26 => (423, vec!["Min-Expires: 2000000".to_owned()]),
            _ => (200, vec![format!("Contact: {};expires=600", wire.one("contact")), auth_uri]),
        };
        let bytes = wire.answer(status, "Forged", &extra);
        self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
        true
    }

    pub(super) fn note_host(&mut self, flow: u64, hop: &Hop) {
        let host = hop.host.to_string();
        let gateway = self.setting.apart.is_some() && phone::gateway_of(&host).is_some();
        if host != "example.com" && !gateway && !["gw1.example.com", "gw2.example.com"].contains(&host.as_str()) {
            self.attacker.foreign.insert(flow);
        }
    }

    /// Promise 7, checked on what the phone sends.
    pub(super) fn watch_secrets(&mut self, flow: u64, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let secret = ["APA91b", "response=\"", "X-PIID"].into_iter().find(|secret| text.contains(secret));
        if let Some(secret) = secret.filter(|_| self.attacker.foreign.contains(&flow)) {
            self.watch.attacked(self.at, 7, format!("{secret} at a host that nobody configured"));
        }
        if text.contains("uri=\"sip:evil.example\"") {
            self.watch.attacked(self.at, 7, "a digest for a URI of the attacker's");
        }
    }

    /// Promise 6: an INVITE is refused only for a call that the user knows of.
    pub(super) fn watch_refusals(&mut self, bytes: &[u8]) {
        let Some(wire) = Wire::parse(bytes) else { return };
        let (Some(status @ 300..), "INVITE") = (wire.status(), wire.cseq_method()) else { return };
        let branch = wire.branch().trim_start_matches("z9hG4bKcall");
        let Some(call) = branch.split('.').next().and_then(|call| call.parse::<usize>().ok()) else { return };
        let Some(known) = self.calls.get(call) else { return };
        let heard = self.attacker.heard.contains(&format!("+49{call}"));
        if !heard && !known.over && self.phone.apps[known.account].logged_in {
            self.watch.attacked(self.at, 6, format!("call {call} is refused with {status}, and nobody heard of it"));
        }
    }

    /// Half of the calls are answered and soon hung up. Their callers answer the BYE with a challenge.
    pub(super) fn watch_call(&mut self, event: &CallEvent) {
        match &event.change {
            CallChange::Ringing { caller, .. } | CallChange::Announced(caller) => {
                let uri = caller.uri.trim_start_matches("sip:");
                let number = uri.split('@').next().unwrap_or_default().to_owned();
                let digits = number.bytes().last().unwrap_or_default();
                if matches!(event.change, CallChange::Ringing { .. }) && digits % 2 == 0 {
                    self.later(SECOND, Due::Accept(self.phone.process, event.uuid));
                }
                if !self.attacker.forging {
                    self.attacker.heard.insert(number);
                }
            }
            _ => {}
        }
    }

    pub(super) fn accept(&mut self, process: u64, call: Uuid) {
        if process == self.phone.process {
            self.with_agent(|agent, now| {
                agent.accept(call, Offer::sdp("v=0\r\n"), *now);
            });
            self.later(20 * SECOND, Due::HangUp(process, call));
        }
    }

    pub(super) fn hang_up(&mut self, process: u64, call: Uuid) {
        if process == self.phone.process {
            self.with_agent(|agent, now| {
                agent.hang_up(call, HangUp::Normal, *now);
            });
        }
    }

    /// A caller's ACK to our 200.
    pub(super) fn acknowledge(&mut self, flow: u64, wire: &Wire<'_>, call: usize) {
        let ack = format!(
            "ACK sip:user@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKack{call}.{flow}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            wire.one("from"),
            wire.one("to"),
            wire.one("call-id"),
        );
        self.travel(flow, || Due::ToPhone(flow, ack.clone().into_bytes()));
    }

    /// A caller's answer to our BYE. Promise 7: it gets no digest that is easier to crack than the registrar's.
    pub(super) fn challenge_bye(&mut self, flow: u64, wire: &Wire<'_>) {
        let answer = [wire.one("authorization"), wire.one("proxy-authorization")].concat();
        if !answer.is_empty() {
            let realm = digest_param(&answer, "realm");
            // A caller who challenges like the registrar itself has such a digest already.
            let known = realm == REALM || (realm == "bank" && self.attacker.asked_as_registrar);
            if !known || digest_param(&answer, "qop") != "auth" {
                self.watch.attacked(self.at, 7, "a caller got a digest that the registrar would not get");
            }
        }
        let asks = [
            "WWW-Authenticate: Digest realm=\"bank\", nonce=\"0\", qop=\"auth\"".to_owned(),
            format!("WWW-Authenticate: Digest realm=\"{REALM}\", nonce=\"0\""),
            format!("WWW-Authenticate: Digest realm=\"{REALM}\", nonce=\"{}\", qop=\"auth\"", wire.cseq()),
            "Proxy-Authenticate: Digest realm=\"elsewhere\", nonce=\"0\"".to_owned(),
        ];
        let way = wire.branch().bytes().map(usize::from).sum::<usize>() % asks.len();
        let status = if way == 3 { 407 } else { 401 };
        let bytes = wire.answer(status, "Forged", &asks[way..=way]);
        self.travel(flow, || Due::ToPhone(flow, bytes.clone()));
    }
}
