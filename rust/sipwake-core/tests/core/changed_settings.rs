//! Push settings that change at any moment. At the end the server pushes as the last settings say. After a log-out it
//! sends no push.

use std::collections::BTreeSet;

use sipwake_core::push::{Dialect, Dialects, PortSipHeader, Provider, PushConfig};

use crate::support::{CHALLENGE, Sent, Stage, account, fcm, inside, push_config, seconds};

/// What a server holds. It understands every dialect.
#[derive(Debug, Clone, Default)]
struct Server {
    contacts: BTreeSet<String>,
    mpush: bool,
    portsip: bool,
    /// Whether its 200s list the Contacts.
    lists: bool,
    challenges: bool,
}

fn before_push(uri: &str) -> &str {
    uri.split(";pn-").next().expect("never empty")
}

impl Server {
    fn take(&mut self, sent: &Sent) {
        for uri in sent.removed() {
            self.contacts.remove(uri);
        }
        let uri = inside(sent.contact());
        if sent.header("Expires") != Some("0") {
            self.contacts.insert(uri.to_owned());
        } else if uri.contains(";pn-") {
            self.contacts.remove(uri);
        } else {
            // RFC 3261 section 19.1.4: parameters that only one of the two URIs has do not count.
            self.contacts.retain(|contact| before_push(contact) != uri);
        }
        self.mpush = sent.header("X-MPUSH").map_or(self.mpush, |value| value != "null");
        self.portsip = sent.header("X-Push").map_or(self.portsip, |value| value.contains("allow-call-push=true"));
    }

    fn answer(&mut self, stage: &mut Stage, sent: &Sent) {
        if self.challenges && sent.header("Authorization").is_none() {
            return stage.reply(sent, 401, &[CHALLENGE]);
        }
        self.take(sent);
        let line = |uri: &String| format!("Contact: <{uri}>;expires=3600");
        let mut lines: Vec<String> = self.contacts.iter().filter(|_| self.lists).map(line).collect();
        lines.push("Expires: 3600".to_owned());
        stage.reply(sent, 200, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn serve(&mut self, stage: &mut Stage) {
        while let Some(sent) = stage.sent.pop_front() {
            let says = |header, word| sent.header(header).is_some_and(|value: &str| value.contains(word));
            let null = says("X-MPUSH", "null") || says("X-Push", "call-push=false");
            let live = sent.header("Expires") != Some("0")
                && (says("X-MPUSH", ":") || says("X-Push", "call-push=true") || sent.contact().contains("pn-prid"));
            assert!(!null || !live, "a null and a live token share a REGISTER: {sent:?}");
            self.answer(stage, &sent);
        }
    }

    /// Accepts the REGISTER that was sent. Its response is lost.
    fn take_unheard(&mut self, stage: &mut Stage) {
        let Some(sent) = stage.sent.pop_front() else { return };
        if self.challenges && sent.header("Authorization").is_none() {
            self.answer(stage, &sent);
            self.take(&stage.one());
        } else {
            self.take(&sent);
        }
    }

    fn live_on(&mut self, stage: &mut Stage, minutes: u64) {
        self.serve(stage);
        for _ in 0..minutes * 6 {
            stage.advance(seconds(10));
            self.serve(stage);
        }
    }
}

const PORTSIP: Dialect = Dialect::PortSip(PortSipHeader::XPush);

fn settings() -> Vec<(Option<PushConfig>, Vec<Dialect>)> {
    let only = |dialects: &[Dialect]| (Some(push_config(Provider::Fcm, dialects)), dialects.to_vec());
    let other = PushConfig { package: "com.example.other".into(), ..push_config(Provider::Fcm, &[Dialect::Rfc8599]) };
    let mut auto = PushConfig::new(Provider::Fcm, "com.example.app");
    auto.dialects = Dialects::Auto;
    vec![
        (None, Vec::new()),
        only(&[]),
        only(&[Dialect::XMpush]),
        only(&[Dialect::Rfc8599]),
        only(&[Dialect::XMpush, Dialect::Rfc8599]),
        only(&[PORTSIP]),
        only(&[PORTSIP, Dialect::XMpush]),
        (Some(other), vec![Dialect::Rfc8599]),
        (Some(auto), vec![Dialect::Rfc8599, Dialect::XMpush]),
    ]
}

/// When the settings change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Idle,
    FirstInFlight,
    RefreshInFlight,
    TokenInFlight,
    BackingOff,
    Offline,
    Killed,
    /// The server accepted the first REGISTER. Its response was lost with the process.
    KilledUnheard,
    /// The same for a new token.
    TokenKilledUnheard,
    Unheard,
    TokenUnheard,
    /// The server refuses the removal at first and accepts it later.
    Refused,
    /// On this network the removal gets no response.
    RemovalUnanswered,
}

const MOMENTS: [Moment; 13] = [
    Moment::Idle,
    Moment::FirstInFlight,
    Moment::RefreshInFlight,
    Moment::TokenInFlight,
    Moment::BackingOff,
    Moment::Offline,
    Moment::Killed,
    Moment::KilledUnheard,
    Moment::TokenKilledUnheard,
    Moment::Unheard,
    Moment::TokenUnheard,
    Moment::Refused,
    Moment::RemovalUnanswered,
];

fn change(from: Option<PushConfig>, to: Option<PushConfig>, moment: Moment, server: &mut Server) -> Stage {
    let mut stage = Stage::new(account(|_| {}), from);
    stage.set_token(fcm("a:1"));
    stage.start_registering();
    if !matches!(moment, Moment::FirstInFlight | Moment::KilledUnheard | Moment::Unheard) {
        server.serve(&mut stage);
    }
    match moment {
        Moment::Idle | Moment::FirstInFlight | Moment::KilledUnheard | Moment::Unheard => {}
        Moment::RefreshInFlight => stage.start_registering(),
        Moment::TokenInFlight | Moment::TokenKilledUnheard | Moment::TokenUnheard => stage.set_token(fcm("a:2")),
        Moment::BackingOff => {
            stage.start_registering();
            while let Some(sent) = stage.sent.pop_front() {
                stage.reply(&sent, 500, &["Retry-After: 60"]);
            }
        }
        Moment::Offline => {
            stage.opens = false;
            stage.local.set_port(6000);
            stage.network_changes();
        }
        Moment::Killed | Moment::Refused | Moment::RemovalUnanswered => {}
    }
    if matches!(moment, Moment::KilledUnheard | Moment::TokenKilledUnheard | Moment::Unheard | Moment::TokenUnheard) {
        server.take_unheard(&mut stage);
    }
    if matches!(moment, Moment::Killed | Moment::KilledUnheard | Moment::TokenKilledUnheard) {
        stage = stage.restart(account(|_| {}), to);
        stage.start_registering();
    } else {
        stage.add(account(|_| {}), to);
    }
    match moment {
        Moment::Offline => {
            stage.opens = true;
            stage.open_up();
            stage.drain();
        }
        Moment::Unheard | Moment::TokenUnheard => stage.network_changes(),
        Moment::RemovalUnanswered => {
            stage.all();
            stage.network_changes();
        }
        Moment::Refused => refuse_three(&mut stage, server, |sent| sent.header("Expires") == Some("0")),
        _ => {}
    }
    server.live_on(&mut stage, 12);
    // Settings that add something are sent with the next REGISTER.
    stage.start_registering();
    server.live_on(&mut stage, 1);
    stage
}

/// Answers what was sent, and refuses the first three of these requests.
fn refuse_three(stage: &mut Stage, server: &mut Server, which: impl Fn(&Sent) -> bool) {
    let mut refused = 0;
    while let Some(sent) = stage.sent.pop_front() {
        if which(&sent) && refused < 3 {
            refused += 1;
            stage.reply(&sent, 500, &[]);
        } else {
            server.answer(stage, &sent);
        }
    }
}

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Unbind,
    DoNotDisturb,
    LogOut,
}

impl Command {
    fn give(self, stage: &mut Stage) {
        let key = stage.key.clone();
        match self {
            Command::Unbind => stage.unbind(),
            Command::LogOut => stage.log_out(),
            Command::DoNotDisturb => {
                let until = stage.now.wall + seconds(86_400);
                stage.agent.set_do_not_disturb(&key, Some(until), stage.now).expect("the account is there");
                stage.drain();
            }
        }
    }
}

/// As [`change`], with a command in place of other settings. A later process of the app only starts.
fn command(push: Option<PushConfig>, command: Command, moment: Moment, server: &mut Server) -> Stage {
    let mut stage = Stage::new(account(|_| {}), push.clone());
    stage.set_token(fcm("a:1"));
    stage.start_registering();
    if !matches!(moment, Moment::FirstInFlight | Moment::KilledUnheard | Moment::Unheard) {
        server.serve(&mut stage);
    }
    match moment {
        Moment::RefreshInFlight => stage.start_registering(),
        Moment::TokenInFlight | Moment::TokenKilledUnheard | Moment::TokenUnheard => stage.set_token(fcm("a:2")),
        Moment::BackingOff => {
            stage.start_registering();
            while let Some(sent) = stage.sent.pop_front() {
                stage.reply(&sent, 500, &["Retry-After: 60"]);
            }
        }
        Moment::Offline | Moment::Killed => {
            stage.opens = false;
            stage.local.set_port(6000);
            stage.network_changes();
        }
        _ => {}
    }
    if matches!(moment, Moment::KilledUnheard | Moment::TokenKilledUnheard | Moment::Unheard | Moment::TokenUnheard) {
        server.take_unheard(&mut stage);
    }
    command.give(&mut stage);
    let again = |stage: &Stage| match command {
        Command::LogOut => Stage::without_account(stage.store.clone(), stage.now, 9),
        _ => {
            let mut later = stage.restart(account(|_| {}), push.clone());
            later.start_registering();
            later
        }
    };
    match moment {
        Moment::Killed | Moment::KilledUnheard | Moment::TokenKilledUnheard => stage = again(&stage),
        Moment::Offline => {
            stage.opens = true;
            stage.open_up();
            stage.drain();
        }
        Moment::Unheard | Moment::TokenUnheard => stage.network_changes(),
        Moment::RemovalUnanswered => {
            server.take_unheard(&mut stage);
            stage.network_changes();
        }
        Moment::Refused => refuse_three(&mut stage, server, |_| true),
        _ => {}
    }
    server.live_on(&mut stage, 12);
    stage
}

#[test]
fn once_the_user_wants_no_pushes_the_server_sends_none() {
    let mut wrong = Vec::new();
    for (push, dialects) in settings() {
        for asked in [Command::Unbind, Command::DoNotDisturb, Command::LogOut] {
            for moment in MOMENTS {
                for (lists, challenges) in [(true, true), (true, false), (false, true), (false, false)] {
                    let mut server = Server { lists, challenges, ..Server::default() };
                    let stage = command(push.clone(), asked, moment, &mut server);
                    let pushes = server.mpush || server.portsip;
                    let pushes = pushes || server.contacts.iter().any(|contact| contact.contains("pn-prid"));
                    let left = usize::from(asked != Command::LogOut);
                    let told = asked != Command::LogOut || stage.is_logged_out();
                    if pushes || server.contacts.len() != left || !told {
                        wrong.push(format!("{dialects:?}, {asked:?}, {moment:?}, {lists} {challenges}: {server:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(30)]);
}

#[test]
fn the_server_pushes_as_the_last_settings_say_and_not_at_all_after_a_log_out() {
    let mut wrong = Vec::new();
    for (from, before) in settings() {
        for (to, after) in settings() {
            for moment in MOMENTS {
                for (lists, challenges) in [(true, true), (true, false), (false, true)] {
                    let mut server = Server { lists, challenges, ..Server::default() };
                    let mut stage = change(from.clone(), to.clone(), moment, &mut server);
                    let name = format!("{before:?} to {after:?}, {moment:?}, {lists} {challenges}");
                    let portsip = after.contains(&PORTSIP);
                    let pushes = server.contacts.iter().any(|contact| contact.contains("pn-prid"));
                    if (server.mpush, server.portsip) != (after.contains(&Dialect::XMpush), portsip)
                        || (server.contacts.len(), pushes) != (1, after.contains(&Dialect::Rfc8599))
                    {
                        wrong.push(format!("{name}: {server:?}"));
                    }
                    stage.log_out();
                    server.live_on(&mut stage, 2);
                    if !stage.is_logged_out() || server.mpush || server.portsip || !server.contacts.is_empty() {
                        wrong.push(format!("{name}, logged out: {server:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}
