//! `sipwake demo`: the whole life of a push binding, on real sockets, against the mock gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use mock_gateway::{CallOptions, CallState, Config, Direction, MockGateway, Profile, PushStream};
use serde_json::json;
use sipwake::core::payload::{ActionKind, Duty, Ignored};
use sipwake::core::trace::redacted;
use sipwake::{
    AccountConfig, AccountKey, Answer, CallChange, Channel, Client, Ended, Event, Events, FileStore, HangUp, Hints,
    Provider, PushAction, PushConfig, Registered, Standing, Transport,
};

use crate::capture::{self, Packet};
use crate::ladder::{self, Rung, Step};

const USER: &str = "alice";
const PASSWORD: &str = "wonderland";
const FIRST_TOKEN: &str = "c-10-ap_Kt0:APA91bFirstTokenOfThisPhone0001";
const SECOND_TOKEN: &str = "c-10-ap_Kt0:APA91bSecondTokenOfThisPhone02";
/// The answer of an app's media engine to Bob's offer.
const DESCRIPTION: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 0\r\n";
/// The longest time for any single step.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// The kind of server that the mock plays
    #[arg(long, default_value = "mizutech", value_parser = Profile::NAMES)]
    profile: String,
    /// The transport
    #[arg(long, value_enum, default_value = "udp")]
    transport: TransportName,
    /// Let the server seal its pushes for this phone, so that nobody on the path can read them
    #[arg(long)]
    sealed: bool,
    /// Print one JSON object per step
    #[arg(long)]
    json: bool,
    /// Write every message into a capture file for Wireshark (pcapng), without its secrets
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Draw the ladder into this SVG file as well
    #[arg(long, visible_alias = "ladder", value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransportName {
    Udp,
    Tcp,
}

pub(crate) async fn run(options: Options) -> Result<(), String> {
    let profile = Profile::named(&options.profile).ok_or("unknown profile")?;
    if profile.name == "none" {
        return Err("a server without push cannot wake a phone; choose another --profile".into());
    }
    let config = Config::new(profile).user(USER, PASSWORD);
    let gateway = MockGateway::start(config).await.map_err(|error| format!("the mock gateway: {error}"))?;
    let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let mut story = Story {
        pushes: gateway.pushes(None),
        gateway,
        transport: if options.transport == TransportName::Tcp { Transport::Tcp } else { Transport::Udp },
        profile: options.profile.clone(),
        sealed: options.sealed,
        json: options.json,
        shown: 0,
        steps: Vec::new(),
        begun: Instant::now(),
    };
    story.tell(folder.path()).await?;
    let violations = story.gateway.violations();
    if let Some(violation) = violations.first() {
        return Err(format!("the gateway saw a protocol violation: {} ({})", violation.kind, violation.detail));
    }
    if !story.json {
        println!("\nall steps passed, in {} ms", story.begun.elapsed().as_millis());
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, ladder::svg(&story.steps)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if let Some(file) = &options.pcap {
        capture::write(file, &story.packets())?;
    }
    story.gateway.shutdown().await;
    Ok(())
}

struct Story {
    gateway: MockGateway,
    pushes: PushStream,
    transport: Transport,
    profile: String,
    sealed: bool,
    json: bool,
    /// The last message of the ladder that was printed.
    shown: u64,
    steps: Vec<Step>,
    begun: Instant,
}

/// One run of the app, from its start until the system kills it.
struct App {
    client: Client,
    events: Events,
    account: AccountKey,
}

impl Story {
    async fn tell(&mut self, folder: &Path) -> Result<(), String> {
        let mut app = self.start_app(folder).await?;
        app.client.set_token(&app.account, FIRST_TOKEN).await.map_err(text)?;
        let registered = app.register().await?;
        let verdict = &registered.verdict;
        self.expect(verdict.standing != Standing::Refused, "the server refused push")?;
        self.done(&format!(
            "the app registers with a token for {} s; push is {:?}",
            registered.expires.as_secs(),
            verdict.standing
        ))?;

        if self.sealed {
            let key = app.client.push_key().map_err(text)?;
            self.gateway.seal_for(USER, &key.p256dh, &key.auth).await?;
            self.done("the app gives the server the phone's push key; from now on the server seals every push")?;
        }
        drop(app);
        self.gateway.sleep(USER, true).await;
        self.done("the system kills the app; its flow is closed, and its binding stays")?;

        let call = self.gateway.place_call(USER, CallOptions::default()).await;
        let push = self.pushes.next_within(PATIENCE).await.ok_or("no push came")?;
        let mut app = self.start_app(folder).await?;
        let action = app.take_push(&push.payload);
        // RFC 8599 gives a push no content. The push of such a server says only that something waits.
        let bare = action.kind == ActionKind::RefreshBinding;
        self.expect(bare || action.is_call(), "the push was not read as a call")?;
        self.expect(bare || action.duty == Duty::StartForegroundService, "the push's duty is wrong")?;
        let who = action.caller_label().unwrap_or("the push does not name the caller");
        self.done(&format!("Bob calls; a push wakes the app ({who})"))?;

        let before = self.last_message();
        let asked = Instant::now();
        app.registered().await?;
        let took = asked.elapsed();
        let registers = self.count_since(before, "REGISTER");
        self.expect(registers == 1, &format!("{registers} REGISTERs after one push"))?;
        let ringing =
            app.call(|change| matches!(change, CallChange::Ringing { announced, .. } if *announced != bare)).await?;
        self.expect(bare || ringing == action.uuid, "the push and its INVITE are not one call")?;
        self.done(&format!(
            "the app registers in one round trip ({:.1} ms) with its stored nonce; the INVITE comes, it rings",
            took.as_secs_f64() * 1000.0
        ))?;

        call.wait(|state| state == CallState::Ringing, PATIENCE).await.ok_or("the caller got no 180 Ringing")?;
        call.cancel().await;
        let ended = app.call(|change| matches!(change, CallChange::Ended(Ended::Cancelled))).await?;
        self.expect(ended == ringing, "another call ended")?;
        let report = call.wait_end(PATIENCE).await.ok_or("the call never ended")?;
        self.expect(report.state == CallState::Cancelled, "the caller does not know that the call is over")?;
        let late = app.take_push(&push.payload);
        self.expect(late.duty == Duty::Nothing, "a late push for the cancelled call would ring again")?;
        self.done("Bob hangs up; the ringing stops, and the same push makes no sound when it comes again")?;

        let call = self.gateway.place_call(USER, CallOptions::default()).await;
        let ringing = app.call(|change| matches!(change, CallChange::Ringing { .. })).await?;
        let tapped = Instant::now();
        app.client.accept(ringing, Answer::sdp(DESCRIPTION)).await.map_err(text)?;
        let took = tapped.elapsed();
        app.call(|change| matches!(change, CallChange::Connected { .. })).await?;
        let report =
            call.wait(|state| state == CallState::Answered, PATIENCE).await.ok_or("the call was not answered")?;
        self.expect(report.answer.as_deref() == Some(DESCRIPTION), "the caller got another SDP answer")?;
        app.client.hang_up(ringing, HangUp::Normal).await.map_err(text)?;
        app.call(|change| matches!(change, CallChange::Ended(Ended::HungUp))).await?;
        let report = call.wait_end(PATIENCE).await.ok_or("the call never ended")?;
        self.expect(report.state == CallState::HungUpByCallee, "the caller does not know that the call is over")?;
        self.done(&format!(
            "Bob calls again; the user answers ({:.1} ms), they talk, and the user hangs up",
            took.as_secs_f64() * 1000.0
        ))?;

        app.client.set_token(&app.account, SECOND_TOKEN).await.map_err(text)?;
        let told = |event: &Event| matches!(event, Event::Registered { registered, .. } if registered.token.as_ref().is_some_and(|token| token.call() == Some(SECOND_TOKEN)));
        app.wait(told).await?;
        let rotated = async || self.tokens().await == [SECOND_TOKEN];
        let rotated = self.gateway.wait_until(rotated, PATIENCE).await;
        self.expect(rotated, &format!("the server must know only the new token, but knows {:?}", self.tokens().await))?;
        self.done("the push provider gives a new token; the server replaces the old one")?;

        app.client.log_out(&app.account).await.map_err(text)?;
        app.wait(|event| matches!(event, Event::LoggedOut { .. })).await?;
        let left = self.gateway.bindings(USER).await;
        self.expect(left.is_empty(), &format!("the server still knows {} bindings", left.len()))?;
        let late = app.take_push(&push.payload);
        self.expect(late.duty == Duty::Nothing, "a late push would ring after the log-out")?;
        let silent = ActionKind::Ignore { reason: Ignored::LoggedOut };
        self.expect(late.kind == silent, "a late push was not ignored because of the log-out")?;
        if self.sealed {
            self.eavesdrop()?;
        }
        self.done("the user logs out; the server removes the binding, and a late push makes no sound")
    }

    /// Acts as the carrier of the pushes, and looks for a name, a number or a text in them.
    fn eavesdrop(&self) -> Result<(), String> {
        let pushes = self.gateway.push_service().history();
        for push in &pushes {
            // The sealed part is random letters, so it could match by chance.
            let mut seen = push.payload.clone();
            let sealed = seen.as_object_mut().and_then(|fields| fields.remove("sealed"));
            self.expect(sealed.is_some(), &format!("a push is not sealed: {seen}"))?;
            let seen = seen.to_string();
            for secret in ["Bob", "bob", USER, "mock.example", &push.call_id] {
                let found = !secret.is_empty() && seen.contains(secret);
                self.expect(!found, &format!("the push service can read {secret:?} in {seen}"))?;
            }
        }
        self.expect(!pushes.is_empty(), "no push went through the push service")
    }

    async fn start_app(&self, folder: &Path) -> Result<App, String> {
        let store = FileStore::open(folder).map_err(text)?;
        let (client, events) = Client::start(Arc::new(store));
        let mut account = AccountConfig::new(format!("sip:{USER}@mock.example"), PASSWORD);
        account.gateways = vec![self.gateway.addr().to_string()];
        account.transport = Some(self.transport);
        account.user_agent = Some(concat!("sipwake-demo/", env!("CARGO_PKG_VERSION")).to_owned());
        let mut push = PushConfig::new(Provider::Fcm, "com.example.app");
        if self.profile == "portsip" {
            push.dialects = sipwake::Dialects::Only(vec![sipwake::Dialect::PortSip(sipwake::PortSipHeader::XPush)]);
        }
        let account = client.add_account(account, Some(push)).await.map_err(text)?;
        Ok(App { client, events, account })
    }

    async fn tokens(&self) -> Vec<String> {
        let bindings = self.gateway.bindings(USER).await;
        bindings.into_iter().filter_map(|binding| binding.push).map(|target| target.token).collect()
    }

    fn last_message(&self) -> u64 {
        self.gateway.messages().all().last().map_or(0, |entry| entry.seq)
    }

    fn count_since(&self, seq: u64, method: &str) -> usize {
        let after = self.gateway.messages().after(seq);
        after.iter().filter(|entry| entry.direction == Direction::Received && entry.is_request(method)).count()
    }

    fn expect(&self, held: bool, otherwise: &str) -> Result<(), String> {
        if held { Ok(()) } else { Err(format!("step {}: {otherwise}", self.steps.len() + 1)) }
    }

    /// Returns all messages, for a capture file.
    fn packets(&self) -> Vec<Packet> {
        let begun = sipwake::now().wall.saturating_sub(self.begun.elapsed());
        let entries = self.gateway.messages().after(0);
        let packet = |entry: &mock_gateway::Entry| {
            let (sent, text) = (entry.direction == Direction::Received, redacted(entry.text.as_bytes()));
            Packet { at: begun + entry.at, sent, flow: 0, text }
        };
        entries.iter().map(packet).collect()
    }

    /// Prints a step with its messages.
    fn done(&mut self, what: &str) -> Result<(), String> {
        let entries = self.gateway.messages().after(self.shown);
        self.shown = entries.last().map_or(self.shown, |entry| entry.seq);
        let step = Step { what: what.to_owned(), rungs: entries.iter().map(Rung::of).collect() };
        let number = self.steps.len() + 1;
        if self.json {
            println!("{}", json!({"step": number, "what": what, "messages": step.rungs.len()}));
        } else {
            println!("\n{number}. {what}");
            step.rungs.iter().for_each(|rung| println!("{rung}"));
        }
        self.steps.push(step);
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl App {
    fn take_push(&self, payload: &serde_json::Value) -> PushAction {
        let mut hints = Hints::at(sipwake::now());
        hints.delivered_priority = Some(sipwake::core::payload::Priority::High);
        self.client.push(payload.to_string().as_str(), Channel::FcmAndroid, &hints)
    }

    async fn register(&mut self) -> Result<Registered, String> {
        self.client.register(&self.account).await.map_err(text)?;
        self.registered().await
    }

    async fn registered(&mut self) -> Result<Registered, String> {
        match self.wait(|event| matches!(event, Event::Registered { .. } | Event::RegistrationFailed { .. })).await? {
            Event::Registered { registered, .. } => Ok(registered),
            Event::RegistrationFailed { failure, .. } => Err(failure.to_string()),
            _ => Err("the registration has no result".into()),
        }
    }

    async fn call(&mut self, wanted: impl Fn(&CallChange) -> bool) -> Result<sipwake::Uuid, String> {
        match self.wait(|event| matches!(event, Event::Call(call) if wanted(&call.change))).await? {
            Event::Call(call) => Ok(call.uuid),
            _ => Err("no call".into()),
        }
    }

    async fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Event, String> {
        let next = async {
            while let Some(event) = self.events.next().await {
                if wanted(&event) {
                    return Ok(event);
                }
            }
            Err("the client was shut down".to_owned())
        };
        tokio::time::timeout(PATIENCE, next).await.map_err(|_| "timeout: the expected event did not come".to_owned())?
    }
}
