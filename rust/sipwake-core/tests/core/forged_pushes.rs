//! Pushes from an attacker who knows the token: what they can announce and end. None of them may silence a real INVITE.

use sipwake_core::call::{CallPolicy, Decline};
use sipwake_core::event::{CallChange, Discard, Ended, Event};
use sipwake_core::payload::{ActionKind, Channel, Duty, PushAction};
use uuid::Uuid;

use crate::incoming::{call, invite, ready, request};
use crate::support::{Sent, Stage, account, fcm, mpush, seconds};

fn announces(id: &str, from: &str) -> String {
    format!(r#"{{"ntype":"0","nfrom":"{from}","ncallid":"{id}","ntouser":"alice"}}"#)
}

fn cancels(id: &str, from: &str) -> String {
    format!(r#"{{"ntype":"2","nfrom":"{from}","ncallid":"{id}","ntouser":"alice"}}"#)
}

fn rings(stage: &Stage) -> usize {
    stage.calls().iter().filter(|change| matches!(change, CallChange::Ringing { .. })).count()
}

fn announced(stage: &Stage) -> usize {
    stage.calls().iter().filter(|change| matches!(change, CallChange::Announced(_))).count()
}

fn ends(stage: &Stage) -> Vec<Ended> {
    let end = |change: &&CallChange| match change {
        CallChange::Ended(how) => Some(*how),
        _ => None,
    };
    stage.calls().iter().filter_map(end).collect()
}

#[track_caller]
fn rings_with_180(stage: &mut Stage, id: &str, from: &str) {
    let before = rings(stage);
    stage.all();
    stage.input(invite(id, from));
    let codes: Vec<u16> = stage.all().iter().filter_map(Sent::code).collect();
    assert_eq!((codes, rings(stage)), (vec![180], before + 1), "{:?}", stage.calls());
}

// What a cancel may end.

#[test]
fn no_cancel_push_of_any_id_or_caller_keeps_an_invite_from_ringing() {
    for forged in [
        cancels("invented", "1234"),
        cancels("real", "1234"),
        cancels("real", "somebody"),
        r#"{"ntype":"2","nfrom":"1234"}"#.to_owned(),
        r#"{"ntype":"2"}"#.to_owned(),
    ] {
        let mut stage = ready();
        stage.push(&forged);
        rings_with_180(&mut stage, "real", "1234");
        stage.advance(seconds(5));
        stage.push(&forged);
        rings_with_180(&mut stage, "another", "1234");
        assert!(ends(&stage).is_empty(), "{forged}");
    }
}

#[test]
fn no_cancel_push_ends_a_call_that_only_its_invite_brought() {
    for channel in [Channel::FcmAndroid, Channel::PushKit] {
        for forged in [cancels("real", "1234"), cancels("x", "1234"), r#"{"ntype":"2"}"#.to_owned()] {
            let mut stage = ready();
            rings_with_180(&mut stage, "real", "1234");
            let live = call(&stage)[0];
            let action = stage.push_on(&forged, channel);
            assert!(stage.all().iter().all(|sent| sent.code().is_none()), "{forged}");
            assert!(ends(&stage).is_empty());
            // PushKit wants a report. Ending that call would close the live call's screen.
            assert!(action.duty != Duty::ReportThenEnd || action.uuid != live, "{forged}: {action:?}");
        }
    }
}

#[test]
fn a_cancel_push_ends_the_announced_call_with_its_id_before_and_after_the_invite() {
    for with_invite in [false, true] {
        let mut stage = ready();
        stage.push(&announces("c", "1234"));
        if with_invite {
            stage.input(invite("c", "1234"));
        }
        stage.push(&cancels("other", "1234"));
        assert!(ends(&stage).is_empty());
        stage.push(&cancels("c", "1234"));
        assert_eq!(ends(&stage), [Ended::Cancelled]);
    }
}

#[test]
fn a_cancel_that_overtook_its_push_silences_that_push_alone() {
    let mut stage = ready();
    stage.push(&cancels("c", "1234"));
    let late = stage.push(&announces("c", "1234"));
    assert!(!late.is_call() && announced(&stage) == 0, "{late:?}");
    rings_with_180(&mut stage, "c", "1234");
    assert_eq!(stage.push(&announces("c", "1234")).uuid, call(&stage)[0], "and its push is of the call that lives");
}

/// A forged push names the number of a real caller and joins that caller's INVITE, before or after it comes.
fn joined(forged_first: bool) -> (Stage, Uuid) {
    let mut stage = ready();
    if forged_first {
        stage.push(&announces("forged", "1234"));
    }
    stage.input(invite("real", "1234"));
    if !forged_first {
        stage.push(&announces("forged", "1234"));
    }
    stage.all();
    let mut names = call(&stage);
    names.dedup();
    assert_eq!(names.len(), 1, "they are one call");
    (stage, names[0])
}

#[test]
fn a_forged_cancel_push_cannot_end_the_real_call_that_joined_a_forged_announcement() {
    for forged_first in [true, false] {
        for channel in [Channel::FcmAndroid, Channel::PushKit] {
            for forged in [
                cancels("forged", "1234"),
                cancels("forged", ""),
                cancels("other", "1234"),
                r#"{"ntype":"2"}"#.to_owned(),
            ] {
                let (mut stage, live) = joined(forged_first);
                let action = stage.push_on(&forged, channel);
                assert!(ends(&stage).is_empty(), "{forged}");
                assert!(stage.all().iter().all(|sent| sent.code().is_none()), "{forged}");
                assert!(action.duty != Duty::ReportThenEnd || action.uuid != live, "{forged}: {action:?}");
                let told = |event: &Event| matches!(event, Event::Discarded { reason: Discard::StrayCancel, count: 1 });
                assert_eq!(stage.events.iter().filter(|event| told(event)).count(), 1, "{forged}");
                let report = stage.agent.report(None, stage.now);
                let dropped =
                    report.decisions.iter().rfind(|noted| noted.name == "dropped").expect("it is written down");
                assert_eq!(dropped.word("what"), Some("stray-cancel"));
                // The server's own CANCEL ends it.
                stage.input(request("CANCEL", "real", "real", "1234", "", ""));
                assert_eq!(ends(&stage), [Ended::Cancelled]);
            }
        }
    }
}

#[test]
fn a_cancel_push_with_the_invites_id_ends_the_call_and_one_with_the_pushs_id_if_the_flow_is_lost() {
    let (mut stage, _) = joined(true);
    stage.push(&cancels("real", "1234"));
    assert_eq!(ends(&stage), [Ended::Cancelled], "the one who knows the Call-ID is the server");
    for channel in [Channel::FcmAndroid, Channel::PushKit] {
        let (mut stage, live) = joined(true);
        stage.opens = false;
        stage.network_changes();
        let action = stage.push_on(&cancels("forged", "1234"), channel);
        assert_eq!((ends(&stage), action.uuid), (vec![Ended::Cancelled], live), "no CANCEL can come");
    }
}

#[test]
fn a_late_cancel_push_for_an_announced_call_is_not_counted_as_stray() {
    let mut stage = ready();
    stage.push(&announces("c", "1234"));
    stage.push(&cancels("c", "1234"));
    stage.push(&cancels("c", "1234"));
    assert!(!stage.events.iter().any(|event| matches!(event, Event::Discarded { .. })), "{:?}", stage.events);
}

#[test]
fn a_declined_call_stays_silent_after_a_flood_of_stray_cancels() {
    for number in [1, 127, 128, 500] {
        let mut stage = ready();
        stage.push(&announces("c", "1234"));
        let uuid = call(&stage)[0];
        assert!(stage.agent.decline(uuid, Decline::Everywhere, stage.now));
        stage.drain();
        stage.all();
        for forged in 0..number {
            stage.push(&cancels(&format!("forged{forged}"), "666"));
        }
        assert!(!stage.push(&announces("c", "1234")).is_call(), "after {number}");
        stage.all();
        stage.input(invite("c", "1234"));
        let codes: Vec<u16> = stage.all().iter().filter_map(Sent::code).collect();
        assert_eq!((codes, rings(&stage)), (vec![603], 0), "after {number}");
    }
}

#[test]
fn an_ended_call_stays_silent_after_a_flood_of_announced_and_cancelled_calls() {
    for declined in [true, false] {
        let mut stage = ready();
        stage.add(account(|config| config.aor = "sip:bob@example.com".into()), mpush());
        if declined {
            stage.push(&announces("c", "1234"));
            let uuid = call(&stage)[0];
            assert!(stage.agent.decline(uuid, Decline::Everywhere, stage.now));
            stage.drain();
        } else {
            rings_with_180(&mut stage, "c", "1234");
            stage.input(request("CANCEL", "c", "c", "1234", "", ""));
        }
        stage.events.clear();
        for to in ["alice", "bob", "zed"] {
            for number in 0..64 {
                let forged = |ntype| {
                    format!(r#"{{"ntype":"{ntype}","nfrom":"x{number}","ncallid":"{to}{number}","ntouser":"{to}"}}"#)
                };
                stage.push(&forged(0));
                stage.push(&forged(2));
            }
        }
        assert!(ends(&stage).len() > 128, "more than tombstones are kept");
        let mut later = stage.restart(account(|_| {}), mpush());
        later.set_token(fcm("a:1"));
        later.registered();
        for (process, stage) in [("the same", &mut stage), ("a later", &mut later)] {
            stage.all();
            assert!(!stage.push(&announces("c", "1234")).is_call(), "{process} process, declined: {declined}");
            stage.all();
            let before = rings(stage);
            stage.input(request("INVITE", "another-branch", "c", "1234", "", ""));
            let code = if declined { 603 } else { 487 };
            assert_eq!(stage.all().iter().filter_map(Sent::code).collect::<Vec<_>>(), [code], "{process} process");
            assert_eq!(rings(stage), before);
        }
    }
}

#[test]
fn an_id_of_ten_kilobytes_is_ignored_and_names_no_call() {
    let long = |letter: &str| letter.repeat(10 * 1024);
    let mut stage = ready();
    stage.push(&announces("real", "1234"));
    stage.push(&announces(&long("a"), "5678"));
    assert_eq!(announced(&stage), 2);
    for forged in
        [cancels(&long("a"), "1234"), cancels(&long("r"), "9999"), cancels(&format!("real{}", long("x")), "1234")]
    {
        stage.push(&forged);
        assert!(ends(&stage).is_empty(), "{:?}", ends(&stage));
    }
    rings_with_180(&mut stage, &long("i")[..4000], "4711");
    rings_with_180(&mut stage, "real", "1234");
}

// Limits.

#[test]
fn a_flood_of_pushes_announces_calls_up_to_the_limit_and_leaves_room_for_every_invite() {
    for channel in [Channel::FcmAndroid, Channel::PushKit] {
        let mut stage = ready();
        let mut silent = 0;
        for number in 0..600 {
            let action = stage.push_on(&announces(&format!("f{number}"), &format!("x{number}")), channel);
            if !action.is_call() {
                let told = if channel == Channel::PushKit { Duty::ReportThenEnd } else { Duty::Nothing };
                assert_eq!(action.duty, told, "a call that cannot ring is reported and ended");
                silent += 1;
            }
            // A call that is answered or ended makes room. The passing minute does not.
            stage.push_on(&cancels(&format!("f{number}"), "x"), channel);
            stage.advance(std::time::Duration::from_millis(50));
        }
        assert!(announced(&stage) <= 64 && silent >= 536, "{} {silent}", announced(&stage));
        let told = |event: &Event| matches!(event, Event::Discarded { reason: Discard::TooManyCalls, .. });
        assert!(stage.events.iter().any(told));
        for number in 0..100 {
            rings_with_180(&mut stage, &format!("real{number}"), &format!("b{number}"));
        }
        stage.advance(seconds(60));
        assert!(stage.push_on(&announces("later", "9"), channel).is_call(), "the next minute");
    }
}

#[test]
fn a_flood_for_one_account_leaves_room_for_the_others_pushes() {
    let mut stage = ready();
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), mpush());
    for number in 0..200 {
        stage.push(&announces(&format!("f{number}"), &format!("x{number}")));
    }
    let for_bob = r#"{"ntype":"0","nfrom":"9","ncallid":"b","ntouser":"bob"}"#;
    assert!(stage.push(for_bob).is_call());
}

#[test]
fn a_flood_that_names_nobody_or_an_unknown_user_leaves_room_for_each_accounts_pushes() {
    for to in ["", r#","ntouser":"zed""#, r#","ntouser":"alice@elsewhere.example""#] {
        let mut stage = ready();
        stage.add(account(|config| config.aor = "sip:bob@example.com".into()), mpush());
        stage.set_token(fcm("a:1"));
        for number in 0..400 {
            stage.push(&format!(r#"{{"ntype":"0","nfrom":"x{number}","ncallid":"f{number}"{to}}}"#));
        }
        assert!(announced(&stage) <= 64, "{to}");
        let for_bob = r#"{"ntype":"0","nfrom":"9","ncallid":"b","ntouser":"bob"}"#;
        assert!(stage.push(for_bob).is_call(), "{to}");
        rings_with_180(&mut stage, "real", "1234");
    }
}

#[test]
fn a_push_that_cannot_ring_still_makes_the_phone_register_within_its_limit() {
    let mut stage = ready();
    for number in 0..64 {
        stage.push(&announces(&format!("f{number}"), &format!("x{number}")));
    }
    // Long enough for the bucket to fill up again, and too short for the announced calls to be missed.
    for _ in 0..8 {
        for request in stage.all().into_iter().filter(Sent::is_register) {
            stage.ok(&request, &[]);
        }
        stage.advance(seconds(4));
    }
    stage.all();
    let action = stage.push(&announces("one-more", "1234"));
    assert!(!action.is_call());
    stage.advance(seconds(10));
    assert!(stage.all().iter().any(Sent::is_register), "its INVITE may still come");
}

// Contradictions.

/// A call that was announced from one number and answered before its INVITE came, which names another number.
fn answered_early(policy: CallPolicy, push_from: &str, invite_from: &str) -> (Stage, Uuid) {
    let mut stage = ready();
    stage.agent.set_call_policy(policy);
    stage.push(&announces("c", push_from));
    let uuid = call(&stage)[0];
    assert!(stage.agent.answer(uuid, stage.now));
    stage.drain();
    stage.input(invite("c", invite_from));
    (stage, uuid)
}

#[test]
fn a_caller_who_differs_from_the_push_is_reported_before_the_call_is_answered() {
    let (stage, uuid) = answered_early(CallPolicy::default(), "+15550100", "15559999");
    let [.., CallChange::CallerChanged(told), CallChange::AnswerWanted { caller, .. }] = &stage.calls()[..] else {
        panic!("{:?}", stage.calls())
    };
    assert!(told.uri.contains("15559999") && caller == told);
    assert!(call(&stage).iter().all(|known| *known == uuid), "it is one call");
    assert!(stage.sent.iter().all(|sent| sent.code() != Some(200)));
}

#[test]
fn an_app_may_ask_the_user_again_about_another_caller() {
    let policy = CallPolicy { reconfirm: true, ..CallPolicy::default() };
    let (mut stage, uuid) = answered_early(policy.clone(), "+15550100", "15559999");
    let [.., CallChange::CallerChanged(_), CallChange::Ringing { announced: true, .. }] = &stage.calls()[..] else {
        panic!("{:?}", stage.calls())
    };
    assert!(stage.agent.answer(uuid, stage.now), "the user confirms it again");
    stage.drain();
    assert!(matches!(stage.calls().last(), Some(CallChange::AnswerWanted { .. })));

    let (mut declined, uuid) = answered_early(policy.clone(), "+15550100", "15559999");
    assert!(declined.agent.decline(uuid, Decline::Everywhere, declined.now));
    declined.drain();

    let (same, _) = answered_early(policy, "+1 (555) 010-0123", "5550100123");
    assert!(matches!(same.calls().last(), Some(CallChange::AnswerWanted { .. })), "the same number in another form");
}

#[test]
fn other_forms_of_a_number_and_names_do_not_count_as_another_caller() {
    for (push_from, invite_from) in
        [("0015550100123", "+15550100123"), ("Mad Hatter", "15550100"), ("", "15550100"), ("anonymous", "15550100")]
    {
        let (stage, _) = answered_early(CallPolicy::default(), push_from, invite_from);
        let said = stage.calls();
        assert!(
            !matches!(said[said.len() - 2], CallChange::CallerChanged(_)),
            "{push_from:?} {invite_from:?}: {said:?}"
        );
    }
}

#[test]
fn a_push_after_the_invite_does_not_change_the_caller() {
    let mut stage = ready();
    stage.input(invite("c", "15550100"));
    stage.push(r#"{"ntype":"0","nfrom":"15559999","nfromusername":"Your Bank","ncallid":"c","ntouser":"alice"}"#);
    assert!(!stage.calls().iter().any(|change| matches!(change, CallChange::CallerChanged(_))), "{:?}", stage.calls());
}

// Sealed pushes.

/// Alice takes sealed pushes only, Bob any.
fn sealed() -> Stage {
    let mut stage = Stage::new(account(|config| config.sealed_pushes_only = true), mpush());
    stage.registered();
    stage
}

fn is_blank(action: &PushAction) -> bool {
    action.caller.is_none() && action.display_name.is_none() && action.title.is_none() && action.identity.is_empty()
}

#[test]
fn an_account_with_sealed_pushes_ignores_the_words_of_an_unsealed_one() {
    let forged = r#"{"ntype":"0","nfrom":"1","nfromusername":"My Bank","ncallid":"c","ntouser":"alice"}"#;
    let mut stage = sealed();
    let action = stage.push(forged);
    assert!(is_blank(&action) && action.kind == ActionKind::RefreshBinding, "{action:?}");
    assert!(stage.calls().is_empty() && stage.one().is_register(), "it registers like a push without content");

    let mut stage = sealed();
    let action = stage.push_on(forged, Channel::PushKit);
    assert!(
        is_blank(&action) && action.is_call() && action.duty == Duty::ReportCall,
        "reported as unknown: {action:?}"
    );
    let uuid = action.uuid;
    assert_ne!(stage.push_on(&cancels("c", "1"), Channel::PushKit).kind, ActionKind::Cancel);
    assert!(ends(&stage).is_empty(), "its id ends nothing");
    stage.input(invite("c", "1234"));
    assert!(call(&stage).contains(&uuid));
}

#[test]
fn an_account_with_sealed_pushes_ignores_unsealed_pushes_of_every_kind() {
    for words in [
        r#"{"ntype":"1","nfrom":"+1555","nfromusername":"My Bank","nmessage":"Call us","ncallid":"c"}"#,
        r#"{"ntype":"3","nfrom":"+1555","ntitle":"My Bank","nmessage":"Call us","ntouser":"alice"}"#,
        r#"{"aps":{"alert":{"title":"My Bank","body":"Call us"},"sound":"x"},"call-id":"c","from-uri":"sip:1555@x"}"#,
        r#"{"msg_type":"call","x-push-id":"c","send_from":"1555","send_to":"alice","msg_title":"My Bank","msg_content":"Call us"}"#,
        r#"{"NTYPE":"0","nFrom":"+1555","title":"My Bank","body":"Call us"}"#,
        r#"{"data":{"ntype":"0","nfrom":"1555","nfromusername":"My Bank"},"notification":{"title":"My Bank","body":"Call us"}}"#,
    ] {
        for channel in [Channel::FcmAndroid, Channel::PushKit] {
            let mut stage = sealed();
            let action = stage.push_on(words, channel);
            assert!(
                is_blank(&action) && action.text.is_none() && action.account.is_none(),
                "{channel:?} {words}: {action:?}"
            );
            let told = format!("{action:?} {:?}", stage.events);
            assert!(
                !told.contains("Bank") && !told.contains("Call us") && !told.contains("1555"),
                "{channel:?} {words}: {told}"
            );
            assert!(stage.all().iter().any(Sent::is_register), "it registers anyway");
        }
    }
}

#[test]
fn an_account_beside_one_with_sealed_pushes_still_reads_unsealed_ones() {
    let mut stage = sealed();
    stage.add(account(|config| config.aor = "sip:bob@example.com".into()), mpush());
    let for_bob = stage.push(r#"{"ntype":"0","nfrom":"1","ncallid":"b","ntouser":"bob"}"#);
    assert_eq!((for_bob.is_call(), for_bob.caller.as_deref()), (true, Some("1")));
    let for_alice = stage.push(r#"{"ntype":"0","nfrom":"1","ncallid":"a","ntouser":"alice"}"#);
    assert!(is_blank(&for_alice), "{for_alice:?}");
}
