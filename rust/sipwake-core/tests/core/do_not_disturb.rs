//! Do not disturb: the push binding goes, the registration stays, and the binding comes back by itself.

use std::time::Duration;

use sipwake_core::account::Transport;
use sipwake_core::clock::Now;
use sipwake_core::event::Event;
use sipwake_core::judge::Gate;
use sipwake_core::payload::{ActionKind, Channel, Duty, Hints, Ignored, PushAction, parse_push};
use sipwake_core::push::Standing;
use sipwake_core::snapshot::{REMOVALS, binding_key};
use sipwake_core::user_agent::Unreadable;

use crate::support::{START, Sent, Stage, account, fcm, mpush, over, rfc8599, seconds};

const CALL: &str = r#"{"ntype":0,"nfrom":"1234","nfromusername":"John","ncallid":"c1","ntouser":"alice"}"#;
const NAMELESS: &str = r#"{"ntype":0,"nfrom":"1234","ncallid":"c1"}"#;
const HOUR: u64 = 3600;

impl Stage {
    fn quiet_for(&mut self, time: u64) {
        self.quiet_until(Some(self.now.wall + seconds(time)));
    }

    fn quiet_until(&mut self, until: Option<Duration>) {
        self.agent.set_do_not_disturb(&self.key, until, self.now).expect("the account is there");
        self.drain();
    }

    fn is_quiet(&self) -> bool {
        self.agent.gate().do_not_disturb(&self.key).is_some()
    }

    fn told_over(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::DoNotDisturbOver { .. })).count()
    }

    /// Sets the wall clock. The time since boot goes on.
    fn set_clock(&mut self, wall: Duration) {
        self.now = Now::new(self.now.boot, wall);
    }

    /// The next process, this much later. Adding the account makes it catch up.
    fn killed_for(&self, time: u64) -> Self {
        let now = self.now.after(seconds(time));
        Self::restored(account(|_| {}), mpush(), self.store.clone(), now, 2)
    }

    /// How a process without a client judges a push.
    fn beside(&self, json: &str) -> PushAction {
        let hints = Hints::at(self.now);
        let record = self.store.get(REMOVALS).map(Vec::as_slice);
        Gate::of_log_outs(record).judge(parse_push(json, Channel::ApnsAlert, &hints), &hints, self.now.boot)
    }

    /// The server confirms each REGISTER until the client sends none. Returns the last one.
    #[track_caller]
    fn confirm_all(&mut self) -> Sent {
        let mut last = None;
        while let Some(sent) = self.sent.pop_front() {
            self.ok(&sent, &[]);
            last = Some(sent);
        }
        last.expect("something was sent")
    }
}

fn is_silent(action: &PushAction) -> bool {
    action.kind == ActionKind::Ignore { reason: Ignored::DoNotDisturb }
}

/// A registered client whose push binding is removed for this long.
fn quiet_for(time: u64) -> Stage {
    let mut stage = Stage::bound();
    stage.quiet_for(time);
    let taken_back = stage.one();
    assert_eq!(taken_back.header("X-MPUSH"), Some("null"));
    stage.ok(&taken_back, &[]);
    stage.silent();
    stage
}

#[test]
fn the_push_binding_is_removed_and_the_registration_stays() {
    let mut stage = Stage::bound();
    stage.quiet_for(HOUR);
    let register = stage.one();
    assert_eq!(register.header("X-MPUSH"), Some("null"));
    assert_ne!(register.header("Expires"), Some("0"));
    stage.ok(&register, &[]);
    assert_eq!(stage.last().token, None);
    assert_eq!(stage.agent.gate().do_not_disturb(&stage.key), Some(START.wall + seconds(HOUR)));
    stage.quiet_for(HOUR);
    stage.silent();

    let mut stage = Stage::rfc8599();
    stage.set_token(fcm("a:1"));
    let bound = stage.registered();
    assert!(bound.contact_uri().contains("pn-prid=a:1"));
    stage.quiet_for(HOUR);
    let register = stage.confirm_all();
    assert!(!register.contact().contains("a:1"), "{register:?}");
    assert_ne!(register.header("Expires"), Some("0"));
    assert_eq!(stage.last().verdict.standing, Standing::NotAsked);
}

#[test]
fn it_ends_at_its_time_and_the_push_binding_comes_back() {
    let mut stage = quiet_for(HOUR);
    stage.advance(seconds(HOUR - 1));
    let refreshes = stage.all();
    assert!(refreshes.iter().all(|sent| sent.header("X-MPUSH") == Some("null")), "{refreshes:?}");
    assert_eq!(stage.told_over(), 0);
    if let Some(refresh) = refreshes.last() {
        stage.ok(refresh, &[]);
    }
    stage.advance(seconds(1));
    assert_eq!((stage.told_over(), stage.is_quiet()), (1, false));
    let back = stage.one();
    assert_eq!(back.header("X-MPUSH"), Some("a:com.example.app:a:1"));
    stage.ok(&back, &[]);
    stage.silent();
    assert!(stage.push(CALL).is_call());
}

#[test]
fn the_user_can_end_it_at_any_time_even_before_the_server_knows_of_it() {
    for until in [None, Some(START.wall), Some(Duration::ZERO)] {
        let mut stage = quiet_for(HOUR);
        stage.quiet_until(until);
        assert!(!stage.is_quiet());
        assert_eq!(stage.one().header("X-MPUSH"), Some("a:com.example.app:a:1"), "{until:?}");
        assert_eq!(stage.told_over(), 0, "the app needs no event for its own command");
    }
    let mut stage = Stage::bound();
    stage.quiet_for(HOUR);
    let taken_back = stage.one();
    stage.quiet_until(None);
    stage.silent();
    stage.ok(&taken_back, &[]);
    assert_eq!(stage.one().header("X-MPUSH"), Some("a:com.example.app:a:1"), "it was removed in the end");
}

#[test]
fn an_end_in_the_past_changes_nothing() {
    let mut stage = Stage::bound();
    let saves = stage.saves;
    for until in [None, Some(Duration::ZERO), Some(stage.now.wall)] {
        stage.quiet_until(until);
        stage.silent();
        assert!(!stage.is_quiet());
    }
    assert_eq!(stage.saves, saves);
    assert!(stage.push(CALL).is_call());
}

#[test]
fn from_the_command_on_a_late_push_is_silent_and_shows_no_name() {
    let mut stage = Stage::bound();
    stage.opens = false;
    stage.network_changes();
    stage.quiet_for(HOUR);
    for json in [CALL, NAMELESS, "{}"] {
        let voip = stage.push_on(json, Channel::PushKit);
        assert!(is_silent(&voip), "{voip:?}");
        assert_eq!(voip.duty, Duty::ReportThenEnd);
        assert_eq!((voip.caller_label(), &voip.title, &voip.text, voip.deadline), (None, &None, &None, None));
        let action = stage.push(json);
        assert!(is_silent(&action) && action.duty == Duty::Nothing, "{action:?}");
    }
    let chat = stage.push(r#"{"ntype":1,"nfrom":"1234","nmsg":"hello"}"#);
    assert!(is_silent(&chat) && chat.duty == Duty::Nothing && chat.text.is_none(), "{chat:?}");
    assert!(stage.calls().is_empty());
}

#[test]
fn it_survives_a_kill() {
    let mut before = Stage::bound();
    before.opens = false;
    before.network_changes();
    before.quiet_for(HOUR);
    before.silent();
    let mut stage = before.killed_for(60);
    assert!(stage.is_quiet() && is_silent(&stage.push(CALL)));
    let register = stage.register();
    assert_eq!(register.header("X-MPUSH"), Some("null"), "it now says what it could not say before");
    stage.ok(&register, &[]);
    stage.advance(seconds(HOUR - 61));
    assert!(stage.confirm_all().header("X-MPUSH") == Some("null"));
    stage.advance(seconds(1));
    assert_eq!(stage.told_over(), 1);
    assert_eq!(stage.confirm_all().header("X-MPUSH"), Some("a:com.example.app:a:1"));
}

#[test]
fn a_process_that_starts_after_its_end_catches_up_once_the_account_is_added() {
    let before = quiet_for(HOUR);
    let mut stage = before.killed_for(2 * HOUR);
    assert_eq!((stage.told_over(), stage.is_quiet()), (1, false));
    let back = stage.one();
    assert_eq!(back.header("X-MPUSH"), Some("a:com.example.app:a:1"), "although nobody called register()");
    stage.ok(&back, &[]);
    assert!(stage.push(CALL).is_call());
    let again = stage.restart(account(|_| {}), mpush());
    assert_eq!((again.told_over(), again.is_quiet()), (0, false), "its end is stored");
}

#[test]
fn a_push_after_its_end_rings_even_if_the_process_slept_through_the_end() {
    let mut stage = quiet_for(HOUR);
    stage.now = stage.now.after(seconds(HOUR));
    let action = stage.push(CALL);
    assert!(action.is_call(), "{action:?}");
    assert_eq!(stage.told_over(), 1);
    assert_eq!(stage.confirm_all().header("X-MPUSH"), Some("a:com.example.app:a:1"));
}

#[test]
fn a_token_that_changes_meanwhile_is_bound_at_its_end() {
    let mut stage = quiet_for(HOUR);
    stage.set_token(fcm("a:2"));
    stage.silent();
    assert!(stage.is_quiet() && is_silent(&stage.push(CALL)));
    let mut stage = stage.killed_for(60);
    stage.quiet_until(None);
    assert_eq!(stage.confirm_all().header("X-MPUSH"), Some("a:com.example.app:a:2"));
}

#[test]
fn a_first_token_waits_for_its_end() {
    let mut stage = Stage::mpush();
    stage.quiet_for(HOUR);
    stage.silent();
    stage.set_token(fcm("a:1"));
    stage.registered();
    assert_eq!(stage.last().token, None);
    stage.advance(seconds(HOUR));
    assert_eq!(stage.all().pop().expect("sent").header("X-MPUSH"), Some("a:com.example.app:a:1"));
}

#[test]
fn a_user_who_wants_no_pushes_gets_none_after_it_either() {
    for unbinds_first in [true, false] {
        let mut stage = Stage::bound();
        if unbinds_first {
            stage.unbind();
            stage.confirm_all();
        }
        stage.quiet_for(HOUR);
        if !unbinds_first {
            stage.confirm_all();
            stage.unbind();
        }
        stage.all();
        stage.quiet_until(None);
        let said = stage.all();
        assert!(said.iter().all(|sent| sent.header("X-MPUSH") == Some("null")), "{said:?}");
        assert!(!stage.push(CALL).is_call());
    }
}

#[test]
fn a_log_out_meanwhile_ends_it_and_removes_every_binding() {
    let mut stage = quiet_for(HOUR);
    stage.log_out();
    let removal = stage.one();
    assert_eq!((removal.header("Expires"), removal.header("X-MPUSH")), (Some("0"), Some("null")));
    let action = stage.push(CALL);
    assert_eq!(action.kind, ActionKind::Ignore { reason: Ignored::LoggedOut });
    stage.ok(&removal, &[]);
    assert!(stage.is_logged_out());
    let removals = String::from_utf8(stage.store[REMOVALS].clone()).expect("JSON");
    assert!(!removals.contains("quiet"), "{removals}");

    stage.add(account(|_| {}), mpush());
    assert!(!stage.is_quiet(), "a user who logs in again can be called");
    stage.set_token(fcm("a:1"));
    stage.registered();
    assert_eq!(stage.last().token, Some(fcm("a:1")));
    stage.advance(seconds(HOUR));
    assert_eq!(stage.told_over(), 0);
}

#[test]
fn an_undelivered_log_out_of_an_earlier_process_does_not_report_that_it_is_over() {
    let mut before = quiet_for(HOUR);
    before.opens = false;
    before.network_changes();
    before.log_out();
    let mut stage = Stage::without_account(before.store.clone(), before.now.after(seconds(2 * HOUR)), 2);
    assert_eq!((stage.one().header("Expires"), stage.told_over()), (Some("0"), 0));
}

#[test]
fn a_clock_set_forward_ends_it_and_a_clock_set_back_at_most_restarts_its_time() {
    let mut stage = quiet_for(HOUR);
    stage.set_clock(START.wall + seconds(HOUR));
    stage.agent.handle_timeout(stage.now);
    stage.drain();
    assert_eq!((stage.told_over(), stage.is_quiet()), (1, false));

    // The clock was years ahead when the user asked, and is right again.
    for (back, left) in [(4 * 365 * 86_400, HOUR), (86_400, HOUR)] {
        let mut stage = quiet_for(HOUR);
        stage.set_clock(START.wall - seconds(back));
        let stage = &mut stage.killed_for(0);
        assert!(stage.is_quiet());
        stage.advance(seconds(left - 1));
        assert_eq!(stage.told_over(), 0);
        stage.advance(seconds(1));
        assert_eq!(stage.told_over(), 1, "set back by {back} s");
    }
}

#[test]
fn without_an_end_no_time_ends_it() {
    let mut stage = Stage::bound();
    stage.quiet_until(Some(Duration::MAX));
    let taken_back = stage.one();
    stage.ok(&taken_back, &[]);
    assert_eq!(stage.agent.gate().do_not_disturb(&stage.key), Some(Duration::MAX));
    let mut stage = stage.killed_for(10 * 365 * 86_400);
    assert!(stage.is_quiet() && is_silent(&stage.push(CALL)));
    stage.set_clock(Duration::ZERO);
    stage.agent.handle_timeout(stage.now);
    assert_eq!(stage.agent.gate().do_not_disturb(&stage.key), Some(Duration::MAX));
    stage.quiet_until(None);
    assert_eq!(stage.all().pop().expect("sent").header("X-MPUSH"), Some("a:com.example.app:a:1"));
}

#[test]
fn another_account_still_rings() {
    let mut stage = quiet_for(HOUR);
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), mpush());
    for (json, quiet) in [(CALL, true), (&CALL.replace("alice", "bob"), false), (NAMELESS, false)] {
        assert_eq!(is_silent(&stage.push(json)), quiet, "{json}");
        assert_eq!(is_silent(&stage.beside(json)), quiet, "{json}");
    }
    stage.quiet_for(HOUR);
    assert!(is_silent(&stage.push(NAMELESS)) && is_silent(&stage.beside(NAMELESS)));
}

#[test]
fn a_process_without_a_client_keeps_to_it_until_it_ends() {
    let mut stage = quiet_for(HOUR);
    for json in [CALL, NAMELESS] {
        let action = stage.beside(json);
        assert!(is_silent(&action) && action.caller_label().is_none(), "{action:?}");
    }
    let now = stage.now;
    stage.now = now.after(seconds(HOUR));
    assert!(stage.beside(CALL).is_call(), "the client has not run since");
    stage.now = now;
    stage.quiet_until(None);
    assert!(stage.beside(CALL).is_call() && stage.beside(NAMELESS).is_call());
    assert!(!stage.store.contains_key(REMOVALS), "nothing is left of it");
}

/// A process that starts while the store of an earlier one is shut.
fn shut(earlier: &Stage) -> Stage {
    let mut stage = Stage::without_account(std::collections::BTreeMap::new(), earlier.now, 7);
    (stage.store, stage.store_is_shut) = (earlier.store.clone(), true);
    for key in [REMOVALS.to_owned(), binding_key(&stage.key)] {
        stage.agent.handle_loaded(&key, Err(Unreadable::Shut), stage.now);
    }
    let account = sipwake_core::account::Account::parse(account(|_| {})).expect("valid");
    let push = mpush().map(|push| sipwake_core::push::Push::parse(push).expect("valid"));
    stage.agent.add_account(account, push, None, stage.now).expect("there is room");
    stage.drain();
    stage
}

fn unlock(stage: &mut Stage) {
    stage.store_is_shut = false;
    stage.agent.store_available(stage.now);
    stage.drain();
}

#[test]
fn a_command_while_the_store_is_shut_takes_effect_at_once_and_is_stored_later() {
    let mut stage = shut(&Stage::bound());
    stage.register();
    stage.quiet_for(HOUR);
    assert!(!stage.agent.is_durable() && is_silent(&stage.push(CALL)));
    unlock(&mut stage);
    assert!(stage.agent.is_durable());
    assert_eq!(stage.events.iter().filter(|event| **event == Event::Durable).count(), 1);
    stage.all();
    let mut stage = stage.killed_for(HOUR);
    assert_eq!(stage.told_over(), 1);
    assert_eq!(
        stage.all().pop().expect("sent").header("X-MPUSH"),
        Some("a:com.example.app:a:1"),
        "the token of before"
    );
}

#[test]
fn a_stored_command_counts_once_it_can_be_read_unless_the_user_gave_a_newer_one() {
    let earlier = quiet_for(HOUR);
    let mut stage = shut(&earlier);
    let register = stage.register();
    stage.ok(&register, &[]);
    unlock(&mut stage);
    assert!(stage.is_quiet());
    assert_eq!(stage.confirm_all().header("X-MPUSH"), Some("null"));

    let mut stage = shut(&earlier);
    stage.quiet_until(None);
    stage.set_token(fcm("a:2"));
    stage.register();
    unlock(&mut stage);
    assert!(!stage.is_quiet() && stage.push(CALL).is_call());
    let stage = stage.killed_for(0);
    assert!(!stage.is_quiet());
}

#[test]
fn a_store_that_refuses_is_reported_and_asked_again() {
    let mut stage = Stage::bound();
    stage.store_refuses = true;
    stage.quiet_for(HOUR);
    assert!(!stage.agent.is_durable());
    assert!(stage.events.iter().any(|event| matches!(event, Event::StoreFailed { .. })));
    stage.store_refuses = false;
    stage.advance(seconds(30));
    assert!(stage.agent.is_durable());
    assert!(stage.killed_for(60).is_quiet());
}

#[test]
fn a_server_that_takes_null_for_a_new_contact_gets_it_in_a_request_of_its_own() {
    let mut before = Stage::new(over(Transport::Tls), mpush());
    before.set_token(fcm("a:1"));
    let bound = before.registered();
    let mut stage = before.restart(over(Transport::Tls), mpush());
    stage.local.set_port(6070);
    stage.quiet_for(HOUR);
    let first = stage.one();
    assert_eq!(first.header("X-MPUSH"), Some("null"));
    stage.ok(&first, &[]);
    let said = [vec![first], stage.all()].concat();
    assert!(said.iter().all(|sent| sent.header("X-MPUSH") == Some("null")), "{said:?}");
    let names = |sent: &Sent| sent.headers("Contact").iter().any(|contact| contact.contains(bound.contact_uri()));
    assert!(said.iter().any(names), "the bound Contact is named: {said:?}");
}

#[test]
fn an_account_without_push_settings_is_silent_too() {
    let mut stage = Stage::new(account(|_| {}), None);
    stage.registered();
    stage.quiet_for(HOUR);
    stage.all();
    assert!(is_silent(&stage.push(CALL)));
    let mut stage = Stage::new(account(|_| {}), rfc8599());
    stage.quiet_for(HOUR);
    assert!(is_silent(&stage.push(CALL)), "an account that never registered does not ring either");
    stage.silent();
}
