//! Calls by SIPp and baresip through a real Kamailio. The client accepts them over every transport at the same time.

use std::time::Duration;

use interop::{Algorithm, Baresip, Kamailio, Place, answer, over_every_transport};
use sipwake::{CallChange, Ended, Error, HangUp, Transport};

#[tokio::test]
async fn an_answered_call_is_hung_up_from_either_side() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        for we_hang_up in [false, true] {
            let Some(caller) = place.called("talk.xml") else { return };
            phone.talk(we_hang_up).await;
            caller.succeed().await;
        }
        phone.leave(2).await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_is_declined_or_gets_busy_learns_the_reason() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        for (scenario, how, end) in
            [("declined.xml", HangUp::Normal, Ended::Declined), ("busy.xml", HangUp::Failed(486), Ended::Failed(486))]
        {
            let Some(caller) = place.called(scenario) else { return };
            let uuid = phone.ringing().await;
            phone.client.hang_up(uuid, how).await.expect("it rings");
            assert_eq!(phone.ended().await, (uuid, end));
            caller.succeed().await;
        }
        phone.leave(2).await;
    })
    .await;
}

#[tokio::test]
async fn of_two_ringing_phones_the_second_learns_that_the_first_answered() {
    over_every_transport(async |place| {
        // A phone removes unknown bindings with its own token.
        let (mut first, mut second) = (place.phone().await, place.phone_with("another:APA91b").await);
        let Some(caller) = place.called("talk.xml") else { return };
        let (ours, other) = (first.ringing().await, second.ringing().await);
        first.client.accept(ours, answer("caller")).await.expect("it rings");
        assert_eq!(second.ended().await, (other, Ended::AnsweredElsewhere));
        assert_eq!(first.ended().await, (ours, Ended::HungUpByCaller));
        caller.succeed().await;
        first.leave(1).await;
        second.leave(1).await;
    })
    .await;
}

#[tokio::test]
async fn the_app_refuses_or_accepts_other_media() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called("reinvite.xml") else { return };
        let uuid = phone.ringing().await;
        phone.client.accept(uuid, answer("caller")).await.expect("it rings");
        for taken in [None, Some(answer("caller"))] {
            let offered = |change: &CallChange| matches!(change, CallChange::Offered { offer: Some(_) }).then_some(());
            phone.change("other media", offered).await;
            phone.client.respond_offer(uuid, taken).await.expect("it waits");
        }
        assert_eq!(phone.ended().await, (uuid, Ended::HungUpByCaller));
        caller.succeed().await;
        phone.leave(1).await;
    })
    .await;
}

#[tokio::test]
async fn the_app_answers_a_hold_by_update_and_its_end() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called("hold.xml") else { return };
        let uuid = phone.ringing().await;
        phone.client.accept(uuid, answer("caller")).await.expect("it rings");
        for direction in ["a=sendonly", "a=sendrecv"] {
            let offered = |change: &CallChange| match change {
                CallChange::Offered { offer: Some(offer) } => {
                    Some(String::from_utf8_lossy(&offer.body).contains(direction))
                }
                _ => None,
            };
            assert!(phone.change("an offer", offered).await.1, "{direction}");
            phone.client.respond_offer(uuid, Some(answer("caller"))).await.expect("it waits");
        }
        assert_eq!(phone.ended().await, (uuid, Ended::HungUpByCaller));
        caller.succeed().await;
        phone.leave(1).await;
    })
    .await;
}

/// This many calls in a row over each of some transports, each at a server of its own.
async fn calls_in_a_row(places: [(&str, Transport); 2], count: usize) {
    let row = async |(user, transport)| {
        let Some(server) = Kamailio::start(Algorithm::Sha256).await else { return };
        let place = Place { server: &server, user, transport };
        let mut phone = place.phone().await;
        let Some(caller) = place.called_often("talk.xml", count) else { return };
        for number in 0..count {
            phone.talk(number % 2 == 1).await;
        }
        caller.succeed().await;
        phone.leave(count).await;
        server.rests().await;
    };
    let [one, other] = places;
    tokio::join!(row(one), row(other));
}

#[tokio::test]
async fn two_hundred_calls_in_a_row_leave_none_stuck() {
    calls_in_a_row([("udp", Transport::Udp), ("tcp", Transport::Tcp)], 200).await;
}

#[tokio::test]
async fn two_hundred_calls_in_a_row_over_tls_and_websocket_leave_none_stuck() {
    calls_in_a_row([("tls", Transport::Tls), ("ws", Transport::Ws)], 200).await;
}

#[tokio::test]
async fn a_caller_who_gives_up_during_ringing_has_cancelled() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called("invite-cancel.xml") else { return };
        let uuid = phone.ringing().await;
        assert_eq!(phone.ended().await, (uuid, Ended::Cancelled));
        assert_eq!(phone.client.accept(uuid, answer("caller")).await, Err(Error::NoSuchCall));
        caller.succeed().await;
        phone.leave(1).await;
    })
    .await;
}

/// The user has answered, and the app is still creating its SDP.
#[tokio::test]
async fn a_caller_who_gives_up_before_the_answer_is_ready_has_cancelled() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called("invite-cancel.xml") else { return };
        let uuid = phone.ringing().await;
        phone.client.answer(uuid).await.expect("it rings");
        let wanted = |change: &CallChange| matches!(change, CallChange::AnswerWanted { .. }).then_some(());
        assert_eq!(phone.change("an answer is wanted", wanted).await.0, uuid);
        assert_eq!(phone.ended().await, (uuid, Ended::Cancelled));
        assert_eq!(phone.client.accept(uuid, answer("caller")).await, Err(Error::NoSuchCall));
        caller.succeed().await;
        phone.leave(1).await;
    })
    .await;
}

/// The caller gives up at the moment in which we answer, and chance decides who is first. If only one side took the
/// call for cancelled, it would end without a BYE, or with one that is refused.
#[tokio::test]
async fn an_answer_and_a_cancel_at_the_same_time_have_one_outcome() {
    const ROUNDS: u32 = 12;
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called_often("race.xml", ROUNDS as usize) else { return };
        for round in 0..ROUNDS {
            let uuid = phone.ringing().await;
            tokio::time::sleep(Duration::from_millis(1) * round).await;
            let taken = phone.client.accept(uuid, answer("caller")).await;
            let (ended, how) = phone.ended().await;
            assert_eq!(ended, uuid);
            match taken {
                Ok(()) => assert_eq!(how, Ended::HungUpByCaller),
                Err(error) => assert_eq!((error, how), (Error::NoSuchCall, Ended::Cancelled)),
            }
        }
        caller.succeed().await;
        phone.leave(ROUNDS as usize).await;
    })
    .await;
}

#[tokio::test]
async fn baresip_talks_and_hangs_up_or_gives_up_while_it_rings() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        for taken in [true, false] {
            let Some(caller) = Baresip::call(place.user, place.server.port, 3) else { return };
            let uuid = phone.ringing().await;
            if taken {
                phone.client.accept(uuid, answer("caller")).await.expect("it rings");
            }
            let how = if taken { Ended::HungUpByCaller } else { Ended::Cancelled };
            let (ended, log) = (phone.ended().await, caller.leave().await);
            assert_eq!(ended, (uuid, how), "{log}");
            assert_eq!(log.contains("Call established"), taken, "{log}");
        }
        phone.leave(2).await;
    })
    .await;
}
