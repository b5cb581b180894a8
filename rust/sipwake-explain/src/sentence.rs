//! A decision in words.

use sipwake_core::record::{Code, Kind, Noted, Value};

/// The two sides between which a step is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// From the push provider to the phone.
    Pushed,
    /// From the phone to the server.
    Sent,
    /// From the server to the phone.
    Received,
    /// Inside the phone.
    Phone,
}

pub(crate) fn lane(noted: &Noted) -> Lane {
    match noted.name {
        "push-judged" => Lane::Pushed,
        "register-sent" | "flow-opened" | "invite-refused" => Lane::Sent,
        "register-answered" | "flow-up" | "flow-moved" | "invite-joined" | "invite-new" | "invite-again"
        | "dropped" => Lane::Received,
        "flow-down" if noted.word("was_up") == Some("yes") => Lane::Received,
        _ => Lane::Phone,
    }
}

/// A decision in a few words.
pub(crate) fn sentence(noted: &Noted) -> String {
    let word = |fact| noted.word(fact).unwrap_or("unknown");
    let number = |fact| noted.number(fact).unwrap_or(0);
    match noted.name {
        "push-judged" => match word("asks") {
            "ring" => format!("a push for a call; the system is told: {}", spelled(word("told"))),
            "nothing" => format!("a push that makes no sound: {}", spelled(word("silence"))),
            other => format!("a push: {other}"),
        },
        "push-delivered" if word("downgraded") == "yes" => {
            format!("the push was {} s old, and its priority was lowered", number("age"))
        }
        "push-delivered" => format!("the push was {} s old", number("age")),
        "call-announced" => format!("the phone waits for the INVITE, {} s at most", number("window")),
        "register-owed" if word("in_flight") == "yes" => "a REGISTER is in flight; another one will follow".to_owned(),
        "register-owed" => "the push leads to a REGISTER".to_owned(),
        "push-again" if word("invite_here") == "yes" => "another push for this call, whose INVITE is here".to_owned(),
        "push-again" => "another push for this call".to_owned(),
        "register-sent" => {
            let what = match word("purpose") {
                "bind" => "REGISTER",
                "query" => "REGISTER, a query",
                _ => "REGISTER that removes a binding",
            };
            match word("auth") {
                "kept-nonce" => format!("{what} with the stored nonce"),
                "challenge" => format!("{what} with the response to a challenge"),
                _ => format!("{what} without credentials"),
            }
        }
        "register-answered" => format!("{} after {} ms", number("status"), number("took")),
        "registered" => format!("registered for {} s; push {}", number("lifetime"), word("push")),
        "registration-failed" => {
            format!("failed: {}; the next attempt in {} s", spelled_with(word("why"), number("status")), number("wait"))
        }
        "registration-stopped" => {
            format!("failed: {}; no further attempt", spelled_with(word("why"), number("status")))
        }
        "next-gateway" => format!("failed: {}; the next gateway is tried", spelled_with(word("why"), number("status"))),
        "no-register" => format!("no REGISTER: {}", spelled(word("why"))),
        "binding-lapsed" => format!("the binding had expired {} s ago", number("ago")),
        "flow-opened" => format!("connects over {}", word("over").to_uppercase()),
        "flow-up" => "the connection is up".to_owned(),
        "flow-down" if word("was_up") == "yes" => format!("the connection broke: {}", spelled(word("why"))),
        "flow-down" => format!("no connection: {}", spelled(word("why"))),
        "invite-joined" => format!("INVITE, {} ms after its push", number("after")),
        "invite-new" => "INVITE without a push before it".to_owned(),
        "invite-again" => "INVITE again".to_owned(),
        "invite-refused" => format!("{} to an INVITE", number("status")),
        "call-ended" if number("status") > 0 => {
            format!("the call ended: {} ({})", spelled(word("how")), number("status"))
        }
        "call-ended" => format!("the call ended: {}", spelled(word("how"))),
        "process-started" => "the process ended, and a new one started".to_owned(),
        "tombstone" => format!("for a call that has ended: {}", spelled(word("ended"))),
        "dropped" => format!("dropped: {}", spelled(word("what"))),
        "logged-out" => format!("logged out: {}", spelled(word("removed"))),
        "clock-set" if word("back") == "yes" => format!("the clock was set back by {} s", number("by")),
        "clock-set" => format!("the clock was set by {} s", number("by")),
        _ => plain(noted),
    }
}

/// A decision as the list of codes describes it, with its facts.
fn plain(noted: &Noted) -> String {
    let code = Code::of(noted.code);
    let meaning = code.map_or("", |code| code.meaning).trim().trim_end_matches('.');
    let mut text = meaning.split(": ").next().unwrap_or_default().to_owned();
    for (name, kind) in code.map_or(&[][..], |code| code.facts) {
        let unit = match kind {
            Kind::Seconds => " s",
            Kind::Milliseconds => " ms",
            _ => "",
        };
        match noted.facts.get(name) {
            Some(Value::Number(number)) => text += &format!(" ({number}{unit})"),
            Some(Value::Word(word)) => text += &format!(" ({})", spelled(word)),
            None => {}
        }
    }
    text
}

fn spelled(word: &str) -> String {
    match word {
        "dns" => "the server's name has no address".to_owned(),
        "closed" => "the server closed it".to_owned(),
        "tls" => "TLS".to_owned(),
        "not-sip" => "the received data is not SIP".to_owned(),
        other => other.replace('-', " "),
    }
}

fn spelled_with(word: &str, status: u32) -> String {
    if status > 0 { format!("{} ({status})", spelled(word)) } else { spelled(word) }
}
