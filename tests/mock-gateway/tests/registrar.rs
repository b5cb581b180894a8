//! The registrar, as a client on UDP sees it.

mod peer;

use mock_gateway::digest::md5_hex;
use mock_gateway::{Algorithm, Challenges, Delivery, Offer, PushKind, Scripted};
use peer::{LIMIT, Peer, Register, mock, open_mock, part};

const FCM: &str = ";pn-provider=fcm;pn-param=project;pn-prid=abc:def";

fn for_an_hour() -> Register {
    Register { expires: 3600, ..Register::default() }
}

#[tokio::test]
async fn a_register_is_challenged_and_its_right_answer_accepted() {
    let mock = mock("none").await;
    let mut peer = Peer::new(&mock).await;
    let challenge = peer.register(&for_an_hour()).await;
    assert_eq!(challenge.status(), Some(401));
    let value = challenge.header("WWW-Authenticate").expect("a challenge").to_owned();
    let ok = peer.register(&Register { authorization: peer.answer(&value, "secret", 1), ..for_an_hour() }).await;
    assert_eq!(ok.status(), Some(200));
    assert!(ok.header("Contact").expect("a binding").ends_with(";expires=3600"));
    let again = peer.register(&Register { authorization: peer.answer(&value, "secret", 2), ..for_an_hour() }).await;
    assert_eq!(again.status(), Some(200), "the nonce lives on");
    assert_eq!(mock.violations(), []);
}

#[tokio::test]
async fn an_nc_that_does_not_grow_and_a_third_wrong_password_are_violations() {
    let mock = mock("none").await;
    let mut peer = Peer::new(&mock).await;
    let value = peer.register(&for_an_hour()).await.header("WWW-Authenticate").expect("a challenge").to_owned();
    peer.register(&Register { authorization: peer.answer(&value, "secret", 1), ..for_an_hour() }).await;
    let replay = peer.register(&Register { authorization: peer.answer(&value, "secret", 1), ..for_an_hour() }).await;
    assert!(replay.header("WWW-Authenticate").expect("a challenge").contains("stale=true"));
    for nc in 2..5 {
        let wrong = peer.register(&Register { authorization: peer.answer(&value, "wrong", nc), ..for_an_hour() }).await;
        assert!(!wrong.header("WWW-Authenticate").expect("a challenge").contains("stale"));
    }
    let kinds: Vec<&str> = mock.violations().iter().map(|v| v.kind).collect();
    assert_eq!(kinds, ["nc-not-growing", "password-hammering"]);
}

#[tokio::test]
async fn challenges_come_in_the_chosen_order_and_as_407_if_wanted() {
    let mock = mock("none").await;
    let offers = vec![Offer::new(Algorithm::Sha512_256), Offer { qop: None, ..Offer::new(Algorithm::Md5) }];
    mock.set_challenges(None, Challenges { offers, status: 407, ..Challenges::none() }).await;
    let challenge = Peer::new(&mock).await.register(&for_an_hour()).await;
    assert_eq!(challenge.status(), Some(407));
    let all: Vec<&str> = challenge.all("Proxy-Authenticate").collect();
    assert!(all[0].contains("SHA-512-256") && all[1].contains("algorithm=MD5") && !all[1].contains("qop"));
    assert_ne!(part(all[0], "nonce"), part(all[1], "nonce"));
}

#[tokio::test]
async fn a_retransmission_gets_the_same_answer_and_an_old_cseq_is_refused() {
    let mock = open_mock("none").await;
    let mut peer = Peer::new(&mock).await;
    let text = peer.register_text(&for_an_hour());
    peer.send(&text).await;
    let first = peer.receive().await;
    peer.send(&text).await;
    assert_eq!(peer.receive().await, first);
    peer.send(&text.replace("branch=z9hG4bK", "branch=z9hG4bKother")).await;
    assert_eq!(peer.receive().await.status(), Some(500));
    assert_eq!(mock.violations()[0].kind, "cseq-not-growing");
}

#[tokio::test]
async fn expiry_star_and_scripted_responses_follow_the_rfc() {
    let mock = open_mock("none").await;
    let mut peer = Peer::new(&mock).await;
    let brief = peer.register(&Register { expires: 1, ..Register::default() }).await;
    assert_eq!((brief.status(), brief.header("Min-Expires")), (Some(423), Some("10")));
    peer.register(&for_an_hour()).await;
    let mut star = peer.register_text(&Register::default());
    let from = star.find("Contact: ").expect("has a Contact");
    let to = from + star[from..].find("\r\n").expect("the line ends");
    star.replace_range(from..to, "Contact: *");
    peer.send(&star).await;
    assert_eq!(peer.receive().await.header("Contact"), None);
    assert!(mock.bindings("alice").await.is_empty());
    let busy = Scripted { status: 503, headers: vec![("Retry-After".into(), "7".into())], after_auth: false };
    mock.script("alice", vec![busy]).await;
    assert_eq!(peer.register(&for_an_hour()).await.header("Retry-After"), Some("7"));
    assert_eq!(peer.register(&for_an_hour()).await.status(), Some(200));
}

#[tokio::test]
async fn a_200_lists_every_binding_and_an_instance_is_one_binding() {
    let mock = open_mock("none").await;
    let (mut one, mut two) = (Peer::new(&mock).await, Peer::new(&mock).await);
    let instance = Register { contact_params: ";+sip.instance=\"<urn:uuid:1>\";reg-id=1".into(), ..for_an_hour() };
    one.register(&instance).await;
    let both = two.register(&for_an_hour()).await;
    assert_eq!(both.list("Contact").len(), 2);
    let mut moved = Peer::new(&mock).await;
    moved.call_id = one.call_id.clone();
    moved.cseq = one.cseq;
    assert_eq!(moved.register(&instance).await.list("Contact").len(), 2, "it replaces its old port");
}

#[tokio::test]
async fn rfc_8599_confirms_in_feature_caps_refuses_with_555_and_answers_queries() {
    let mock = open_mock("rfc8599").await;
    let mut peer = Peer::new(&mock).await;
    let wakes = Register { uri_params: FCM.into(), contact_params: ";+sip.pnsreg".into(), ..for_an_hour() };
    let ok = peer.register(&wakes).await;
    let caps = ok.header("Feature-Caps").expect("confirmed");
    assert!(caps.starts_with("*;+sip.pns=\"fcm\";+sip.pnsreg=\"121\";+sip.pnspurr="), "{caps}");
    let bound = mock.bindings("alice").await[0].push.clone().expect("a push binding");
    assert_eq!((bound.app.as_str(), bound.token.as_str()), ("project", "abc:def"));
    let acme = Register { uri_params: ";pn-provider=acme;pn-param=a;pn-prid=b".into(), ..for_an_hour() };
    assert_eq!(peer.register(&acme).await.status(), Some(555));
    let query = Register { uri_params: ";pn-provider".into(), ..for_an_hour() };
    assert_eq!(Peer::new(&mock).await.register(&query).await.all("Feature-Caps").count(), 3);
}

#[tokio::test]
async fn opensips_omits_the_star_and_keeps_the_old_contact_when_the_token_rotates() {
    let mock = open_mock("opensips").await;
    let mut peer = Peer::new(&mock).await;
    let ok = peer.register(&Register { uri_params: FCM.into(), ..for_an_hour() }).await;
    assert!(ok.header("Feature-Caps").expect("confirmed").starts_with("+sip.pns=\"fcm\";+sip.pnsreg=\"130\""));
    let rotated = Register { uri_params: FCM.replace("abc", "xyz"), ..for_an_hour() };
    assert_eq!(peer.register(&rotated).await.list("Contact").len(), 2);
    let webpush = Register { uri_params: ";pn-provider=webpush;pn-prid=x".into(), ..for_an_hour() };
    assert_eq!(peer.register(&webpush).await.status(), Some(555));
}

#[tokio::test]
async fn kamailio_and_flexisip_bind_without_confirming_push() {
    for profile in ["kamailio", "flexisip"] {
        let mock = open_mock(profile).await;
        let ok = Peer::new(&mock).await.register(&Register { uri_params: FCM.into(), ..for_an_hour() }).await;
        assert_eq!((ok.status(), ok.header("Feature-Caps")), (Some(200), None));
        assert!(mock.bindings("alice").await[0].push.is_some());
    }
}

#[tokio::test]
async fn x_mpush_outlives_an_unregister_and_ends_with_null() {
    let mock = open_mock("xmpush").await;
    let mut peer = Peer::new(&mock).await;
    let tagged = Register { headers: "X-MPUSH: s:i:com.app:AB:CD\r\n".into(), ..for_an_hour() };
    let ok = peer.register(&tagged).await;
    assert_eq!(ok.header("Feature-Caps"), None);
    peer.register(&Register { expires: 0, ..tagged.clone() }).await;
    let kept = mock.bindings("alice").await;
    assert!(!kept[0].registered);
    assert_eq!(kept[0].push.as_ref().map(|p| (p.token.as_str(), p.environment)), Some(("AB:CD", Some('s'))));
    peer.register(&Register { expires: 0, headers: "X-MPUSH: null\r\n".into(), ..Register::default() }).await;
    assert_eq!(mock.bindings("alice").await, []);
    assert_eq!(mock.send_push("alice", PushKind::Custom, "x", None).await, 0);
}

#[tokio::test]
async fn mizutech_takes_both_dialects_and_unbinds_on_a_null_prid() {
    let mock = open_mock("mizutech").await;
    let mut peer = Peer::new(&mock).await;
    let tags = Register { uri_params: FCM.into(), headers: "X-MPUSH: a:project:abc:def\r\n".into(), ..for_an_hour() };
    peer.register(&tags).await;
    assert_eq!(mock.bindings("alice").await[0].push.as_ref().map(|p| p.dialect.as_str()), Some("mpush"));
    peer.register(&Register { uri_params: ";pn-provider=fcm;pn-prid=null".into(), ..for_an_hour() }).await;
    let left = mock.bindings("alice").await;
    assert!(left.len() == 1 && left[0].registered && left[0].push.is_none());
}

#[tokio::test]
async fn x_piid_registers_upstream_and_a_wrong_one_costs_the_push_binding() {
    let mock = open_mock("xmpush").await;
    let mut peer = Peer::new(&mock).await;
    let with = |password: &str| {
        let piid = md5_hex(&format!("alice:asterisk:{password}"));
        Register { headers: format!("X-MPUSH: a:p:t\r\nX-PIID: {piid}\r\n"), ..for_an_hour() }
    };
    peer.register(&with("secret")).await;
    let done = async || mock.upstream("alice").await.is_some_and(|u| u.status == Some(200));
    assert!(mock.wait_until(done, LIMIT).await, "registered upstream");
    let upper = mock.upper().expect("an upper server");
    assert_eq!(upper.bindings("alice").await.len(), 1);
    assert_eq!(upper.violations(), []);
    peer.register(&with("wrong")).await;
    let refused = async || mock.upstream("alice").await.is_some_and(|u| u.status == Some(401));
    assert!(mock.wait_until(refused, LIMIT).await, "refused upstream");
    assert!(mock.bindings("alice").await[0].push.is_none());
}

#[tokio::test]
async fn portsip_binds_by_x_push() {
    let mock = open_mock("portsip").await;
    let line = "X-Push: device-os=ios;device-uid=T;allow-call-push=true;allow-message-push=false;app-id=a\r\n";
    Peer::new(&mock).await.register(&Register { headers: line.into(), ..for_an_hour() }).await;
    let push = mock.bindings("alice").await[0].push.clone().expect("a push binding");
    assert!(push.calls && !push.chats && push.token == "T");
}

#[tokio::test]
async fn a_dead_token_loses_its_binding_at_the_first_push() {
    let mock = open_mock("xmpush").await;
    let mut peer = Peer::new(&mock).await;
    peer.register(&Register { headers: "X-MPUSH: a:p:dead\r\n".into(), ..for_an_hour() }).await;
    mock.set_delivery("dead", Delivery::Unregistered);
    assert_eq!(mock.send_push("alice", PushKind::Custom, "x", None).await, 0);
    assert!(mock.bindings("alice").await[0].push.is_none());
    assert!(mock.push_service().history()[0].unregistered);
}

#[tokio::test]
async fn an_auth_uri_is_sent_and_then_required() {
    let mock = mock("xmpush").await;
    mock.change_profile(None, |p| p.auth_uri = Some("sip:upper.example".into())).await;
    let mut peer = Peer::new(&mock).await;
    let challenge = peer.register(&for_an_hour()).await;
    assert_eq!(challenge.header("X-Sy.AuthURI"), Some("sip:upper.example"));
    let value = challenge.header("WWW-Authenticate").expect("a challenge").to_owned();
    let ignored = peer.register(&Register { authorization: peer.answer(&value, "secret", 1), ..for_an_hour() }).await;
    assert_eq!((ignored.status(), mock.violations()[0].kind), (Some(401), "digest-uri"));
}
