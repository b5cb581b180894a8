//! The settings of a phone for a server of the tests, and the calls that it accepts.

use sipwake::{
    AccountConfig, Answer, CallChange, Channel, Dialect, Dialects, Ended, Error, Event, HangUp, Hints, Options,
    Provider, PushAction, PushConfig, Transport, Trust, Uuid,
};

use crate::kamailio::{DOMAIN, Kamailio, PASSWORD};
use crate::watch::Watched;

/// A token with every character that needs care in a URI parameter.
pub const TOKEN: &str = "c-1:APA91b+/&%=;?@,ü漢🔔~%41";

/// Returns the settings of a user of the server.
pub fn account(server: &Kamailio, user: &str, transport: Transport) -> AccountConfig {
    let mut account = AccountConfig::new(format!("sip:{user}@{DOMAIN}"), PASSWORD);
    account.gateways = vec![match transport {
        Transport::Udp | Transport::Tcp => format!("127.0.0.1:{}", server.port),
        Transport::Tls => format!("localhost:{}", server.tls_port),
        Transport::Ws => format!("ws://127.0.0.1:{}/sip", server.port),
        Transport::Wss => format!("wss://localhost:{}/sip", server.tls_port),
    }];
    account.transport = Some(transport);
    account
}

/// Returns push settings whose Contact uses everything in RFC 8599.
pub fn push() -> PushConfig {
    let mut push = PushConfig::new(Provider::Other("acme".into()), "com.example.app");
    push.dialects = Dialects::Only(vec![Dialect::Rfc8599]);
    push
}

/// Returns options that trust the server's authority and no other.
///
/// # Panics
/// Never: the authority is the server's own.
pub fn options(server: &Kamailio) -> Options {
    let trust = Trust::default().only_authorities(server.authority.as_bytes()).expect("an authority");
    Options::default().trust(trust)
}

/// Returns an SDP answer. Its session name tells the scenario `talk.xml` which side hangs up, `callee` or `caller`.
pub fn answer(hangs_up: &str) -> Answer {
    Answer::sdp(format!(
        "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns={hangs_up}\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n"
    ))
}

impl Watched {
    /// Hands the client a push that arrives at this moment.
    pub fn pushed(&self, payload: &str) -> PushAction {
        self.client.push(payload, Channel::FcmAndroid, &Hints::at(sipwake::now()))
    }

    /// Waits for a change of a call.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn change<T>(&mut self, what: &str, wanted: impl Fn(&CallChange) -> Option<T>) -> (Uuid, T) {
        self.wait_for(what, |event| match event {
            Event::Call(call) => wanted(&call.change).map(|found| (call.uuid, found)),
            _ => None,
        })
        .await
    }

    /// Waits until a call rings.
    ///
    /// # Panics
    /// When none does.
    pub async fn ringing(&mut self) -> Uuid {
        self.change("ringing", |change| matches!(change, CallChange::Ringing { .. }).then_some(())).await.0
    }

    /// Waits until a call is connected.
    ///
    /// # Panics
    /// When none is connected, or one ends before that.
    pub async fn connected(&mut self) -> Uuid {
        let up = |change: &CallChange| match change {
            CallChange::Connected { .. } => Some(()),
            CallChange::Ended(how) => panic!("it ended before it was connected: {how:?}"),
            _ => None,
        };
        self.change("connected", up).await.0
    }

    /// Waits until a call has ended.
    ///
    /// # Panics
    /// When none ends.
    pub async fn ended(&mut self) -> (Uuid, Ended) {
        let end = |change: &CallChange| match change {
            CallChange::Ended(how) => Some(*how),
            _ => None,
        };
        self.change("the end", end).await
    }

    /// Accepts a call of `talk.xml`, and lets one side end it.
    ///
    /// # Panics
    /// When it goes differently.
    pub async fn talk(&mut self, we_hang_up: bool) {
        let uuid = self.ringing().await;
        let taken = self.client.accept(uuid, answer(if we_hang_up { "callee" } else { "caller" })).await;
        taken.expect("it rings");
        assert_eq!(self.connected().await, uuid);
        if we_hang_up {
            self.client.hang_up(uuid, HangUp::Normal).await.expect("it is up");
        }
        let how = if we_hang_up { Ended::HungUp } else { Ended::HungUpByCaller };
        assert_eq!(self.ended().await, (uuid, how));
        assert_eq!(self.client.hang_up(uuid, HangUp::Normal).await, Err(Error::NoSuchCall));
    }

    /// Shuts the client down, and reads the remaining events.
    ///
    /// # Panics
    /// When it has not reported the end of this many calls, once each.
    pub async fn leave(mut self, calls: usize) {
        self.client.shutdown().await;
        while let Some(event) = self.events.next().await {
            self.note(&event);
        }
        assert_eq!(self.ends.len(), calls, "each call ends once");
    }
}
