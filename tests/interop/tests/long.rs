//! Calls that take minutes, and calls during which the network changes. `scripts/test --only long` runs the ignored
//! ones.

use interop::{Algorithm, Baresip, Kamailio, Place, answer, over_every_transport};
use sipwake::{CallChange, Ended, Transport};

#[tokio::test]
#[ignore = "takes two and a half minutes"]
async fn a_session_of_ninety_seconds_is_refreshed_until_the_call_ends() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called("refreshed.xml") else { return };
        let uuid = phone.ringing().await;
        phone.client.accept(uuid, answer("caller")).await.expect("it rings");
        assert_eq!(phone.connected().await, uuid);
        caller.succeed().await;
        assert_eq!(phone.ended().await, (uuid, Ended::HungUpByCaller));
        phone.leave(1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "takes more than a minute"]
async fn a_caller_who_does_not_refresh_the_session_is_hung_up_on() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = place.called("unrefreshed.xml") else { return };
        let uuid = phone.ringing().await;
        phone.client.accept(uuid, answer("caller")).await.expect("it rings");
        assert_eq!(phone.connected().await, uuid);
        assert_eq!(phone.ended().await, (uuid, Ended::Failed(408)));
        caller.succeed().await;
        phone.leave(1).await;
    })
    .await;
}

/// A request inside the call tells the caller the new Contact.
#[tokio::test]
async fn a_call_follows_the_phone_to_another_network() {
    over_every_transport(async |place| {
        let mut phone = place.phone().await;
        let Some(caller) = Baresip::call(place.user, place.server.port, 12) else { return };
        let uuid = phone.ringing().await;
        phone.client.accept(uuid, answer("caller")).await.expect("it rings");
        assert_eq!(phone.connected().await, uuid);
        phone.client.network_changed().await.expect("the client runs");
        phone.registered().await;
        let (ended, log) = (phone.ended().await, caller.leave().await);
        assert_eq!(ended, (uuid, Ended::HungUpByCaller), "{log}");
        phone.leave(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_call_over_udp_outlives_the_restart_of_its_server_and_the_next_one_rings() {
    let Some(mut server) = Kamailio::start(Algorithm::Md5).await else { return };
    let mut phone = Place { server: &server, user: "alice", transport: Transport::Udp }.phone().await;
    let Some(caller) = Baresip::call("alice", server.port, 12) else { return };
    let uuid = phone.ringing().await;
    phone.client.accept(uuid, answer("caller")).await.expect("it rings");
    assert_eq!(phone.connected().await, uuid);
    server.restart().await;
    let up = |change: &CallChange| matches!(change, CallChange::Ended(_)).then(|| change.clone());
    let (ended, how) = phone.change("the end", up).await;
    let log = caller.leave().await;
    assert_eq!((ended, how), (uuid, CallChange::Ended(Ended::HungUpByCaller)), "{log}");

    phone.client.register(&phone.account).await.expect("it was added");
    phone.registered().await;
    let place = Place { server: &server, user: "alice", transport: Transport::Udp };
    let Some(caller) = place.called("talk.xml") else { return };
    phone.talk(false).await;
    caller.succeed().await;
    phone.leave(2).await;
}
