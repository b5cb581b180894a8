//! A phone with a fast life: step after step. After each one the test checks what the app and the server know.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use sipwake::core::payload::{ActionKind, Duty, Ignored, Priority};
use sipwake::{
    AccountConfig, AccountKey, Answer, CallChange, CallPolicy, Channel, Client, Decline, Ended, Event, Events, HangUp,
    Hints, MemoryStore, Options, Provider, PushAction, PushConfig, Resolver, StateStore, Transport, Trust, Uuid,
};
use tokio::time::{Instant, sleep, timeout};

use crate::control::Control;
use crate::server::Site;

pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "wonderland-7-Qx";
const SDP: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
/// How long each step may take on a busy machine. A request over UDP may be lost while the server restarts.
const PATIENCE: Duration = Duration::from_secs(120);
/// After how long a call without an INVITE is missed: less than 40 seconds, so that some are missed.
const WINDOW: Duration = Duration::from_secs(10);
/// The number of announced calls without an INVITE at one time. With the core's 128, no other call would be reported.
const UNFOLLOWED: usize = 40;
/// How long to wait for an announced call's INVITE before the app registers again.
const NUDGE: Duration = Duration::from_millis(500);
/// The lifetime of a binding in seconds: the shortest that the client accepts. It is refreshed after six of them.
const EXPIRES: u32 = 10;
/// After this many steps the phone waits for the refresh. If chance decided that, those six seconds would take most of the
/// time.
const REFRESH: u32 = 1500;
/// The number of steps for which an ended call is certainly remembered, as one of 128: a step ends at most two calls, and up
/// to forty can be missed in a row.
const REMEMBERED: u32 = 40;
/// After this many steps the server's record is checked and cleared.
const RECORD: u32 = 50;

/// Each kind of step, and how often it comes among the others.
const STEPS: [(&str, u32); 19] = [
    ("registrations", 6),
    ("tokens", 6),
    ("network changes", 4),
    ("calls by INVITE alone", 6),
    ("calls by push and INVITE", 10),
    ("calls answered before their INVITE", 4),
    ("calls cancelled by push", 4),
    ("calls across a broken connection", 2),
    ("chats", 6),
    ("pushes of a chat", 4),
    ("pushes to refresh", 3),
    ("forged pushes", 6),
    ("pushes from the past", 6),
    ("pushes without content", 4),
    ("server restarts", 2),
    ("connections broken", 4),
    ("slow reads", 3),
    ("log-outs and log-ins", 2),
    ("restarts of the app", 2),
];

/// How many lines of the server's ladder the report of a failure has.
const LADDER: usize = 200;
const REFRESHES: &str = "refreshes";

/// Resolves every name to this machine.
struct Here;

impl Resolver for Here {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }
}

pub(crate) struct Phone {
    site: Site,
    chance: ChaCha8Rng,
    store: Arc<dyn StateStore>,
    control: Control,
    pushes: Control,
    client: Client,
    events: Events,
    /// Read only now and then.
    slow: Events,
    account: AccountKey,
    token: String,
    /// The payload of the last call that a push announced, and its step.
    past: Option<(Value, u32)>,
    /// Announced calls that have no INVITE.
    unfollowed: VecDeque<Uuid>,
    steps: u32,
}

type Step = Result<(), String>;

impl Phone {
    pub(crate) async fn start(site: Site, seed: u64) -> Result<Self, String> {
        let mut control = Control::connect(site.control).await?;
        let flags = json!({"max_expires": EXPIRES, "min_expires": 1});
        control.ask(json!({"op": "change_profile", "flags": flags})).await?;
        let pushes = Control::pushes(site.control).await?;
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
        let (client, events, account) = launch(&site, &store).await?;
        let mut phone = Self {
            chance: ChaCha8Rng::seed_from_u64(seed),
            slow: client.events(),
            site,
            store,
            control,
            pushes,
            client,
            events,
            account,
            token: String::new(),
            past: None,
            unfollowed: VecDeque::new(),
            steps: 0,
        };
        phone.log_in().await?;
        Ok(phone)
    }

    /// Logs out, ends, and checks the server's record for the last time.
    pub(crate) async fn end(mut self) -> Step {
        self.log_out().await?;
        self.look_at_the_record().await?;
        self.client.shutdown().await;
        Ok(())
    }

    /// Takes a random step. Returns which one.
    pub(crate) async fn step(&mut self) -> (&'static str, Step) {
        let mut drawn = self.chance.next_u32() % STEPS.iter().map(|(_, weight)| weight).sum::<u32>();
        let mut what = STEPS[0].0;
        self.steps += 1;
        if self.steps.is_multiple_of(REFRESH) {
            return (REFRESHES, self.take(REFRESHES).await);
        }
        for (name, weight) in STEPS {
            if drawn < weight {
                what = name;
                break;
            }
            drawn -= weight;
        }
        (what, self.take(what).await)
    }

    async fn take(&mut self, what: &str) -> Step {
        if self.steps.is_multiple_of(RECORD) {
            self.look_at_the_record().await?;
        }
        self.catch_up().await?;
        match what {
            "registrations" => self.register().await,
            REFRESHES => {
                let refreshed = |event: &Event| matches!(event, Event::Registered { .. }).then_some(());
                self.wait("a refresh", refreshed).await
            }
            "tokens" => self.new_token().await,
            "network changes" => {
                self.client.network_changed().await.map_err(text)?;
                self.register().await?;
                self.bound().await
            }
            "calls by INVITE alone" => {
                let call = self.place(json!({"push": "never"})).await?;
                let rings = |event: &Event| match event {
                    Event::Call(call) if matches!(call.change, CallChange::Ringing { .. }) => Some(call.uuid),
                    _ => None,
                };
                let uuid = self.wait("ringing", rings).await?;
                self.finish(uuid, call).await
            }
            "calls by push and INVITE" => {
                let (uuid, call) = self.woken().await?;
                self.finish(uuid, call).await
            }
            "calls answered before their INVITE" => {
                let (uuid, call, rings) = self.called().await?;
                if !rings {
                    self.client.answer(uuid).await.map_err(text)?;
                    let wanted = |change: &CallChange| matches!(change, CallChange::AnswerWanted { .. });
                    self.invited("the answer wanted", uuid, wanted).await?;
                }
                self.talk(uuid, call).await
            }
            "calls cancelled by push" => self.cancelled_by_push().await,
            "calls across a broken connection" => {
                let (uuid, _) = self.woken().await?;
                self.client.accept(uuid, Answer::sdp(SDP)).await.map_err(text)?;
                self.change("the ACK", uuid, |change| matches!(change, CallChange::Connected { .. })).await?;
                self.ask(json!({"op": "restart", "keep_bindings": true})).await?;
                // On a new connection the call is offered again to a server that forgot it, and that may end it first.
                sleep(Duration::from_millis(u64::from(self.chance.next_u32() % 10))).await;
                match self.client.hang_up(uuid, HangUp::Normal).await {
                    Ok(()) | Err(sipwake::Error::NoSuchCall) => {}
                    Err(error) => return Err(error.to_string()),
                }
                self.change("the end", uuid, |change| matches!(change, CallChange::Ended(_))).await?;
                self.register().await
            }
            "chats" => self.chat().await,
            "pushes of a chat" => {
                let payload =
                    json!({"ntype": "1", "nfrom": "bob", "nmsg": "hello", "ntouser": USER, "ncallid": self.name()});
                self.push(&payload);
                self.registered().await
            }
            "pushes to refresh" => {
                self.push(&json!({"ntype": "4", "ntouser": USER}));
                self.registered().await
            }
            "forged pushes" => self.forged().await,
            "pushes from the past" => self.late().await,
            "pushes without content" => {
                self.push(&json!({}));
                self.registered().await
            }
            "server restarts" => {
                let keep = self.coin();
                self.ask(json!({"op": "restart", "keep_bindings": keep})).await?;
                self.register().await?;
                self.bound().await
            }
            "connections broken" => {
                if self.coin() {
                    self.ask(json!({"op": "sleep", "user": USER, "close": true})).await?;
                } else {
                    let action = ["close", "reset"][usize::from(self.coin())];
                    let fault = json!({"action": action, "direction": "received", "method": "REGISTER"});
                    self.ask(json!({"op": "faults", "faults": [fault]})).await?;
                }
                self.register().await?;
                self.ask(json!({"op": "clear_faults"})).await?;
                self.bound().await
            }
            "slow reads" => {
                for _ in 0..3 {
                    let _ = timeout(Duration::ZERO, self.slow.next()).await;
                }
                Ok(())
            }
            "log-outs and log-ins" => {
                self.log_out().await?;
                self.log_in().await
            }
            _ => {
                self.client.shutdown().await;
                (self.client, self.events, self.account) = launch(&self.site, &self.store).await?;
                self.slow = self.client.events();
                // Which calls have ended is not stored.
                self.past = None;
                self.register().await?;
                self.bound().await
            }
        }
    }

    /// Hands over everything that came since the last step.
    async fn catch_up(&mut self) -> Step {
        while let Some(payload) = self.pushes.push(Duration::ZERO).await? {
            self.push(&payload);
        }
        while timeout(Duration::ZERO, self.events.next()).await.is_ok_and(|event| event.is_some()) {}
        Ok(())
    }

    async fn look_at_the_record(&mut self) -> Step {
        let answer = self.control.ask(json!({"op": "violations"})).await?;
        // A server that has just restarted does not know its earlier requests, and gets the responses to them. It may
        // also read the newer one of two flows first; then a message on the older one comes too late.
        let excused = ["stray-response", "cseq-not-growing"];
        let broken = |violation: &&Value| violation["kind"].as_str().is_none_or(|kind| !excused.contains(&kind));
        let violations: Vec<&Value> = answer["violations"].as_array().into_iter().flatten().filter(broken).collect();
        if !violations.is_empty() {
            return Err(format!("the server saw rules broken: {violations:?}; {}", self.situation().await));
        }
        self.ask(json!({"op": "clear_messages"})).await
    }

    async fn log_in(&mut self) -> Step {
        self.account = self.client.add_account(config(&self.site), Some(settings())).await.map_err(text)?;
        self.new_token().await
    }

    async fn log_out(&mut self) -> Step {
        self.client.log_out(&self.account).await.map_err(text)?;
        let late = self.push(&json!({"ntype": "0", "nfrom": "bob", "ncallid": "late", "ntouser": USER}));
        if late.kind != (ActionKind::Ignore { reason: Ignored::LoggedOut }) {
            return Err(format!("a push after the log-out is {:?}", late.kind));
        }
        self.wait("the log-out", |event| matches!(event, Event::LoggedOut { .. }).then_some(())).await?;
        let bindings = self.bindings().await?;
        if bindings.is_empty() { Ok(()) } else { Err(format!("bound after the log-out: {bindings:?}")) }
    }

    async fn new_token(&mut self) -> Step {
        self.token = format!("c-10-ap_Kt0:APA91b{:016x}", self.chance.next_u64());
        self.client.set_token(&self.account, &self.token).await.map_err(text)?;
        self.register().await?;
        self.bound().await
    }

    /// Registers, and tries again while an earlier break makes it fail.
    async fn register(&mut self) -> Step {
        let by = Instant::now() + PATIENCE;
        loop {
            self.client.register(&self.account).await.map_err(text)?;
            match self.registered().await {
                Err(reason) if Instant::now() >= by => return Err(reason),
                Err(_) => sleep(Duration::from_millis(5)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn registered(&mut self) -> Step {
        self.wait("a registration", |event| match event {
            Event::Registered { .. } => Some(Ok(())),
            Event::RegistrationFailed { failure, .. } => Some(Err(failure.to_string())),
            _ => None,
        })
        .await?
    }

    /// Waits until the server knows this phone exactly once, with its newest token.
    async fn bound(&mut self) -> Step {
        let by = Instant::now() + PATIENCE;
        loop {
            let bindings = self.bindings().await?;
            if let [binding] = bindings.as_slice()
                && binding["push"]["token"] == self.token.as_str()
            {
                return Ok(());
            }
            if Instant::now() >= by {
                return Err(format!("bound are {bindings:?} instead of {}", self.token));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the server knows and saw recently, for the report of a failure.
    async fn situation(&mut self) -> String {
        let bindings = self.bindings().await.unwrap_or_default();
        let answer = self.control.ask(json!({"op": "ladder"})).await.unwrap_or_default();
        let ladder: Vec<&str> = answer["ladder"].as_str().unwrap_or_default().lines().rev().take(LADDER).collect();
        let ladder: Vec<&str> = ladder.into_iter().rev().collect();
        format!("bound are {bindings:?}\n{}", ladder.join("\n"))
    }

    async fn bindings(&mut self) -> Result<Vec<Value>, String> {
        let answer = self.control.ask(json!({"op": "bindings", "user": USER})).await?;
        Ok(answer["bindings"].as_array().cloned().unwrap_or_default())
    }

    /// Places a call while the server takes the phone for asleep. Returns the call's UUID, the call, and whether it rings
    /// already: a REGISTER that was still under way wakes the phone, too.
    async fn called(&mut self) -> Result<(Uuid, Value, bool), String> {
        self.ask(json!({"op": "sleep", "user": USER})).await?;
        let call = self.place(json!({"push": "asleep"})).await?;
        let by = Instant::now() + PATIENCE;
        while Instant::now() < by {
            tokio::select! {
                payload = self.pushes.push(by - Instant::now()) => {
                    let Some(payload) = payload? else { break };
                    let action = self.push(&payload);
                    if action.identity.call_id.as_deref() != call["call_id"].as_str() {
                        continue;
                    }
                    if action.duty != Duty::StartForegroundService {
                        return Err(format!("the push of a call is {:?}", action.kind));
                    }
                    if self.coin() && self.push(&payload).uuid != action.uuid {
                        return Err("the same push is another call".into());
                    }
                    self.past = Some((payload, self.steps));
                    return Ok((action.uuid, call, false));
                }
                event = self.events.next() => match event {
                    Some(Event::Call(event)) if matches!(event.change, CallChange::Ringing { .. }) => {
                        return Ok((event.uuid, call, true));
                    }
                    Some(_) => {}
                    None => return Err("the client has ended".into()),
                },
            }
        }
        Err(format!("neither push nor INVITE came of {call}"))
    }

    /// As [`called`](Self::called), until it rings.
    async fn woken(&mut self) -> Result<(Uuid, Value), String> {
        let (uuid, call, rings) = self.called().await?;
        if !rings {
            self.invited("ringing", uuid, |change| matches!(change, CallChange::Ringing { .. })).await?;
        }
        Ok((uuid, call))
    }

    async fn place(&mut self, options: Value) -> Result<Value, String> {
        let mut request = json!({"op": "place_call", "user": USER, "call_id": self.name(), "from": self.caller()});
        for (name, value) in options.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        self.control.ask(request).await
    }

    /// Ends a ringing call in one of the possible ways, on both sides.
    async fn finish(&mut self, uuid: Uuid, call: Value) -> Step {
        match self.chance.next_u32() % 4 {
            0 => {
                self.ask(json!({"op": "cancel", "call": call["call"]})).await?;
                self.ended(uuid, Ended::Cancelled).await?;
            }
            1 => {
                self.client.decline(uuid, Decline::Busy).await.map_err(text)?;
                self.ended(uuid, Ended::Declined).await?;
            }
            2 => {
                self.ask(json!({"op": "answered_elsewhere", "call": call["call"]})).await?;
                self.ended(uuid, Ended::AnsweredElsewhere).await?;
            }
            _ => return self.talk(uuid, call).await,
        }
        self.over(&call).await
    }

    /// Accepts a call, talks, and lets one side hang up.
    async fn talk(&mut self, uuid: Uuid, call: Value) -> Step {
        self.client.accept(uuid, Answer::sdp(SDP)).await.map_err(text)?;
        self.change("the ACK", uuid, |change| matches!(change, CallChange::Connected { .. })).await?;
        if self.coin() {
            self.ask(json!({"op": "bye", "call": call["call"]})).await?;
            self.ended(uuid, Ended::HungUpByCaller).await?;
        } else {
            self.client.hang_up(uuid, HangUp::Normal).await.map_err(text)?;
            self.ended(uuid, Ended::HungUp).await?;
        }
        self.over(&call).await
    }

    /// Waits until the call is over for the caller.
    async fn over(&mut self, call: &Value) -> Step {
        self.ask(json!({"op": "wait_call", "call": call["call"], "timeout_ms": 120_000})).await
    }

    async fn cancelled_by_push(&mut self) -> Step {
        let (call_id, from) = (self.name(), self.caller());
        let payload = |kind: &str| json!({"ntype": kind, "nfrom": from, "ncallid": call_id, "ntouser": USER});
        let announced = self.push(&payload("0"));
        let cancelled = self.push(&payload("2"));
        if announced.uuid != cancelled.uuid {
            return Err("a cancel is another call".into());
        }
        self.ended(announced.uuid, Ended::Cancelled).await
    }

    async fn chat(&mut self) -> Step {
        let words = self.name();
        self.control.ask(json!({"op": "send_chat", "user": USER, "text": words, "push": "never"})).await?;
        self.wait("the message", |event| match event {
            Event::Message { text, .. } => (text.expose() == words).then_some(()),
            _ => None,
        })
        .await
    }

    /// Pushes that no server sent: noise, half a payload, a call for another user, a call without an INVITE.
    async fn forged(&mut self) -> Step {
        let noise: Vec<u8> = (0..self.chance.next_u32() % 500).map(|_| self.chance.next_u32() as u8).collect();
        let hints = Hints::at(sipwake::now());
        self.client.push(noise.as_slice(), Channel::PushKit, &hints);
        self.client.push(r#"{"ntype":"0","nfrom":"#, Channel::FcmAndroid, &hints);
        for user in ["mallory", USER] {
            let payload = json!({"ntype": "0", "nfrom": self.caller(), "ncallid": self.name(), "ntouser": user});
            self.announce(&payload).await?;
        }
        self.registered().await
    }

    /// Hands over the push of a call that never comes. If there are too many, the oldest is hung up.
    async fn announce(&mut self, payload: &Value) -> Step {
        self.unfollowed.push_back(self.push(payload).uuid);
        if self.unfollowed.len() <= UNFOLLOWED {
            return Ok(());
        }
        let Some(oldest) = self.unfollowed.pop_front() else { return Ok(()) };
        match self.client.hang_up(oldest, HangUp::Normal).await {
            // It was missed before, or the app restarted.
            Ok(()) | Err(sipwake::Error::NoSuchCall) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn late(&mut self) -> Step {
        let age = json!({"aps": {"loc-key": "IC_MSG", "call-id": self.name(), "send-time": "2020-01-01 00:00:00"}, "pn_ttl": 60});
        self.announce(&age).await?;
        let Some((payload, _)) = self.past.clone().filter(|(_, step)| self.steps - step < REMEMBERED) else {
            return Ok(());
        };
        let late = self.push(&payload);
        let over = late.kind == (ActionKind::Ignore { reason: Ignored::CallOver });
        if over { Ok(()) } else { Err(format!("the push of a call that is over is {:?}", late.kind)) }
    }

    fn push(&self, payload: &Value) -> PushAction {
        let hints = Hints { delivered_priority: Some(Priority::High), ..Hints::at(sipwake::now()) };
        self.client.push(payload.to_string().as_str(), Channel::FcmAndroid, &hints)
    }

    /// Waits for the INVITE of a call whose push was handled.
    ///
    /// A push that comes during a REGISTER asks for no other one. If the server got that REGISTER before it took the phone
    /// for asleep, it holds the call until the next one. That happens now and then, since it all takes less than a
    /// millisecond.
    async fn invited(&mut self, what: &str, uuid: Uuid, wanted: fn(&CallChange) -> bool) -> Step {
        for _ in 0..WINDOW.as_millis() / NUDGE.as_millis() {
            let invited = async {
                while let Some(event) = self.events.next().await {
                    if matches!(&event, Event::Call(call) if call.uuid == uuid && wanted(&call.change)) {
                        return Ok(());
                    }
                }
                Err("the client has ended".to_owned())
            };
            match timeout(NUDGE, invited).await {
                Ok(done) => return done,
                Err(_) => self.client.register(&self.account).await.map_err(text)?,
            }
        }
        Err(format!("{what} did not come; {}", self.situation().await))
    }

    async fn ended(&mut self, uuid: Uuid, how: Ended) -> Step {
        self.change("the end", uuid, |change| *change == CallChange::Ended(how)).await
    }

    async fn change(&mut self, what: &str, uuid: Uuid, wanted: impl Fn(&CallChange) -> bool) -> Step {
        let wanted = |event: &Event| match event {
            Event::Call(call) if call.uuid == uuid => wanted(&call.change).then_some(()),
            _ => None,
        };
        self.wait(what, wanted).await
    }

    async fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> Result<T, String> {
        let mut passed = Vec::new();
        let next = async {
            while let Some(event) = self.events.next().await {
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
                passed.push(format!("{event:?}"));
            }
            Err("the client has ended".to_owned())
        };
        match timeout(PATIENCE, next).await {
            Ok(found) => found,
            Err(_) => Err(format!("{what} did not come; there were {passed:?}; {}", self.situation().await)),
        }
    }

    async fn ask(&mut self, request: Value) -> Step {
        self.control.ask(request).await.map(drop)
    }

    fn coin(&mut self) -> bool {
        self.chance.next_u32().is_multiple_of(2)
    }

    fn name(&mut self) -> String {
        format!("{:016x}", self.chance.next_u64())
    }

    /// One of many callers, so that the caller is not the only thing that tells calls apart.
    fn caller(&mut self) -> String {
        format!("sip:{}@mock.example", self.chance.next_u32())
    }
}

async fn launch(site: &Site, store: &Arc<dyn StateStore>) -> Result<(Client, Events, AccountKey), String> {
    let trust = Trust::default().only_authorities(site.authority.as_bytes()).map_err(text)?;
    let options = Options::default().trust(trust).resolver(Arc::new(Here));
    let (client, events) = Client::start_with(store.clone(), options);
    client.set_call_policy(CallPolicy { window: WINDOW, ..CallPolicy::default() }).await.map_err(text)?;
    let account = client.add_account(config(site), Some(settings())).await.map_err(text)?;
    Ok((client, events, account))
}

fn config(site: &Site) -> AccountConfig {
    let mut account = AccountConfig::new(format!("sip:{USER}@mock.example"), PASSWORD);
    let host = if site.transport == Transport::Udp { "127.0.0.1" } else { "localhost" };
    account.gateways = vec![format!("{host}:{}", site.port)];
    account.transport = Some(site.transport);
    account
}

fn settings() -> PushConfig {
    PushConfig::new(Provider::Fcm, "com.example.app")
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
