//! Random orders of what a stack, a server and an app may do: what must hold after every step.

use std::time::Duration;

use proptest::prelude::*;
use sipwake_core::beside::{Error, Heard, Invite};
use sipwake_core::event::{Ended, Event};
use sipwake_core::push::{Push, PushConfig};
use sipwake_core::snapshot::REMOVALS;
use sipwake_core::user_agent::Decline;
use uuid::Uuid;

use super::{Beside, STACK, header, listed};
use crate::support::seconds;

#[derive(Debug, Clone)]
enum Step {
    Tags,
    /// A response: its status, which of the last tags it names, whether it lists our Contact, and how it writes its headers.
    Hear(u16, Option<u8>, bool, u8),
    Sent(u8, u32),
    Token(u8),
    Contact(u8),
    Unbind,
    LogOut,
    LogIn,
    Quiet(u16),
    Push(u8, bool),
    Invite(u8, u8),
    Cancel(u8),
    Answer,
    Answered,
    Decline,
    End,
    Network,
    Advance(u16),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        6 => Just(200u16),
        3 => Just(401),
        1 => prop::sample::select(vec![100, 302, 403, 404, 407, 408, 423, 439, 500, 503, 555, 603]),
    ];
    prop_oneof![
        6 => Just(Step::Tags),
        8 => (status, proptest::option::of(0u8..3), any::<bool>(), 0u8..5).prop_map(|(s, n, l, p)| Step::Hear(s, n, l, p)),
        1 => (0u8..3, 0u32..9).prop_map(|(number, cseq)| Step::Sent(number, cseq)),
        2 => (0u8..3).prop_map(Step::Token),
        1 => (0u8..3).prop_map(Step::Contact),
        1 => Just(Step::Unbind),
        1 => Just(Step::LogOut),
        1 => Just(Step::LogIn),
        1 => (0u16..2000).prop_map(Step::Quiet),
        3 => (0u8..4, any::<bool>()).prop_map(|(call, cancel)| Step::Push(call, cancel)),
        3 => (0u8..4, 0u8..3).prop_map(|(call, branch)| Step::Invite(call, branch)),
        1 => (0u8..3).prop_map(Step::Cancel),
        1 => Just(Step::Answer),
        1 => Just(Step::Answered),
        1 => Just(Step::Decline),
        1 => Just(Step::End),
        1 => Just(Step::Network),
        3 => (0u16..4000).prop_map(Step::Advance),
        1 => Just(Step::Kill),
    ]
}

struct World {
    beside: Beside,
    numbers: Vec<u64>,
    call: Uuid,
    /// The app asked for a log-out. It has not been reported as done, and no log-in cancelled it.
    leaving: bool,
}

impl World {
    fn new(clear: bool) -> Self {
        let beside = Beside::new(|account, _| {
            account.upper.server = Some("pbx.example.com".into());
            account.realm = Some("a".into());
            account.transport =
                Some(if clear { sipwake_core::account::Transport::Ws } else { sipwake_core::account::Transport::Wss });
        });
        Self { beside, numbers: vec![1], call: Uuid::nil(), leaving: false }
    }

    fn play(&mut self, step: &Step) {
        let (key, now) = (self.beside.key.clone(), self.beside.now);
        let companion = &mut self.beside.companion;
        match step {
            Step::Tags => match companion.register_tags(&key, now) {
                Ok(register) => {
                    assert!(!self.leaving || register.removes(), "no REGISTER binds after a log-out: {register:?}");
                    let secure = register.gateway.starts_with("wss:") || register.gateway.contains("transport=wss");
                    assert!(secure || header(&register, "X-PIID").is_none(), "{register:?}");
                    self.numbers.insert(0, register.number);
                    self.numbers.truncate(3);
                }
                Err(error) => assert!(matches!(error, Error::NoSuchAccount | Error::NothingToSend), "{error:?}"),
            },
            Step::Hear(status, number, lists, printed) => {
                let contact = match companion.register_tags(&key, now) {
                    Ok(register) if *lists => listed(&register, STACK),
                    _ => "<sip:bob@10.0.0.3>;expires=20".to_owned(),
                };
                let folded = contact.replace(';', ";\r\n ");
                let headers: &[(&str, &str)] = match printed {
                    0 => &[
                        ("Contact", &contact),
                        ("Expires", "3600"),
                        ("WWW-Authenticate", "Digest realm=\"a\", nonce=\"n\""),
                    ],
                    1 => &[("m", &folded), ("Proxy-authenticate", "Digest realm=\"a\",\r\n\tnonce=\"n\"")],
                    2 => &[("CONTACT", "*"), ("min-expires", "7200"), ("Retry-After", "9")],
                    3 => {
                        &[("Contact", "<sip:edge.example.com;transport=wss>"), ("X-Sy.AuthURI", "sip:pbx.example.com")]
                    }
                    _ => &[],
                };
                let register = number.and_then(|index| self.numbers.get(usize::from(index)).copied());
                match companion.heard(&key, &Heard { register, ..Heard::new(*status, headers) }, now) {
                    Ok(_) => {}
                    Err(error) => assert!(
                        matches!(error, Error::NoSuchAccount | Error::NothingAsked | Error::NoSuchRegister(_)),
                        "{error:?}"
                    ),
                }
            }
            Step::Sent(number, cseq) => {
                let number = self.numbers.get(usize::from(*number)).copied().unwrap_or_default();
                let _ = companion.sent(&key, number, "theirs", *cseq);
            }
            Step::Token(number) => {
                let push =
                    Push::parse(PushConfig::new(sipwake_core::push::Provider::Fcm, "my-project")).expect("valid");
                let token = push.parse_token(Some(&format!("token-{number}")), None).expect("valid").expect("a token");
                let _ = companion.set_token(&key, token, now);
            }
            Step::Contact(number) => {
                let _ = companion.stands_at(&key, &format!("sip:alice-{number}@10.0.0.2;ob"), now);
            }
            Step::Unbind => _ = companion.unbind_push(&key, now),
            Step::LogOut => self.leaving |= companion.log_out(&key, now).is_ok(),
            Step::LogIn => {
                self.beside.log_in();
                self.leaving = false;
            }
            Step::Quiet(time) => {
                let until = (*time > 0).then(|| now.wall + seconds((*time).into()));
                let _ = companion.set_do_not_disturb(&key, until, now);
            }
            Step::Push(call, cancel) => {
                let kind = if *cancel { "2" } else { "0" };
                let action = self.beside.push(&format!(
                    r#"{{"ntype":"{kind}","nfrom":"{call}234","ncallid":"call-{call}","ntouser":"alice"}}"#
                ));
                assert!(!(self.leaving && action.is_call()), "no push makes a sound after a log-out: {action:?}");
                self.call = action.uuid;
            }
            Step::Invite(call, branch) => {
                let (from, id) = (format!("<sip:{call}234@example.com>;tag=1"), format!("call-{call}"));
                let via = format!("SIP/2.0/TLS gw;branch=z9hG4bK{branch}");
                match companion.invited(&key, &[("v", &via), ("from", &from), ("CALL-ID", &id)], now) {
                    Ok(Invite::Ring { call, .. } | Invite::Accept { call }) => {
                        assert!(!self.leaving, "nobody is called after a log-out");
                        self.call = call;
                    }
                    Ok(Invite::Refuse { status, .. }) => assert!((400..700).contains(&status)),
                    Ok(_) => {}
                    Err(error) => assert_eq!(error, Error::NoSuchAccount),
                }
            }
            Step::Cancel(branch) => {
                let via = format!("SIP/2.0/TLS gw;branch=z9hG4bK{branch}");
                let _ = companion.cancelled(self.call, &[("Via", &via)], now);
            }
            Step::Answer => _ = companion.answer(self.call, now),
            Step::Answered => _ = companion.answered(self.call, now),
            Step::Decline => _ = companion.decline(self.call, Decline::Busy, now),
            Step::End => _ = companion.ended(self.call, Ended::HungUp, now),
            Step::Network => companion.network_changed(now),
            Step::Advance(time) => self.beside.advance((*time).into()),
            Step::Kill => {
                self.beside.restart();
                self.numbers = vec![1];
            }
        }
        self.beside.drain();
        self.check();
    }

    fn check(&mut self) {
        let over = self.beside.events.iter().any(|event| matches!(event, Event::LoggedOut { .. }));
        let pending = self.beside.companion.pending().len();
        if over {
            self.leaving = false;
        }
        assert!(!self.leaving || pending == 1, "a log-out is pending until its end is reported");
        assert!(!self.leaving || self.beside.store.contains_key(REMOVALS), "and stored");
        self.beside.events.clear();
        // One look at the clock does everything that is due.
        self.beside.companion.handle_timeout(self.beside.now);
        self.beside.drain();
        let over = self.beside.events.iter().any(|event| matches!(event, Event::LoggedOut { .. }));
        self.leaving &= !over;
        let next = self.beside.companion.poll_timeout();
        assert!(next.is_none_or(|(at, _)| at > self.beside.now.boot), "it would be woken again and again: {next:?}");
        assert!(next.is_none_or(|(at, _)| at < self.beside.now.boot + Duration::from_secs(40 * 24 * 3600)));
    }
}

proptest! {
    #[test]
    fn no_random_order_of_events_loses_a_log_out_or_shows_a_secret(clear in any::<bool>(), steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new(clear);
        for step in &steps {
            world.play(step);
        }
    }
}
