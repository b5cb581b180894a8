//! A push, then a call by SIPp through a real Kamailio, or no call: over every transport at the same time.

use std::sync::Arc;
use std::time::Duration;

use interop::{Place, Sipp, TOKEN, Watched, answer, over_every_transport};
use sipwake::{CallChange, CallPolicy, Ended, Error, HangUp, MemoryStore};

const PUSH: &str = r#"{"ntype":"0","nfrom":"bob"}"#;

/// Starts a phone that was registered in an earlier life and no longer is: only a push finds it. It sends nothing by
/// itself.
async fn asleep(place: Place<'_>) -> Watched {
    let store = Arc::<MemoryStore>::default();
    let mut earlier = place.phone_on(store.clone(), TOKEN).await;
    earlier.client.register(&earlier.account).await.expect("it was added");
    earlier.registered().await;
    earlier.leave(0).await;
    place.server.forget(place.user).await;
    place.phone_on(store, TOKEN).await
}

/// The user answers at once: before the INVITE, which waits at the server or has not been sent yet.
async fn answered_from_the_push(place: Place<'_>, invite_first: bool) {
    let mut phone = asleep(place).await;
    let mut caller = None;
    if invite_first {
        caller = place.called("talk.xml");
        place.holds_a_call().await;
    }
    let action = phone.pushed(PUSH);
    assert!(action.is_call());
    phone.client.answer(action.uuid).await.expect("it is announced");
    if !invite_first {
        phone.registered().await;
        caller = place.called("talk.xml");
    }
    let Some(caller) = caller else { return };
    let wanted = |change: &CallChange| match change {
        CallChange::Ringing { .. } => panic!("the user has answered: it must not ring"),
        CallChange::AnswerWanted { offer, .. } => Some(offer.is_some()),
        _ => None,
    };
    assert_eq!(phone.change("an answer is wanted", wanted).await, (action.uuid, true));
    phone.client.accept(action.uuid, answer("caller")).await.expect("it is here");
    assert_eq!(phone.connected().await, action.uuid);
    assert_eq!(phone.ended().await, (action.uuid, Ended::HungUpByCaller));
    caller.succeed().await;
    phone.leave(1).await;
}

#[tokio::test]
async fn an_answer_tapped_on_the_push_accepts_the_waiting_invite() {
    over_every_transport(async |place| answered_from_the_push(place, true).await).await;
}

#[tokio::test]
async fn an_answer_tapped_on_the_push_accepts_a_later_invite() {
    over_every_transport(async |place| answered_from_the_push(place, false).await).await;
}

#[tokio::test]
async fn a_call_declined_on_the_push_does_not_ring_when_its_invite_comes() {
    over_every_transport(async |place| {
        let mut phone = asleep(place).await;
        let Some(caller) = place.called("declined.xml") else { return };
        place.holds_a_call().await;
        let action = phone.pushed(PUSH);
        phone.client.hang_up(action.uuid, HangUp::Normal).await.expect("it is announced");
        assert_eq!(silently_ended(&mut phone).await, (action.uuid, Ended::Declined));
        caller.succeed().await;
        phone.leave(1).await;
    })
    .await;
}

/// The caller gives up before the phone is ready: the announced call is missed, and reported as missed once.
#[tokio::test]
async fn a_call_whose_caller_gave_up_during_the_push_is_missed() {
    over_every_transport(async |place| {
        let mut phone = asleep(place).await;
        let Some(caller) = place.called("gives-up.xml") else { return };
        caller.succeed().await;
        is_missed(&mut phone, PUSH).await;
        phone.leave(1).await;
    })
    .await;
}

/// No INVITE comes within the window. The one that comes later does not ring, but another caller's does.
#[tokio::test]
async fn a_call_without_an_invite_is_missed_and_does_not_ring_later() {
    over_every_transport(async |place| {
        let mut phone = asleep(place).await;
        let id = format!("late-{}", place.user);
        is_missed(&mut phone, &format!(r#"{{"ntype":"0","nfrom":"carol","ncallid":"{id}"}}"#)).await;
        let Some(late) = Sipp::call_with_id("late.xml", place.user, place.server.port, &id) else { return };
        late.succeed().await;
        let Some(caller) = place.called("talk.xml") else { return };
        phone.talk(false).await;
        caller.succeed().await;
        phone.leave(2).await;
    })
    .await;
}

/// Handles a push for a call that does not come.
async fn is_missed(phone: &mut Watched, payload: &str) {
    let policy = CallPolicy { window: Duration::from_secs(1), ..CallPolicy::default() };
    phone.client.set_call_policy(policy).await.expect("the client runs");
    let action = phone.pushed(payload);
    assert!(action.is_call());
    phone.registered().await;
    assert_eq!(silently_ended(phone).await, (action.uuid, Ended::Missed));
    assert_eq!(phone.client.answer(action.uuid).await, Err(Error::NoSuchCall));
}

async fn silently_ended(phone: &mut Watched) -> (sipwake::Uuid, Ended) {
    let end = |change: &CallChange| match change {
        CallChange::Ringing { .. } => panic!("it must not ring"),
        CallChange::Ended(how) => Some(*how),
        _ => None,
    };
    phone.change("the end", end).await
}
