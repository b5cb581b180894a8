//! Calls by liblinphone through a real Kamailio, with and without Record-Route.

use interop::{Baresip, Kamailio, Linphone, Place, Sipp, Watched, answer, over_every_transport};
use sipwake::{CallChange, Ended, Event, HangUp, Transport, Uuid};

#[tokio::test]
async fn linphone_talks_and_either_side_hangs_up() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        for we_hang_up in [true, false] {
            let Some(mut caller) = Linphone::call(place.user, place.server.port).await else { return };
            let uuid = taken(&mut phone).await;
            caller.has_said("connected").await;
            hung_up(&mut phone, uuid, async || caller.order("terminate").await, we_hang_up).await;
            caller.has_said("ended").await;
            caller.leave().await;
        }
        phone.leave(2).await;
    })
    .await;
}

#[tokio::test]
async fn linphone_gives_up_during_ringing_and_learns_that_it_was_declined() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        for declined in [true, false] {
            let Some(mut caller) = Linphone::call(place.user, place.server.port).await else { return };
            let uuid = phone.ringing().await;
            caller.has_said("ringing").await;
            if declined {
                phone.client.hang_up(uuid, HangUp::Normal).await.expect("it rings");
                assert_eq!(phone.ended().await, (uuid, Ended::Declined));
            } else {
                caller.order("terminate").await;
                assert_eq!(phone.ended().await, (uuid, Ended::Cancelled));
            }
            caller.leave().await;
        }
        phone.leave(2).await;
    })
    .await;
}

/// By a re-INVITE with other media, which the app answers like any other offer.
#[tokio::test]
async fn linphone_holds_the_call_and_resumes_it() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(mut caller) = Linphone::call(place.user, place.server.port).await else { return };
        let uuid = taken(&mut phone).await;
        caller.has_said("connected").await;
        for (order, direction) in [("pause", "a=sendonly"), ("resume", "")] {
            caller.order(order).await;
            let offered = |change: &CallChange| match change {
                CallChange::Offered { offer: Some(offer) } => Some(String::from_utf8_lossy(&offer.body).into_owned()),
                CallChange::Ended(how) => panic!("over at {order}: {how:?}"),
                _ => None,
            };
            let (_, offer) = phone.change("other media", offered).await;
            assert!(offer.contains(direction) && (order == "pause" || !offer.contains("a=sendonly")), "{offer}");
            phone.client.respond_offer(uuid, Some(answer("caller"))).await.expect("it waits");
            caller.has_said(if order == "pause" { "is now paused" } else { "Resuming" }).await;
        }
        hung_up(&mut phone, uuid, async || caller.order("terminate").await, false).await;
        caller.leave().await;
        phone.leave(1).await;
    })
    .await;
}

#[tokio::test]
async fn linphone_chats() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(mut caller) = Linphone::start(place.server.port).await else { return };
        caller.order(&format!("chat sip:{}@example.com Grüße aus Köln", place.user)).await;
        let text = |event: &Event| match event {
            Event::Message { text, .. } => Some(text.expose().to_owned()),
            _ => None,
        };
        assert_eq!(phone.wait_for("a message", text).await.trim_end(), "Grüße aus Köln");
        caller.leave().await;
        phone.leave(0).await;
    })
    .await;
}

/// ACK and BYE come straight from the caller, from another address than the registrar's. Our BYE goes straight back.
#[tokio::test]
async fn calls_through_a_server_without_record_route_work_directly_with_the_caller() {
    let Some(server) = Kamailio::start_off_the_route().await else { return };
    let place = Place { server: &server, user: "alice", transport: Transport::Udp };
    let mut phone = place.phone().await;
    for we_hang_up in [false, true] {
        let Some(mut caller) = Linphone::call("alice", server.port).await else { return };
        let uuid = taken(&mut phone).await;
        hung_up(&mut phone, uuid, async || caller.order("terminate").await, we_hang_up).await;
        caller.has_said("ended").await;
        caller.leave().await;

        let Some(caller) = Baresip::call("alice", server.port, if we_hang_up { 60 } else { 3 }) else { return };
        let uuid = taken(&mut phone).await;
        hung_up(&mut phone, uuid, async || {}, we_hang_up).await;
        if !we_hang_up {
            let log = caller.leave().await;
            assert!(log.contains("Call established"), "{log}");
        }
        // SIPp follows its script: it sends everything to the server, which passes it on to the Contact.
        let Some(caller) = Sipp::call("talk.xml", "alice", server.port) else { return };
        phone.talk(we_hang_up).await;
        caller.succeed().await;
    }
    phone.leave(6).await;
}

/// Accepts a ringing call.
async fn taken(phone: &mut Watched) -> Uuid {
    let uuid = phone.ringing().await;
    phone.client.accept(uuid, answer("caller")).await.expect("it rings");
    assert_eq!(phone.connected().await, uuid);
    uuid
}

/// One of the two sides ends the call.
async fn hung_up(phone: &mut Watched, uuid: Uuid, by_caller: impl AsyncFnOnce(), we_hang_up: bool) {
    if we_hang_up {
        phone.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
    } else {
        by_caller().await;
    }
    let how = if we_hang_up { Ended::HungUp } else { Ended::HungUpByCaller };
    assert_eq!(phone.ended().await, (uuid, how));
}
