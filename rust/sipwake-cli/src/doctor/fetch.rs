//! Reads a user's bindings without a change: a REGISTER without a Contact (RFC 3261 section 10.2.3).

use sipwake::core::account::Account;
use sipwake::core::digest::{NonceCache, parse_challenges, pick};
use sipwake::core::sip::{Builder, Method};
use sipwake::core::trace::redacted;
use sipwake::{FlowError, Trace, Uuid};

use super::line::Line;
use super::transcript::{Message, Transcript};

/// The requests of one reading: one asks, one answers the challenge, and one more follows a stale nonce.
const MAX_REQUESTS: u32 = 3;

/// The server's response.
#[derive(Debug)]
pub(super) enum Reading {
    /// It listed these Contact URIs.
    Bindings(Vec<String>),
    /// It gave another response.
    Answered(u16),
    /// No response to its challenge is possible.
    Unanswerable,
    /// It did not answer.
    Silent,
    /// It cannot be reached.
    Unreachable(String),
    /// A flow like the phone's could not be opened, or broke, or what came is not SIP.
    NoFlow(FlowError),
}

impl Reading {
    /// Why a line broke.
    fn of(error: &std::io::Error) -> Self {
        let flow = error.get_ref().and_then(|error| error.downcast_ref::<FlowError>());
        flow.map_or_else(|| Self::Unreachable(error.to_string()), |error| Self::NoFlow(error.clone()))
    }

    /// Says why there are no bindings.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Bindings(bindings) => format!("{} bindings", bindings.len()),
            Self::Answered(status) => format!("responded {status}"),
            Self::Unanswerable => "no response to the challenge is possible".to_owned(),
            Self::Silent => "no answer".to_owned(),
            Self::Unreachable(reason) => reason.clone(),
            Self::NoFlow(error) => error.to_string(),
        }
    }
}

/// Reads the bindings.
pub(super) async fn bindings(account: &Account, mut line: Line, transcript: &Transcript) -> Reading {
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
        let via = format!("SIP/2.0/{} {};branch=z9hG4bK{cseq}{};rport", line.via(), line.local(), call_id.simple());
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
            Err(error) => return Reading::of(&error),
        };
        transcript.message(false, 0, &redacted(&answer));
        // The doctor reads more than the client does: it also reports what a phone would refuse.
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
                // A refused answer to a fresh nonce means a wrong password, so the doctor does not try again.
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
