//! A call from a second account to the sleeping phone: its client has ended, and the doctor simulates its push.

use std::time::Duration;

use sipwake::Uuid;
use sipwake::core::account::Account;
use sipwake::core::digest::{NonceCache, parse_challenges, pick};
use sipwake::core::sip::{Builder, Method};
use tokio::time::timeout;

use super::findings::{Finding, Weight};
use super::line::Line;
use super::transcript::Message;

/// The offer for the phone, which never answers it.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

/// The second account's phone.
pub(super) struct Caller {
    line: Line,
    account: Account,
    to: String,
    call_id: String,
    cseq: u32,
    nonces: NonceCache,
    /// The To of the last response, with its tag.
    answered: Option<String>,
    asked: bool,
}

impl Caller {
    pub(super) fn new(account: Account, to: &str, line: Line) -> Self {
        let call_id = Uuid::new_v5(&Uuid::nil(), format!("{:?} call", sipwake::now()).as_bytes()).simple().to_string();
        let (nonces, answered) = (NonceCache::default(), None);
        Self { line, account, to: to.to_owned(), call_id, cseq: 0, nonces, answered, asked: false }
    }

    /// The id with which a push names the call.
    pub(super) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The caller's number.
    pub(super) fn user(&self) -> &str {
        let aor = self.account.aor().as_str();
        aor.split_once(':').map_or(aor, |(_, rest)| rest).split('@').next().unwrap_or_default()
    }

    /// Places the call. Returns the first status that is not a challenge, or `None` if the server is silent.
    async fn invite(&mut self) -> Result<Option<u16>, String> {
        loop {
            self.cseq += 1;
            let cseq = self.cseq;
            let request = self.request(&Method::Invite, cseq, true)?;
            let of_invite = |message: &Message| message.status().is_some() && message.cseq() == Some(cseq);
            let answer = self.line.ask(&request, of_invite).await.map_err(text)?;
            let Some(answer) = answer else { return Ok(None) };
            match self.take(&answer).await? {
                Some(401 | 407) if self.challenged(&answer) => {}
                status => return Ok(status),
            }
        }
    }

    /// Places the call. Returns the final status if the server ends it within this time.
    pub(super) async fn is_held(&mut self, within: Duration) -> Result<Option<u16>, String> {
        let status = self.invite().await?;
        match status {
            Some(status) if status >= 200 => Ok(Some(status)),
            Some(_) => timeout(within, self.last()).await.map_or(Ok(None), |status| status.map(Some)),
            // A silent server holds no call.
            None => Ok(Some(408)),
        }
    }

    /// Waits for the final status of the INVITE.
    pub(super) async fn last(&mut self) -> Result<u16, String> {
        loop {
            let status = self.next().await?;
            if status >= 200 {
                return Ok(status);
            }
        }
    }

    /// Waits for the next status of the INVITE.
    async fn next(&mut self) -> Result<u16, String> {
        loop {
            let bytes = self.line.receive().await.map_err(text)?;
            if let Some(status) = self.take(&bytes).await? {
                return Ok(status);
            }
        }
    }

    /// Gives up, and waits for the end.
    pub(super) async fn cancel(&mut self) -> Result<(), String> {
        let cseq = self.cseq;
        let request = self.request(&Method::Cancel, cseq, false)?;
        self.line.send(&request).await.map_err(text)?;
        let over = async {
            while self.next().await? < 200 {}
            Ok::<_, String>(())
        };
        timeout(Duration::from_secs(5), over).await.unwrap_or(Ok(()))
    }

    /// Returns the status of a response to the INVITE, and acknowledges a final one.
    async fn take(&mut self, bytes: &[u8]) -> Result<Option<u16>, String> {
        let message = Message::parse(&String::from_utf8_lossy(bytes));
        let of_invite = message.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        let Some(status) = message.status().filter(|_| of_invite && message.cseq() == Some(self.cseq)) else {
            return Ok(None);
        };
        if status >= 200 {
            self.answered = message.header("To").map(str::to_owned);
            let (cseq, method) = (self.cseq, Method::Ack);
            let ack = self.request(&method, cseq, false)?;
            self.line.send(&ack).await.map_err(text)?;
            if status < 300 {
                self.cseq += 1;
                let bye = self.request(&Method::Bye, self.cseq, false)?;
                self.line.send(&bye).await.map_err(text)?;
            }
        }
        Ok(Some(status))
    }

    /// Learns a challenge. Returns whether a response is possible. Each challenge gets one response.
    fn challenged(&mut self, answer: &[u8]) -> bool {
        let message = Message::parse(&String::from_utf8_lossy(answer));
        let www: Vec<&str> = message.all("WWW-Authenticate").collect();
        let proxy: Vec<&str> = message.all("Proxy-Authenticate").collect();
        let challenges = parse_challenges(www, proxy);
        let chosen = pick(&challenges, self.account.credentials());
        if chosen.is_empty() || std::mem::replace(&mut self.asked, true) {
            return false;
        }
        chosen.into_iter().for_each(|challenge| self.nonces.learn(challenge, sipwake::now()));
        true
    }

    fn request(&mut self, method: &Method, cseq: u32, invites: bool) -> Result<Vec<u8>, String> {
        let (own, id) = (self.account.aor().as_str(), &self.call_id);
        let name = method.as_str();
        // A CANCEL and the ACK of a refusal belong to the INVITE's transaction.
        let branch = format!("z9hG4bK{id}{cseq}");
        let via = format!("SIP/2.0/{} {};branch={branch};rport", self.line.via(), self.line.local());
        let to = self.answered.clone().filter(|_| !invites && *method != Method::Cancel);
        let to = to.unwrap_or_else(|| format!("<{}>", self.to));
        let mut request = Builder::request(method, &self.to)
            .header("Via", &via)
            .header("Max-Forwards", "70")
            .header("From", &format!("<{own}>;tag=caller"))
            .header("To", &to)
            .header("Call-ID", id)
            .header("CSeq", &format!("{cseq} {name}"));
        if !invites {
            return request.finish().map_err(|_| "the request cannot be built".to_owned());
        }
        request = request.header("Contact", &format!("<sip:caller@{}>", self.line.local()));
        let (user, credentials) = (self.account.auth_user(), self.account.credentials());
        for (name, value) in self.nonces.authorize(user, credentials, name, &self.to, OFFER.as_bytes(), id) {
            request = request.header(name, &value);
        }
        request.body("application/sdp", OFFER.as_bytes()).finish().map_err(|_| "the INVITE cannot be built".to_owned())
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// The server answered the caller before the phone was woken.
pub(super) fn not_held(status: u16) -> Finding {
    match status {
        401 | 403 | 407 => Finding::new(
            "caller-refused",
            Weight::Remark,
            format!("the server does not let the second account call: {status}"),
            "check --caller and its password",
        ),
        200..=299 => Finding::new(
            "call-taken-elsewhere",
            Weight::Remark,
            "voicemail or another device answered the call before the phone was woken",
            "set voicemail to wait until the phone has had time to wake (20 s)",
        ),
        _ => Finding::new(
            "call-not-held",
            Weight::Fatal,
            format!(
                "the server refuses a call for a sleeping phone at once ({status}); it must wake the phone and wait"
            ),
            "send a push, and hold the call until the phone registers (Kamailio: tsilo; OpenSIPS: event_routing; docs/servers)",
        ),
    }
}

/// The phone woke, and no INVITE came.
pub(super) fn lost() -> Finding {
    Finding::new(
        "call-lost",
        Weight::Fatal,
        "the phone registered after the push, but the server never sent the call",
        "send a held call to the new binding (Kamailio: t_append_branches; docs/servers)",
    )
}

/// The caller gave up, and the server did not tell the phone.
pub(super) fn goes_on_ringing() -> Finding {
    Finding::new(
        "cancel-lost",
        Weight::Remark,
        "the caller gave up, but the server did not tell the phone, so it keeps ringing",
        "send the CANCEL to every branch, including one that was added later",
    )
}

/// The INVITE names another user than the account's.
pub(super) fn alias(to: &str) -> Finding {
    Finding::new(
        "alias-in-to",
        Weight::Note,
        format!("the call's To names \"{to}\", not the account"),
        "nothing for sipwake: it finds the account by the flow that the call came on",
    )
}
