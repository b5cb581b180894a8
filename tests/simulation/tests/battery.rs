//! A phone's idle day with each kind of server: how often its radio wakes, what it sends, and how much. `docs/battery.md` lists it.

use std::fmt::Write as _;
use std::time::Duration;

use sipwake_core::account::{Account, AccountConfig, Transport};
use sipwake_core::clock::Now;
use sipwake_core::event::{FlowId, Output};
use sipwake_core::push::{Provider, Push, PushConfig, PushToken};
use sipwake_core::user_agent::UserAgent;

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/battery.md");
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/battery.svg");
const BEGIN: &str = "<!-- days -->\n";
const END: &str = "<!-- /days -->";
const DAY: u64 = 86_400;
/// Sends that are closer together than this share one wake-up of the radio, in seconds: an LTE radio stays awake for about
/// that long.
const TAIL: u64 = 10;
const START: Now = Now::new(Duration::from_secs(1_000), Duration::from_secs(1_790_000_000));

/// The properties of a server.
struct Profile {
    name: &'static str,
    transport: Transport,
    /// The lifetime that it gives, in seconds.
    granted: u64,
    /// How long before the end it pushes for a refresh (`+sip.pnsreg`). If a server says so, the phone refreshes by itself only if no push
    /// came.
    lead: Option<u64>,
    confirms: bool,
    flow_timer: Option<u64>,
}

const PROFILES: [Profile; 6] = [
    Profile {
        name: "RFC 8599, pushes before the end (pnsreg 120)",
        transport: Transport::Tcp,
        granted: 3600,
        lead: Some(120),
        confirms: true,
        flow_timer: None,
    },
    Profile {
        name: "RFC 8599, confirms push",
        transport: Transport::Udp,
        granted: 3600,
        lead: None,
        confirms: true,
        flow_timer: None,
    },
    Profile {
        name: "RFC 8599, grants 10 minutes",
        transport: Transport::Udp,
        granted: 600,
        lead: None,
        confirms: true,
        flow_timer: None,
    },
    Profile {
        name: "Kamailio as it comes (says nothing)",
        transport: Transport::Udp,
        granted: 3600,
        lead: None,
        confirms: false,
        flow_timer: None,
    },
    Profile {
        name: "says nothing, grants 10 minutes",
        transport: Transport::Udp,
        granted: 600,
        lead: None,
        confirms: false,
        flow_timer: None,
    },
    Profile {
        name: "wants a keep-alive (Flow-Timer 120)",
        transport: Transport::Tcp,
        granted: 3600,
        lead: None,
        confirms: true,
        flow_timer: Some(120),
    },
];

/// What happened in a day.
#[derive(Default)]
struct Day {
    registers: u64,
    keep_alives: u64,
    messages: u64,
    bytes: u64,
    wakes: u64,
    last: Option<Duration>,
}

impl Day {
    fn passed(&mut self, bytes: usize, now: Now) {
        self.messages += 1;
        self.bytes += bytes as u64;
        if self.last.is_none_or(|last| now.boot.saturating_sub(last) > Duration::from_secs(TAIL)) {
            self.wakes += 1;
        }
        self.last = Some(now.boot);
    }
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn answer(profile: &Profile, request: &str) -> String {
    let mut head = String::new();
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        let _ = write!(head, "{name}: {}\r\n", header(request, name).unwrap_or_default());
    }
    let _ = write!(head, "To: {};tag=server\r\n", header(request, "To").unwrap_or_default());
    if header(request, "Authorization").is_none() {
        let challenge = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"abcdefghijklmnop\", qop=\"auth\", algorithm=SHA-256\r\n";
        return format!("SIP/2.0 401 Unauthorized\r\n{head}{challenge}Content-Length: 0\r\n\r\n");
    }
    for contact in request
        .lines()
        .filter_map(|line| line.strip_prefix("Contact: "))
        .filter(|contact| !contact.ends_with("expires=0"))
    {
        let uri = contact.split_once('>').map_or(contact, |(uri, _)| uri);
        let _ = write!(head, "Contact: {uri}>;expires={}\r\n", profile.granted);
    }
    if profile.confirms {
        let lead = profile.lead.map_or_else(String::new, |lead| format!(";+sip.pnsreg=\"{lead}\""));
        let _ = write!(head, "Feature-Caps: *;+sip.pns=\"fcm\"{lead}\r\n");
    }
    if let Some(every) = profile.flow_timer {
        let _ = write!(head, "Flow-Timer: {every}\r\n");
    }
    format!("SIP/2.0 200 OK\r\n{head}Content-Length: 0\r\n\r\n")
}

fn day(profile: &Profile) -> Day {
    let mut config = AccountConfig::new("alice@example.com", "wonderland");
    config.transport = Some(profile.transport);
    let account = Account::parse(config).expect("valid");
    let push = Push::parse(PushConfig::new(Provider::Fcm, "my-project")).expect("valid");
    let token = PushToken::parse(&Provider::Fcm, &format!("c-10-ap_Kt0:APA91b{}", "x".repeat(140)))
        .expect("valid")
        .expect("a token");
    let mut agent = UserAgent::new([7; 32], None, START);
    let key = agent.add_account(account, Some(push), None, START).expect("there is room");
    agent.set_token(&key, token, START).expect("it is there");
    agent.register(&key, START).expect("it is there");
    let (mut day, mut now) = (Day::default(), START);
    loop {
        drain(&mut agent, profile, &mut day, now);
        let Some((at, _)) = agent.poll_timeout() else { break };
        let at = at.max(now.boot);
        if at >= START.boot + Duration::from_secs(DAY) {
            break;
        }
        now = now.after(at - now.boot);
        agent.handle_timeout(now);
    }
    day
}

fn drain(agent: &mut UserAgent, profile: &Profile, day: &mut Day, now: Now) {
    let mut inbox: Vec<(FlowId, String)> = Vec::new();
    loop {
        while let Some(output) = agent.poll_output() {
            match output {
                Output::Open { flow, .. } => {
                    agent.handle_flow_up(flow, "192.0.2.10:5070".parse().expect("an address"), now)
                }
                Output::Transmit { flow, bytes, .. } => {
                    day.passed(bytes.len(), now);
                    if bytes.iter().all(u8::is_ascii_whitespace) {
                        day.keep_alives += 1;
                        if bytes == b"\r\n\r\n" {
                            inbox.push((flow, "\r\n".to_owned()));
                        }
                    } else {
                        day.registers += 1;
                        inbox.push((flow, answer(profile, &String::from_utf8(bytes).expect("UTF-8"))));
                    }
                }
                _ => {}
            }
        }
        if inbox.is_empty() {
            return;
        }
        for (flow, text) in inbox.drain(..) {
            day.passed(text.len(), now);
            agent.handle_input(flow, text.as_bytes(), now);
        }
    }
}

/// What others send, according to their documents or to a run; see the page.
const OTHERS: [(&str, u64, u64); 3] = [
    // REGISTERs and keep-alives per day.
    ("baresip 1.0.0, its defaults (3600 s, refreshed at 90 %)", 27, 0),
    ("PJSIP (PJSUA), its defaults (300 s, 15 s over UDP)", 293, 5_760),
    ("Linphone, its defaults (3600 s, 10 s over UDP)", 25, 8_640),
];

#[test]
fn with_confirmed_push_an_idle_day_takes_few_registers_and_no_keep_alive() {
    for profile in PROFILES.iter().filter(|profile| profile.confirms && profile.flow_timer.is_none()) {
        let day = day(profile);
        let most = DAY.div_ceil(profile.granted - profile.lead.unwrap_or(0)) + 1;
        // The first one gets one challenge.
        assert!(day.registers <= most + 1, "{}: {} REGISTERs, {most} at most", profile.name, day.registers);
        assert_eq!(day.keep_alives, 0, "{}", profile.name);
        assert!(day.wakes <= most, "{}: {} wake-ups", profile.name, day.wakes);
    }
}

#[test]
fn the_page_lists_the_days() {
    let mut table = String::from(
        "| server | radio wakes | REGISTERs | keep-alives | messages | bytes |\n|---|---|---|---|---|---|\n",
    );
    let mut bars = Vec::new();
    for profile in &PROFILES {
        let day = day(profile);
        let Day { registers, keep_alives, messages, bytes, wakes, .. } = day;
        let _ = writeln!(table, "| {} | {wakes} | {registers} | {keep_alives} | {messages} | {bytes} |", profile.name);
        bars.push((format!("sipwake: {}", profile.name), wakes, "#2563a8"));
    }
    for (name, registers, keep_alives) in OTHERS {
        bars.push((name.to_owned(), registers + keep_alives, "#b0562f"));
    }
    let page = std::fs::read_to_string(DOC).expect("it is in the repository");
    let (before, rest) = page.split_once(BEGIN).expect("a mark");
    let (listed, after) = rest.split_once(END).expect("a mark");
    let plot = plot(&bars);
    if std::env::var_os("SIPWAKE_WRITE_DOCS").is_some() {
        std::fs::write(PLOT, plot).expect("it can be written");
        return std::fs::write(DOC, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
    }
    assert_eq!(listed, table, "SIPWAKE_WRITE_DOCS=1 cargo test -p simulation --test battery writes it again");
    assert_eq!(
        std::fs::read_to_string(PLOT).expect("it is in the repository"),
        plot,
        "SIPWAKE_WRITE_DOCS=1 draws it again"
    );
}

/// Bars on a logarithmic scale: a day has 25 wake-ups, or 8,665.
fn plot(bars: &[(String, u64, &str)]) -> String {
    let height = bars.len() * 30 + 60;
    let mut body = String::new();
    for (index, (name, count, colour)) in bars.iter().enumerate() {
        let y = 40 + index * 30;
        let width = ((*count as f64).log10() * 110.0).round();
        let _ = writeln!(
            body,
            "<text x=\"400\" y=\"{}\" text-anchor=\"end\">{name}</text><rect x=\"410\" y=\"{y}\" width=\"{width}\" height=\"18\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{count}</text>",
            y + 14,
            416.0 + width,
            y + 14
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"920\" height=\"{height}\" viewBox=\"0 0 920 {height}\">\n\
         <style>text{{font-family:Helvetica,Arial,sans-serif;font-size:12px;fill:#1d2733}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"410\" y=\"24\">wake-ups of the radio in an idle day (logarithmic)</text>\n{body}</svg>\n"
    )
}
