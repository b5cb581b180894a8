//! The habits: the list in the README, and what a client sees of each.

mod peer;

use mock_gateway::{Habit, Message, MockGateway};
use peer::{Peer, Register, mock, open_mock};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- habits -->\n";
const END: &str = "<!-- /habits -->";

#[test]
fn the_readme_lists_every_habit() {
    let mut table = String::from("| habit | the server | seen |\n|---|---|---|\n");
    for habit in Habit::ALL {
        table.push_str(&format!("| `{habit}` | {} | {} |\n", habit.does(), habit.seen()));
    }
    let readme = std::fs::read_to_string(README).expect("it is there");
    let (before, rest) = readme.split_once(BEGIN).expect("the mark is there");
    let (listed, after) = rest.split_once(END).expect("the mark is there");
    if std::env::var_os("SIPWAKE_WRITE_DOCS").is_some() {
        return std::fs::write(README, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
    }
    assert_eq!(listed, table, "SIPWAKE_WRITE_DOCS=1 cargo test -p mock-gateway --test habits writes it again");
}

const PUSH: &str = ";pn-provider=fcm;pn-param=my-project;pn-prid=a:b";

/// A mock without authentication and with these habits, and a peer.
async fn odd(profile: &str, habits: &[Habit]) -> (MockGateway, Peer) {
    let mock = open_mock(profile).await;
    mock.set_habits(None, habits).await;
    let peer = Peer::new(&mock).await;
    (mock, peer)
}

fn pushed(expires: u32) -> Register {
    Register { uri_params: PUSH.into(), expires, ..Register::default() }
}

async fn answer(peer: &mut Peer, register: &Register) -> Message {
    let text = peer.register_text(register);
    peer.send(&text).await;
    peer.receive().await
}

#[tokio::test]
async fn refusals_come_when_the_habit_says() {
    for (habit, expected) in [
        (Habit::UnknownAtFirst, [404, 200, 200]),
        (Habit::RefusedAtTimes, [200, 200, 403]),
        (Habit::BusyAtTimes, [200, 200, 503]),
        (Habit::PushLater555, [200, 555, 555]),
        (Habit::RedirectedInCircles, [302, 302, 302]),
        (Habit::ChallengeMissing, [401, 401, 401]),
        (Habit::LifetimeTooBrief, [423, 423, 423]),
    ] {
        let (_mock, mut peer) = odd("rfc8599", &[habit]).await;
        for status in expected {
            assert_eq!(answer(&mut peer, &pushed(600)).await.status(), Some(status), "{habit}");
        }
    }
}

#[tokio::test]
async fn a_removal_has_the_effect_that_the_habit_says() {
    for (habit, status, left) in [
        (Habit::RemovalRefused, 403, 1),
        (Habit::RemovalRedirected, 302, 1),
        (Habit::RemovalNotDone, 200, 1),
        (Habit::RemovalNeedsNoPush, 555, 1),
        (Habit::RemovalKeepsRfc8599, 200, 1),
        (Habit::RemovalKeepsXmpush, 200, 0),
    ] {
        let (mock, mut peer) = odd("rfc8599", &[habit]).await;
        answer(&mut peer, &pushed(600)).await;
        assert_eq!(answer(&mut peer, &pushed(0)).await.status(), Some(status), "{habit}");
        let bindings = mock.bindings("alice").await;
        assert_eq!(bindings.len(), left, "{habit}");
        assert!(bindings.iter().all(|binding| binding.push.is_some()), "{habit} keeps pushing");
    }
}

#[tokio::test]
async fn a_contact_of_256_bytes_is_too_long_for_a_server_that_says_so() {
    let (_mock, mut peer) = odd("rfc8599", &[Habit::ContactTooLong]).await;
    let long = Register { uri_params: format!("{PUSH}{}", "x".repeat(255)), expires: 600, ..Register::default() };
    let refused = answer(&mut peer, &long).await;
    assert_eq!(refused.status(), Some(400));
    assert_eq!(refused.header("P-Registrar-Error"), Some("Contact/received too long"));
    assert_eq!(answer(&mut peer, &pushed(600)).await.status(), Some(200));
}

#[tokio::test]
async fn a_lifetime_is_sent_as_the_habit_says() {
    for (habit, header, param) in [
        (Habit::LifetimeCut, None, Some("60")),
        (Habit::LifetimeInHeader, Some("600"), None),
        (Habit::LifetimeUnsaid, None, None),
        (Habit::LifetimeZero, Some("0"), Some("0")),
    ] {
        let (_mock, mut peer) = odd("rfc8599", &[habit]).await;
        let ok = answer(&mut peer, &pushed(600)).await;
        assert_eq!(ok.header("Expires"), header, "{habit}");
        let contact = ok.header("Contact").expect("it is listed");
        let listed = contact.split(';').find_map(|part| part.strip_prefix("expires="));
        assert_eq!(listed, param, "{habit}: {contact}");
    }
}

#[tokio::test]
async fn a_nonce_that_is_valid_once_is_refused_the_second_time() {
    for (habit, status) in [(Habit::NonceOnce403, 403), (Habit::NonceOnce400, 400), (Habit::NonceOnce500, 500)] {
        let mock = mock("none").await;
        mock.set_habits(None, &[habit]).await;
        let mut peer = Peer::new(&mock).await;
        let challenge = answer(&mut peer, &pushed(600)).await;
        let challenge = challenge.header("WWW-Authenticate").expect("a challenge").to_owned();
        for (nc, expected) in [(1, 200), (2, status)] {
            let authorization = peer.answer(&challenge, "secret", nc);
            let register = Register { authorization, ..pushed(600) };
            assert_eq!(answer(&mut peer, &register).await.status(), Some(expected), "{habit}");
        }
        assert_eq!(
            answer(&mut peer, &pushed(600)).await.status(),
            Some(401),
            "{habit}: without it, the server asks again"
        );
    }
}

#[tokio::test]
async fn a_stripped_binding_is_accepted_and_never_gets_a_push() {
    for (habit, bound) in [(Habit::PushStripped, false), (Habit::PushNever, true)] {
        let (mock, mut peer) = odd("rfc8599", &[habit]).await;
        assert_eq!(answer(&mut peer, &pushed(600)).await.status(), Some(200));
        assert_eq!(mock.bindings("alice").await[0].push.is_some(), bound, "{habit}");
        mock.sleep("alice", false).await;
        let call = mock.place_call("alice", mock_gateway::CallOptions::default()).await;
        assert_eq!(call.report().await.map(|report| report.pushes), Some(0), "{habit}");
    }
}

#[tokio::test]
async fn a_call_comes_as_the_habit_says() {
    let (mock, mut peer) = odd("xmpush", &[Habit::AliasInTo, Habit::CallIdRenamed, Habit::ToCut]).await;
    let register = Register { headers: "X-MPUSH: a:my-project:tok\r\n".into(), expires: 600, ..Register::default() };
    answer(&mut peer, &register).await;
    mock.sleep("alice", false).await;
    mock.place_call("alice", mock_gateway::CallOptions::default()).await;
    let push = mock.pushes(None).next_within(peer::LIMIT).await.expect("a push");
    let text = peer.register_text(&register);
    peer.send(&text).await;
    let invite = peer.request("INVITE").await;
    assert!(invite.header("To").is_some_and(|to| to.contains("ring-group") && to.len() > 255));
    assert_ne!(push.call_id, invite.call_id());
    peer.reply(&invite, "200 OK", "Contact: <sip:alice@127.0.0.1:9>\r\n").await;
    let ack = peer.request("ACK").await;
    assert_eq!(ack.tag("To"), None, "it was cut off");
}
