//! The responses of registrars.

use std::time::Duration;

use integration::{App, PASSWORD, Stage, TOKEN, USER, over_udp_and_tcp};
use mock_gateway::{Algorithm, Challenges, Offer, Scripted, UserConfig};
use sipwake::core::push::Reason;
use sipwake::{Failure, Standing, Transport};

over_udp_and_tcp!(
    after_a_423_the_longer_interval_is_used_and_remembered,
    a_refused_push_provider_still_leaves_the_user_registered,
    a_server_with_an_error_is_tried_again_when_it_says,
    a_redirect_is_followed,
    every_kind_of_challenge_is_answered,
    a_nonce_from_the_server_is_used_next,
    a_nonce_that_is_valid_once_leads_to_one_challenge_each_time,
    a_stale_nonce_gets_one_new_answer_even_if_the_server_does_not_say_stale,
    a_wrong_password_is_tried_at_most_twice,
    a_refused_account_sends_nothing_until_the_app_asks,
    the_digest_uri_is_the_one_that_the_server_names,
);

fn reply(status: u16, headers: &[(&str, &str)]) -> Scripted {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Scripted { status, headers, after_auth: true }
}

async fn after_a_423_the_longer_interval_is_used_and_remembered(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage
        .gateway
        .change_profile(None, |profile| {
            profile.min_expires = 900;
            profile.max_expires = 7200;
        })
        .await;
    let mut account = stage.account();
    account.expires = 60;
    let mut app = integration::App::start(stage.store(), account, Some(stage.push())).await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let registered = app.register().await;
    assert_eq!(registered.expires, Duration::from_secs(900));
    let mark = stage.mark();
    app.register().await;
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 1, "the minimum is remembered");
}

async fn a_refused_push_provider_still_leaves_the_user_registered(transport: Transport) {
    let stage = Stage::new("rfc8599", transport).await;
    stage.gateway.change_profile(None, |profile| profile.providers = vec!["apns".into()]).await;
    let mut push = stage.push();
    push.dialects = sipwake::Dialects::Only(vec![sipwake::Dialect::Rfc8599]);
    let mut app = integration::App::start(stage.store(), stage.account(), Some(push)).await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let registered = app.register().await;
    assert_eq!(registered.verdict.standing, Standing::Refused);
    assert!(!registered.verdict.advice.is_empty());
    let bindings = stage.bindings().await;
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0].push, None);
}

async fn a_server_with_an_error_is_tried_again_when_it_says(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.script(USER, vec![reply(503, &[("Retry-After", "1")])]).await;
    let mut app = stage.app().await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let (failure, retry_in) = app.fail_to_register().await;
    assert!(matches!(failure, Failure::Answered { code: 503, .. }), "{failure:?}");
    assert_eq!(retry_in, Some(Duration::from_secs(1)));
    app.registered().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_redirect_is_followed(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let other = Stage::new("mizutech", transport).await;
    let to = format!("<sip:{};transport={}>", other.gateway.addr(), transport.param());
    stage.gateway.script(USER, vec![reply(302, &[("Contact", &to)])]).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    other.wait_for_tokens(&[TOKEN]).await;
    assert_eq!(stage.bindings().await, []);
    app.log_out().await;
}

async fn every_kind_of_challenge_is_answered(transport: Transport) {
    let mut kinds: Vec<(&str, Challenges)> = Vec::new();
    for algorithm in [Algorithm::Md5, Algorithm::Md5Sess, Algorithm::Sha256, Algorithm::Sha512_256] {
        for qop in [None, Some("auth"), Some("auth-int"), Some("auth,auth-int"), Some("auth-int,auth")] {
            // Without qop there is no cnonce, which MD5-sess needs (RFC 7616 section 3.4.2).
            if algorithm == Algorithm::Md5Sess && qop.is_none() {
                continue;
            }
            let offer = Offer { qop: qop.map(str::to_owned), ..Offer::new(algorithm) };
            kinds.push(("one", Challenges::one(offer)));
        }
    }
    kinds.push(("407", Challenges { status: 407, ..Challenges::one(Offer::new(Algorithm::Sha256)) }));
    let opaque = Some("a \"quoted\" one".to_owned());
    kinds.push(("opaque", Challenges { opaque, ..Challenges::one(Offer::new(Algorithm::Md5)) }));
    let nameless = Offer { names_algorithm: false, ..Offer::new(Algorithm::Md5) };
    kinds.push(("nameless", Challenges::one(nameless)));
    let several = [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5].map(Offer::new).to_vec();
    kinds.push(("several", Challenges { offers: several, ..Challenges::one(Offer::new(Algorithm::Md5)) }));
    kinds.push(("open", Challenges::none()));

    for (name, challenges) in kinds {
        let stage = Stage::new("mizutech", transport).await;
        stage.gateway.set_challenges(None, challenges.clone()).await;
        let (mut app, _) = stage.registered_app(TOKEN).await;
        let mark = stage.mark();
        app.register().await;
        let again = stage.requests_since(mark, "REGISTER").len();
        assert_eq!(again, 1, "{name} {challenges:?}: a live nonce needs one round trip");
    }
}

async fn a_nonce_from_the_server_is_used_next(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let offer = Challenges::one(Offer::new(Algorithm::Sha256));
    stage.gateway.set_challenges(None, Challenges { nextnonce: true, nonce_uses: Some(1), ..offer }).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    for _ in 0..3 {
        let mark = stage.mark();
        app.register().await;
        assert_eq!(stage.requests_since(mark, "REGISTER").len(), 1);
    }
}

async fn a_nonce_that_is_valid_once_leads_to_one_challenge_each_time(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let offer = Challenges::one(Offer::new(Algorithm::Md5));
    stage.gateway.set_challenges(None, Challenges { nonce_uses: Some(1), ..offer }).await;
    let (mut app, _) = stage.registered_app(TOKEN).await;
    for _ in 0..3 {
        let mark = stage.mark();
        app.register().await;
        assert!(stage.requests_since(mark, "REGISTER").len() <= 2, "{}", stage.ladder());
    }
}

async fn a_stale_nonce_gets_one_new_answer_even_if_the_server_does_not_say_stale(transport: Transport) {
    for stale_flag in [true, false] {
        let stage = Stage::new("mizutech", transport).await;
        let offer = Challenges::one(Offer::new(Algorithm::Md5));
        stage.gateway.set_challenges(None, Challenges { stale_flag, ..offer }).await;
        let (mut app, _) = stage.registered_app(TOKEN).await;
        stage.gateway.forget_nonces().await;
        let mark = stage.mark();
        app.register().await;
        assert_eq!(stage.requests_since(mark, "REGISTER").len(), 2, "{}", stage.ladder());
        stage.wait_for_tokens(&[TOKEN]).await;
    }
}

async fn a_wrong_password_is_tried_at_most_twice(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    let mut account = stage.account();
    account.credentials = sipwake::Credentials::Password(sipwake::Secret::new("not it"));
    let mut app = integration::App::start(stage.store(), account, Some(stage.push())).await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    let (failure, retry_in) = app.fail_to_register().await;
    assert_eq!((failure, retry_in), (Failure::WrongCredentials, None));
    let tried = stage.requests_since(0, "REGISTER").len();
    assert!(tried <= 3, "{tried} REGISTERs");
    // Pushes do not start it again: a locked account would be worse than a missed call.
    for _ in 0..5 {
        app.push(&serde_json::json!({"ntype": "0", "nfrom": "123"}));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.requests_since(0, "REGISTER").len(), tried);

    stage.gateway.set_user(UserConfig::new(USER, PASSWORD)).await;
    app.client.add_account(stage.account(), Some(stage.push())).await.expect("the right password");
    app.register().await;
    stage.wait_for_tokens(&[TOKEN]).await;
}

async fn a_refused_account_sends_nothing_until_the_app_asks(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.script(USER, vec![reply(403, &[])]).await;
    let mut app = stage.app().await;
    let (failure, retry_in) = app.fail_to_register().await;
    assert!(matches!(failure, Failure::Refused { code: 403, .. }), "{failure:?}");
    assert_eq!(retry_in, None);
    app.register().await;
}

async fn the_digest_uri_is_the_one_that_the_server_names(transport: Transport) {
    let stage = Stage::new("mizutech", transport).await;
    stage.gateway.change_profile(None, |profile| profile.auth_uri = Some("sip:upper.example".into())).await;
    let mut account = stage.account();
    // A server may name itself or its upper server from the settings, and no other host.
    account.upper.server = Some("upper.example".into());
    let mut app = App::start(stage.store(), account, Some(stage.push())).await;
    app.client.set_token(&app.account, TOKEN).await.expect("a good token");
    app.register().await;
    let mark = stage.mark();
    app.register().await;
    assert_eq!(stage.requests_since(mark, "REGISTER").len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_about_push_leaves_it_unconfirmed_with_a_reason() {
    let stage = Stage::new("kamailio", Transport::Udp).await;
    let (_, registered) = stage.registered_app(TOKEN).await;
    assert_eq!(registered.verdict.standing, Standing::Unconfirmed);
    assert_eq!(registered.verdict.reason, Reason::NoFeatureCaps);
    assert!(!registered.verdict.advice.is_empty());
}
