//! Registers, sleeps, is woken by a push and takes the call: `cargo run --example register_and_be_woken`.
//!
//! The mock gateway replaces the SIP server and FCM; an app uses its own.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mock_gateway::{CallOptions, CallState, Config, MockGateway, Profile, PushWhen};
use sipwake::{
    AccountConfig, Answer, CallChange, Channel, Client, Duty, Event, FileStore, HangUp, Hints, Priority, Provider,
    PushConfig,
};

const SDP: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let profile = Profile::named("mizutech").ok_or("no such profile")?;
    let server = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await?;
    let folder = tempfile::tempdir()?;

    // One client for the whole process, and its accounts before the first push.
    let (client, mut events) = Client::start(Arc::new(FileStore::open(folder.path())?));
    let mut config = AccountConfig::new("sip:alice@mock.example", "wonderland");
    config.gateways = vec![server.addr().to_string()]; // without it, the server is looked up by the domain
    let account = client.add_account(config, Some(PushConfig::new(Provider::Fcm, "my-project"))).await?;
    client.set_token(&account, "c-10:APA91bExample").await?; // whenever the provider gives one
    client.register(&account).await?; // at every start of the app

    loop {
        match events.next().await.ok_or("the client has ended")? {
            Event::Registered { registered, .. } => {
                println!("registered; push: {}", registered.verdict.text());
                break;
            }
            Event::RegistrationFailed { failure, .. } => return Err(failure.into()),
            _ => {}
        }
    }

    // The phone sleeps, and somebody calls.
    server.sleep("alice", true).await;
    let mut pushes = server.pushes(None);
    let call = server.place_call("alice", CallOptions { push: PushWhen::Asleep, ..CallOptions::default() }).await;
    let push = pushes.next().await.payload.to_string();

    // An app does this where the push arrives: at once, without waiting for the network.
    let high = Some(Priority::High); // RemoteMessage.getPriority() and getOriginalPriority()
    let hints = Hints { delivered_priority: high, original_priority: high, ..Hints::at(sipwake::now()) };
    let action = client.push(push.as_bytes(), Channel::FcmAndroid, &hints);
    match action.duty {
        Duty::StartForegroundService => println!("start a foreground service: {:?} calls", action.caller),
        other => println!("tell the system: {other:?}"),
    }
    client.answer(action.uuid).await?; // the user's tap; the INVITE may still be on its way

    while let Some(event) = events.next().await {
        let Event::Call(event) = event else { continue };
        match event.change {
            // The media engine answers the caller's offer.
            CallChange::AnswerWanted { .. } => client.accept(event.uuid, Answer::sdp(SDP)).await?,
            CallChange::Connected { .. } => client.hang_up(event.uuid, HangUp::Normal).await?,
            CallChange::Ended(how) => {
                println!("the call has ended: {how:?}");
                break;
            }
            _ => {}
        }
    }
    let report = call.wait_end(Duration::from_secs(60)).await.ok_or("the caller never saw the end")?;
    if report.state != CallState::HungUpByCallee {
        return Err(format!("the caller saw {:?}", report.state).into());
    }

    client.log_out(&account).await?; // stored when this returns, and repeated until it is delivered
    client.shutdown().await;
    Ok(())
}
