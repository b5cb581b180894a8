//! Reads a user's bindings and changes none: a REGISTER without a Contact (RFC 3261 section 10.2.3), over UDP or TCP.

use std::net::SocketAddr;

use sipwake::Transport;
use sipwake::core::account::Account;
use sipwake::core::digest::{NonceCache, parse_challenges, pick};
use sipwake::core::sip::{Builder, Method};
use sipwake::core::trace::redacted;
use sipwake::{Trace, Uuid};

use super::line::Line;
use super::transcript::{Message, Transcript};

/// Requests of one reading: one asks, one answers the challenge, one more for a nonce that was stale.
const MAX_REQUESTS: u32 = 3;

/// What the server said.
#[derive(Debug)]
pub(super) enum Reading {
    /// It listed these Contact URIs.
    Bindings(Vec<String>),
    /// It answered otherwise.
    Answered(u16),
    /// Its challenge cannot be answered.
    Unanswerable,
    /// It did not answer.
    Silent,
    /// It cannot be reached.
    Unreachable(String),
    /// The bindings are read over UDP and TCP only.
    NotOverThisTransport,
}

impl Reading {
    /// Says why there are no bindings.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Bindings(bindings) => format!("{} bindings", bindings.len()),
            Self::Answered(status) => format!("answered with {status}"),
            Self::Unanswerable => "the challenge cannot be answered".to_owned(),
            Self::Silent => "no answer".to_owned(),
            Self::Unreachable(reason) => reason.clone(),
            Self::NotOverThisTransport => "bindings are read over UDP and TCP only".to_owned(),
        }
    }
}

/// Reads the bindings.
pub(super) async fn bindings(account: &Account, to: SocketAddr, transcript: &Transcript) -> Reading {
    let transport = account.hops().first().map_or(Transport::Udp, |hop| hop.transport);
    let mut line = match Line::open(transport, to).await {
        Ok(Some(line)) => line,
        Ok(None) => return Reading::NotOverThisTransport,
        Err(error) => return Reading::Unreachable(error.to_string()),
    };
    let (call_id, tag) = (Uuid::new_v5(&Uuid::nil(), format!("{:?}", sipwake::now()).as_bytes()), "doctor");
    let mut nonces = NonceCache::default();
    for cseq in 1..=MAX_REQUESTS {
        let authorization = nonces.authorize(
            account.auth_user(),
            account.credentials(),
            "REGISTER",
            account.registrar(),
            b"",
            &call_id.simple().to_string(),
        );
        let via =
            format!("SIP/2.0/{} {};branch=z9hG4bK{cseq}{};rport", transport.via(), line.local(), call_id.simple());
        let aor = account.aor().as_str();
        let mut request = Builder::request(&Method::Register, account.registrar())
            .header("Via", &via)
            .header("Max-Forwards", "70")
            .header("From", &format!("<{aor}>;tag={tag}"))
            .header("To", &format!("<{aor}>"))
            .header("Call-ID", &call_id.to_string())
            .header("CSeq", &format!("{cseq} REGISTER"));
        for (name, value) in &authorization {
            request = request.header(name, value);
        }
        let Ok(bytes) = request.finish() else { return Reading::Unreachable("the request cannot be built".to_owned()) };
        transcript.message(true, 0, &redacted(&bytes));
        let is_final =
            |message: &Message| message.status().is_some_and(|status| status >= 200) && message.cseq() == Some(cseq);
        let answer = match line.ask(&bytes, is_final).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Reading::Silent,
            Err(error) => return Reading::Unreachable(error.to_string()),
        };
        transcript.message(false, 0, &redacted(&answer));
        // Not as the client reads it: the doctor also reports what a phone would refuse.
        let message = Message::parse(&String::from_utf8_lossy(&answer));
        match message.status() {
            Some(200) => {
                return Reading::Bindings(
                    message.contacts().into_iter().map(|contact| contact.uri.to_owned()).collect(),
                );
            }
            Some(code @ (401 | 407)) => {
                let www: Vec<&str> = message.all("WWW-Authenticate").collect();
                let proxy: Vec<&str> = message.all("Proxy-Authenticate").collect();
                let challenges = parse_challenges(www, proxy);
                let chosen = pick(&challenges, account.credentials());
                if chosen.is_empty() {
                    return Reading::Unanswerable;
                }
                // A fresh answer that was refused is a wrong password: no further guess.
                if !authorization.is_empty() && chosen.iter().all(|challenge| !challenge.stale) {
                    return Reading::Answered(code);
                }
                chosen.into_iter().for_each(|challenge| nonces.learn(challenge, sipwake::now()));
            }
            Some(code) => return Reading::Answered(code),
            None => return Reading::Silent,
        }
    }
    Reading::Answered(401)
}
