//! `sipwake doctor` against the mock: a healthy server, and each habit of a real one.

use std::process::{Command, Output};
use std::sync::Arc;

use mock_gateway::{Config, Habit, MockGateway, Profile};
use networks::{Authority, Front};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md");
const BEGIN: &str = "<!-- habits -->\n";
const END: &str = "<!-- /habits -->";

/// What the doctor cannot see by registering, and why not.
const UNSEEN: [(Habit, &str); 6] = [
    (Habit::StaleMissing, "it shows only after a nonce has expired"),
    (Habit::RemovalKeepsRfc8599, "it shows only when a push comes after the log-out"),
    (Habit::RemovalKeepsXmpush, "it shows only when a push comes after the log-out"),
    (Habit::PushNever, "the doctor simulates the push, so it shows only on a phone"),
    (Habit::ToCut, "it shows only in a call that is answered"),
    (Habit::CallIdRenamed, "it shows only in a real push"),
];

async fn mock(profile: &str, habits: &[Habit]) -> MockGateway {
    let profile = Profile::named(profile).expect("known");
    let mock = MockGateway::start(Config::new(profile).user("alice", "wonderland")).await.expect("loopback is there");
    mock.set_habits(None, habits).await;
    mock
}

async fn doctor(mock: &MockGateway, password: &str, more: &[&str]) -> Output {
    examined(&mock.addr().to_string(), password, more).await
}

async fn doctor_at(server: &str, more: &[&str]) -> Output {
    examined(server, "wonderland", more).await
}

async fn examined(server: &str, password: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipwake"));
    command.args(["doctor", "--aor", "alice@mock.example", "--server", server]);
    command.args(["--package", "my-project", "--dialect", "rfc8599"]).args(more);
    command.env("SIPWAKE_PASSWORD", password).env("SIPWAKE_CALLER_PASSWORD", "builder").env_remove("RUST_LOG");
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn codes(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_server_is_left_as_it_was_found() {
    for transport in ["udp", "tcp"] {
        let mock = mock("rfc8599", &[]).await;
        let output = doctor(&mock, "wonderland", &["--json", "--transport", transport]).await;
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!(codes(&report), [] as [&str; 0]);
        let steps = if transport == "tcp" { 11 } else { 10 };
        assert_eq!(
            step(&report, "unbind push").split(" (").next(),
            Some("registered without push, then with push again")
        );
        assert!(report["steps"].as_array().is_some_and(|done| done.len() == steps), "{report:#}");
        assert!(mock.bindings("alice").await.is_empty());
        assert_eq!(mock.violations(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_pushes_without_saying_so_is_told_from_one_that_says_so() {
    let silent = mock("kamailio", &[]).await;
    let output = doctor(&silent, "wonderland", &["--json"]).await;
    assert_eq!((output.status.code(), codes(&report(&output))), (Some(1), vec!["push-unsaid".to_owned()]));
    let mut profile = Profile::named("kamailio").expect("known");
    profile.feature_caps = mock_gateway::profile::FeatureCaps::Standard;
    silent.set_profile(None, profile).await;
    let output = doctor(&silent, "wonderland", &["--json"]).await;
    assert_eq!((output.status.code(), codes(&report(&output))), (Some(0), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_beside_another_device() {
    let mock = mock("rfc8599", &[Habit::ContactCrowd]).await;
    let output = doctor(&mock, "wonderland", &["--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(codes(&report(&output)), ["needs-write", "contact-crowd"]);
    let wrote = mock.received().iter().any(|entry| entry.text.contains("Contact:"));
    assert!(!wrote, "a REGISTER without a Contact changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_at_most_three_times() {
    for habits in [&[][..], &[Habit::StaleAlways], &[Habit::StaleFourTimes]] {
        let mock = mock("rfc8599", habits).await;
        let output = doctor(&mock, "not it", &["--json", "--write"]).await;
        assert_eq!(output.status.code(), Some(2), "{habits:?}: {output:?}");
        let answers = mock.received().into_iter().filter(|entry| entry.text.contains("Authorization:")).count();
        assert!(answers <= 3, "{habits:?}: {answers} answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_the_picture_show_the_ladder_and_no_secret() {
    let mock = mock("mizutech", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.html");
    let drawn = folder.path().join("ladder.svg");
    let [to, picture] = [&file, &drawn].map(|path| path.to_str().expect("UTF-8"));
    let output = doctor(&mock, "wonderland", &["--html", to, "--ladder", picture, "--write"]).await;
    let [page, picture] = [&file, &drawn].map(|path| std::fs::read_to_string(path).expect("it was written"));
    assert!(page.contains(&picture) && picture.starts_with("<svg") && picture.contains("REGISTER"), "{page}");
    for said in [page.as_str(), picture.as_str(), std::str::from_utf8(&output.stdout).expect("UTF-8")] {
        assert!(!said.contains("wonderland") && !said.contains(&"A".repeat(60)), "{said}");
        let hash = said.split(|c: char| !c.is_ascii_hexdigit()).find(|digits| digits.len() >= 32);
        assert_eq!(hash, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_speaks_another_transport_is_named() {
    let mock = mock("rfc8599", &[]).await;
    // Each waits for a handshake that never comes. Nothing is written, with or without permission to write.
    let (tls, wss, ws) = tokio::join!(
        doctor(&mock, "wonderland", &["--json", "--transport", "tls"]),
        doctor(&mock, "wonderland", &["--json", "--transport", "wss", "--write"]),
        doctor(&mock, "wonderland", &["--json", "--transport", "ws"]),
    );
    for (output, code) in [(tls, "tls"), (wss, "tls"), (ws, "websocket")] {
        let report = report(&output);
        assert_eq!((output.status.code(), codes(&report)), (Some(2), vec![code.to_owned()]), "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_and_websocket_the_bindings_are_read_first_and_a_call_is_made_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::default();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("the folder is ours");
    let ca = ca.to_str().expect("UTF-8");
    let config = authority.server(&[&rustls::version::TLS12, &rustls::version::TLS13]);
    let mock = mock("rfc8599", &[]).await;
    for (transport, front) in [
        ("tls", Front::tls(mock.addr(), config.clone()).await),
        ("ws", Front::ws(mock.addr()).await),
        ("wss", Front::wss(mock.addr(), config).await),
    ] {
        let server = format!("localhost:{}", front.addr().port());
        let more = ["--json", "--transport", transport, "--ca", ca, "--call", "--caller", "bob@mock.example"];
        let output = doctor_at(&server, &more).await;
        let report = report(&output);
        assert_eq!((output.status.code(), codes(&report)), (Some(0), Vec::new()), "{transport}: {report:#}");
        assert_eq!(step(&report, "read the bindings"), "0 bindings");
        assert!(step(&report, "call the sleeping phone").contains("stops when the caller gives up"), "{report:#}");
        assert!(step(&report, "log out").contains("logged out"), "{report:#}");
        assert!(mock.bindings("alice").await.is_empty(), "{transport}");
    }
    assert_eq!(mock.violations(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_judged_as_a_phone_does_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().expect("a key")).expect("an issuer");
    std::fs::write(&ca, authority.pem()).expect("the folder is ours");
    let ca = ca.to_str().expect("UTF-8");
    for (name, until, trusts, what, change) in [
        ("localhost", 2000, &["--ca", ca][..], "expired", "renew it"),
        ("other.example", 4000, &["--ca", ca], "not for this name", "subjectAltName"),
        ("", 4000, &["--ca", ca], "common name (CN) alone", "subjectAltName"),
        ("localhost", 4000, &[], "issued by an authority that is not trusted", "--ca"),
    ] {
        let names = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        let mut params = rcgen::CertificateParams::new(names).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("a certificate").der().clone();
        let (address, server) = tls_server(certificate, key.serialize_der(), "127.0.0.1:0").await.expect("loopback");
        let server_name = format!("localhost:{}", address.port());
        let output = doctor_at(&server_name, &[&["--json", "--transport", "tls"], trusts].concat()).await;
        let report = report(&output);
        assert_eq!((output.status.code(), codes(&report)), (Some(2), vec!["certificate".to_owned()]), "{report:#}");
        let finding = &report["findings"][0];
        let says = |field: &str, text: &str| finding[field].as_str().is_some_and(|said| said.contains(text));
        assert!(says("what", what) && says("change", change), "{finding:#}");
        server.abort();
    }
}

/// A server that shows a certificate and then stays silent; `None` if this machine does not have the address.
async fn tls_server(
    certificate: rustls::pki_types::CertificateDer<'static>,
    key: Vec<u8>,
    at: &str,
) -> Option<(std::net::SocketAddr, tokio::task::JoinHandle<()>)> {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring has them").with_no_client_auth().with_single_cert(vec![certificate], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.expect("they fit")));
    let listener = tokio::net::TcpListener::bind(at).await.ok()?;
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { drop(acceptor.accept(stream).await) });
        }
    });
    Some((address, server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_no_password_is_reported() {
    let mock = mock("rfc8599", &[]).await;
    mock.set_challenges(None, mock_gateway::Challenges::none()).await;
    let output = doctor(&mock, "wonderland", &["--json"]).await;
    assert_eq!((output.status.code(), codes(&report(&output))), (Some(1), vec!["no-authentication".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_tested_has_its_own_exit_code() {
    let mock = mock("rfc8599", &[]).await;
    let output = doctor(&mock, "wonderland", &["--path", "nope"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

const CALL: [&str; 4] = ["--json", "--call", "--caller", "bob@mock.example"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_wakes_the_sleeping_phone_and_the_callers_cancel_arrives() {
    for transport in ["udp", "tcp"] {
        let mock = mock("rfc8599", &[]).await;
        let output = doctor(&mock, "wonderland", &[&CALL[..], &["--transport", transport]].concat()).await;
        let report = report(&output);
        assert_eq!((output.status.code(), codes(&report)), (Some(0), vec![]), "{report:#}");
        let steps = report["steps"].as_array().expect("a list");
        let called = steps.iter().find(|step| step["step"] == "call the sleeping phone").expect("it was done");
        assert!(called["text"].as_str().is_some_and(|text| text.starts_with("rings ")), "{report:#}");
        assert!(mock.bindings("alice").await.is_empty());
        assert_eq!(mock.violations(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_wait_for_a_sleeping_phone_is_reported() {
    let mock = mock("rfc8599", &[]).await;
    let mut profile = Profile::named("rfc8599").expect("known");
    profile.hold = std::time::Duration::from_millis(500);
    mock.set_profile(None, profile).await;
    let output = doctor(&mock, "wonderland", &[&CALL[..], &["--transport", "tcp"]].concat()).await;
    let report = report(&output);
    assert!(codes(&report).contains(&"call-not-held".to_owned()), "{report:#}");
    assert_eq!(output.status.code(), Some(2));
    assert!(mock.bindings("alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_needs_a_caller_and_the_callers_password() {
    let mock = mock("rfc8599", &[]).await;
    let output = doctor(&mock, "wonderland", &["--call"]).await;
    assert_eq!(output.status.code(), Some(2), "clap's own: {output:?}");
    let output = doctor(&mock, "wonderland", &["--call", "--caller", "nobody@"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(mock.bindings("alice").await.is_empty(), "the doctor removes its bindings anyway");
}

fn step<'r>(report: &'r Value, name: &str) -> &'r str {
    let steps = report["steps"].as_array().expect("a list");
    let found = steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"));
    found["text"].as_str().expect("a text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_that_does_not_know_the_binding_is_reported() {
    let (first, apart) = (mock("rfc8599", &[]).await, mock("rfc8599", &[]).await);
    let second = async |to: &MockGateway| {
        report(&doctor(&first, "wonderland", &["--json", "--second", &to.addr().to_string()]).await)
    };
    let known = second(&first).await;
    assert_eq!((step(&known, "second gateway"), codes(&known)), ("knows the binding", vec![]));
    assert_eq!(codes(&second(&apart).await), ["gateways-apart"]);
    apart.set_habits(None, &[Habit::ChallengeMissing]).await;
    let refused = second(&apart).await;
    assert_eq!(codes(&refused), ["second-gateway"], "{refused:#}");
    assert!(first.bindings("alice").await.is_empty() && apart.bindings("alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_the_chosen_transport_fails_the_one_that_works_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let output = doctor_at(&address, &["--json"]).await;
    let report = report(&output);
    assert!(step(&report, "transports").contains(&format!("tcp: {address} is open")), "{report:#}");
    assert!(codes(&report).contains(&"another-transport".to_owned()), "{report:#}");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_expires_soon_is_reported_with_the_versions_of_tls() {
    let days = |days: i64| {
        let until = sipwake::now().wall.as_secs().cast_signed() + days * 86_400 + 3_600;
        let mut named = rcgen::CertificateParams::new(vec!["sip.example.com".to_owned()]).expect("a name");
        named.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(until.cast_unsigned());
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = named.self_signed(&key).expect("it signs itself");
        (certificate.der().clone(), key.serialize_der())
    };
    for (left, soon, at) in [(5, true, "127.0.0.1:0"), (200, false, "127.0.0.1:0"), (200, false, "[::1]:0")] {
        let (certificate, key) = days(left);
        let Some((address, server)) = tls_server(certificate, key, at).await else {
            assert!(at.starts_with('['), "loopback is there");
            continue;
        };
        let report = report(&doctor_at(&address.to_string(), &["--json", "--transport", "tls"]).await);
        let said = step(&report, "transports");
        let shown = format!("tls: {address} speaks TLS 1.3 and 1.2, its certificate is valid for {left} days");
        assert_eq!(said, shown, "{report:#}");
        assert_eq!(codes(&report).contains(&"certificate-ends-soon".to_owned()), soon, "{report:#}");
        server.abort();
    }
}

/// A TCP server that answers everything with this text.
async fn parrot(says: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 4096];
                while stream.read(&mut heard).await.is_ok_and(|length| length > 0)
                    && stream.write_all(says).await.is_ok()
                {}
            });
        }
    });
    (address, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_speaks_no_sip_is_reported_as_such_and_not_as_silent() {
    for (says, transport, code, change) in [
        (&[b'A'; 20_000][..], "tcp", "not-sip", "check the port"),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "ws",
            "websocket",
            "accepts the sub-protocol sip and the Origin",
        ),
    ] {
        let (address, server) = parrot(says).await;
        let output = doctor_at(&address, &["--json", "--transport", transport]).await;
        let report = report(&output);
        let fatal = &report["findings"][0];
        assert_eq!((output.status.code(), &fatal["code"]), (Some(2), &Value::from(code)), "{report:#}");
        assert!(fatal["change"].as_str().is_some_and(|said| said.contains(change)), "{report:#}");
        assert!(!codes(&report).contains(&"silent".to_owned()), "{report:#}");
        server.abort();
    }
}

/// A name server that knows one domain, whose SIP service is at this port.
fn name_server(port: u16) -> std::net::SocketAddr {
    use simple_dns::rdata::{A, NAPTR, RData, SRV};
    use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let Ok(asked) = Packet::parse(&buffer[..length]) else { continue };
            let Some(question) = asked.questions.first() else { continue };
            let name = |text| Name::new(text).expect("a name");
            let record = match (question.qname.to_string().as_str(), question.qtype) {
                ("sip.test", QTYPE::TYPE(TYPE::NAPTR)) => Some(RData::NAPTR(NAPTR {
                    order: 1,
                    preference: 1,
                    flags: "s".try_into().expect("short"),
                    services: "SIP+D2U".try_into().expect("short"),
                    regexp: "".try_into().expect("short"),
                    replacement: name("_sip._udp.sip.test"),
                })),
                ("_sip._udp.sip.test", QTYPE::TYPE(TYPE::SRV)) => {
                    Some(RData::SRV(SRV { priority: 1, weight: 1, port, target: name("one.sip.test") }))
                }
                ("one.sip.test", QTYPE::TYPE(TYPE::A)) => Some(RData::A(A { address: 0x7f00_0001 })),
                _ => None,
            };
            let mut answer = Packet::new_reply(asked.id());
            answer.set_flags(PacketFlag::RESPONSE);
            answer.questions.push(question.clone());
            let record = record.map(|data| ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, data));
            answer.answers.extend(record);
            let _ = socket.send_to(&answer.build_bytes_vec().expect("small"), from);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn naptr_and_srv_are_shown_and_followed() {
    let mock = mock("rfc8599", &[]).await;
    let dns = name_server(mock.addr().port()).to_string();
    let output = doctor_at("sip.test", &["--json", "--dns", &dns]).await;
    let report = report(&output);
    let found = step(&report, "find the server");
    let port = mock.addr().port();
    assert_eq!(
        found,
        format!(
            "NAPTR SIP+D2U to _sip._udp.sip.test; SRV _sip._udp to one.sip.test:{port}; no address; leads to 127.0.0.1:{port}"
        )
    );
    assert_eq!((output.status.code(), codes(&report)), (Some(0), vec![]), "{report:#}");
    let nobody = doctor_at("nobody.test", &["--json", "--dns", &dns]).await;
    assert_eq!((nobody.status.code(), codes(&self::report(&nobody))), (Some(2), vec!["no-address".to_owned()]));
}

/// What the doctor finds out about a habit by a call, and its code.
const BY_CALL: [(Habit, &str); 1] = [(Habit::AliasInTo, "alias-in-to")];

/// Runs the doctor against one habit. Returns its report.
async fn examine(habit: Habit) -> Value {
    let mock = mock("rfc8599", &[habit]).await;
    // Over UDP, a retransmission would get the slow response, and there is no connection to close and no transport to leave
    // out.
    let connected = matches!(habit, Habit::Slow | Habit::ClosesAfterwards | Habit::ContactShortened | Habit::NoPong);
    let transport = if connected { "tcp" } else { "udp" };
    let calls = BY_CALL.iter().any(|(known, _)| *known == habit);
    let more = if calls { &CALL[..] } else { &["--json"] };
    let output = doctor(&mock, "wonderland", &[more, &["--write", "--transport", transport]].concat()).await;
    let report = report(&output);
    assert_eq!(output.status.code().map(Value::from), Some(report["exit_code"].clone()), "{habit}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_habit_is_reported_and_listed_on_the_page() {
    let (room, mut running) = (Arc::new(Semaphore::new(6)), JoinSet::new());
    for (index, habit) in Habit::ALL.into_iter().enumerate() {
        let room = room.clone();
        running.spawn(async move {
            let _place = room.acquire().await.expect("it is open");
            (index, habit, examine(habit).await)
        });
    }
    let mut rows = vec![String::new(); Habit::ALL.len()];
    let (mut seen, mut missed) = (0, Vec::new());
    while let Some(done) = running.join_next().await {
        let (index, habit, report) = done.expect("no panic");
        let code = BY_CALL.iter().find(|(known, _)| *known == habit).map_or(habit.name(), |(_, code)| code);
        let finding = report["findings"].as_array().expect("a list").iter().find(|finding| finding["code"] == code);
        let unseen = UNSEEN.iter().find(|(unseen, _)| *unseen == habit);
        let (code, weight, change) = match (finding, unseen) {
            (Some(finding), None) => {
                let text = |name: &str| finding[name].as_str().expect("a text").to_owned();
                (format!("`{code}`"), text("weight"), text("change"))
            }
            (None, Some((_, why))) => ("not seen".to_owned(), String::new(), (*why).to_owned()),
            (Some(_), Some(_)) => {
                missed.push(format!("{habit} is seen after all"));
                continue;
            }
            (None, None) => {
                missed.push(format!("{habit}: {:?}, {report:#}", codes(&report)));
                continue;
            }
        };
        seen += usize::from(finding.is_some());
        rows[index] = format!("| {} | {code} | {weight} | {change} |\n", habit.does());
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(seen >= 30, "{seen}");
    let table = format!("| the server | finding | weight | what to change |\n|---|---|---|---|\n{}", rows.concat());
    let page = std::fs::read_to_string(DOC).expect("it is there");
    let (before, rest) = page.split_once(BEGIN).expect("the mark is there");
    let (listed, after) = rest.split_once(END).expect("the mark is there");
    if std::env::var_os("SIPWAKE_WRITE_DOCS").is_some() {
        return std::fs::write(DOC, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
    }
    assert_eq!(listed, table, "SIPWAKE_WRITE_DOCS=1 cargo test -p sipwake-cli --test doctor writes it again");
}
