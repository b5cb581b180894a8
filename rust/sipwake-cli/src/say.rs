//! The texts of the command line: events and errors in plain words, with flags instead of the API's field names.

use sipwake::core::event::Removed;
use sipwake::{CallChange, Caller, Ended, Event, FieldError};

/// The flag that sets a field of the API.
fn flag(field: &str) -> &str {
    match field {
        "aor" => "--aor",
        "auth_user" => "--auth-user",
        "credentials.password" => "--password",
        "expires" => "--expires",
        "gateways" => "--server",
        "transport" => "--transport",
        "options.trust" => "--ca",
        "push.token" => "--token",
        "push.alert_token" => "--alert-token",
        "push.provider" => "--provider",
        "push.package" => "--package",
        "push.team_id" => "--team",
        "push.pn_param" => "--pn-param",
        "push.dialects" => "--dialect",
        other => other,
    }
}

/// Says which flag was refused, and why.
pub(crate) fn refused(error: &FieldError) -> String {
    let flag = flag(error.field);
    match flag {
        "--server" => format!("{flag}: must be HOST, HOST:PORT with a port up to 65535, or a SIP URI"),
        _ => format!("{flag}: {}", error.rule),
    }
}

/// Says why the client refused something.
pub(crate) fn failed(error: sipwake::Error) -> String {
    match error {
        sipwake::Error::Field(error) => refused(&error),
        sipwake::Error::NoPush => "--token: this account has no push settings".to_owned(),
        other => other.to_string(),
    }
}

/// Says what happened.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Registered { registered, .. } => {
            format!("registered for {} s; push: {}", registered.expires.as_secs(), registered.verdict.text())
        }
        Event::RegistrationFailed { failure, retry_in: Some(pause), .. } => {
            format!("{failure}; next attempt in {} s", pause.as_secs())
        }
        Event::RegistrationFailed { failure, retry_in: None, .. } => format!("{failure}; no further attempt"),
        Event::RegisterDelayed { wait, .. } => {
            format!("too many pushes came at once; the next REGISTER follows in {} s", wait.as_secs())
        }
        Event::DoNotDisturbOver { .. } => "do not disturb has ended".to_owned(),
        Event::PushUnopened { why } => why.to_string(),
        Event::LoggedOut { aor, removed, .. } => format!("{aor}: logged out ({})", known(*removed)),
        Event::Capabilities { status, providers, .. } if providers.is_empty() => {
            format!("the server responded {status} and named no push provider")
        }
        Event::Capabilities { status, providers, .. } => {
            format!("the server responded {status} and pushes through {}", providers.join(", "))
        }
        Event::Call(call) => format!("call {}: {}", call.uuid, change(&call.change)),
        Event::Message { from, display_name, content_type, text, .. } => format!(
            "a message from {} ({content_type}, {} bytes; its text is not shown)",
            named(from, display_name.as_deref()),
            text.expose().len()
        ),
        Event::StoreFailed { key, reason } => format!("the state {key} could not be stored: {reason}"),
        Event::Discarded { reason, count } => format!("dropped from the network, {count} so far: {reason}"),
        _ => "an event that this version of the command does not know".to_owned(),
    }
}

fn change(change: &CallChange) -> String {
    match change {
        CallChange::Announced(caller) => format!("announced by a push, from {}", who(caller)),
        CallChange::Ringing { caller, announced, .. } => {
            let how = if *announced { "its push came before" } else { "no push came before" };
            format!("rings, from {} ({how})", who(caller))
        }
        CallChange::AnswerWanted { caller, .. } => format!("answered before it rang, from {}", who(caller)),
        CallChange::CallerChanged(caller) => format!("the caller is {}", who(caller)),
        CallChange::Connected { .. } => "connected".to_owned(),
        CallChange::Offered { .. } => "the caller offers other media".to_owned(),
        CallChange::Answered(_) => "the caller answered our offer".to_owned(),
        CallChange::Asked(request) => format!("the caller asks: {:?}", request.kind),
        CallChange::Reason(reason) => format!("the caller hangs up and says why: {reason}"),
        CallChange::Ended(ended) => end(*ended),
        _ => "a change that this version of the command does not know".to_owned(),
    }
}

fn end(ended: Ended) -> String {
    let how = match ended {
        Ended::Cancelled => "the caller gave up",
        Ended::AnsweredElsewhere => "another device answered",
        Ended::DeclinedElsewhere => "another device declined",
        Ended::Declined => "declined",
        Ended::HungUpByCaller => "the caller hung up",
        Ended::HungUp => "hung up",
        Ended::Failed(status) => return format!("ended: it failed with {status}"),
        Ended::Missed => "its INVITE never came",
        Ended::Unanswered => "the call was not answered in time",
        Ended::LoggedOut => "the user logged out",
        Ended::NoCall => "there was no call: the push was for a request inside another one",
        _ => "a reason that this version of the command does not know",
    };
    format!("ended: {how}")
}

fn known(removed: Removed) -> &'static str {
    match removed {
        Removed::Proven => "proven: the server no longer lists the binding",
        Removed::NeverBound => "nothing was ever bound",
        Removed::GivenUp => "given up: no server could be reached",
        _ => "accepted: the server's response does not show whether the binding is gone",
    }
}

fn who(caller: &Caller) -> String {
    if caller.uri.is_empty() {
        "an unknown caller".to_owned()
    } else {
        named(&caller.uri, caller.display_name.as_deref())
    }
}

fn named(uri: &str, name: Option<&str>) -> String {
    name.map_or_else(|| uri.to_owned(), |name| format!("{name} <{uri}>"))
}

#[cfg(test)]
mod tests {
    use sipwake::core::account::Account;
    use sipwake::{AccountConfig, Provider, Push, PushConfig};

    use super::*;

    #[test]
    fn a_refused_field_is_named_by_its_flag() {
        let mut config = AccountConfig::new("sip:alice@example.com", "secret");
        config.gateways = vec!["127.0.0.1:99999".to_owned()];
        let error = refused(&Account::parse(config).expect_err("no such port"));
        assert!(error.starts_with("--server: ") && error.contains("65535"), "{error}");
        let error = refused(&Push::parse(PushConfig::new(Provider::Fcm, "a:b")).expect_err("a colon"));
        assert!(error.starts_with("--package: "), "{error}");
    }

    #[test]
    fn no_event_is_printed_in_rusts_debug_form() {
        let uuid = sipwake::Uuid::nil();
        let caller = Caller { uri: "sip:7@example.com".to_owned(), display_name: Some("Bob".to_owned()) };
        let times = sipwake::CallTimes::default();
        let ringing = CallChange::Ringing { caller, announced: true, offer: None };
        let told = event(&Event::Call(sipwake::CallEvent { uuid, account: None, times, change: ringing }));
        assert!(told.ends_with("rings, from Bob <sip:7@example.com> (its push came before)"), "{told}");
        assert_eq!(end(Ended::Failed(481)), "ended: it failed with 481");
    }
}
