//! What a recording holds, and what a replay finds. The driver of the stories checks that each story replays to the same
//! end.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sipwake_core::account::Transport;
use sipwake_core::digest::{Algorithm, Credentials, RealmHa1, ha1};
use sipwake_core::event::Answer;
use sipwake_core::push::{Dialect, Provider, PushToken};
use sipwake_core::record::Version;
use sipwake_core::redact::Secret;
use sipwake_core::replay::{Recording, RecordingError};

use crate::incoming::{CALL, call, invite, request};
use crate::support::{CHALLENGE, Sent, Stage, account, fcm, over, push_config, response, rfc8599, seconds, token};

fn recorded(stage: &mut Stage) -> String {
    stage.agent.recording().expect("each story is recorded")
}

fn refused(file: &str) -> RecordingError {
    Recording::read(file.as_bytes()).expect_err("it is not a recording")
}

/// Collects the secrets of a message that was sent.
fn keep_secrets(sent: &Sent, secrets: &mut Vec<String>) {
    secrets.extend(sent.auth("response").map(str::to_owned));
    secrets.extend(sent.header("X-PIID").map(str::to_owned));
}

/// The whole life of a binding, with every secret in it.
fn life(password: &str, first: &PushToken, second: &PushToken, transport: Transport) -> (Vec<String>, Vec<String>) {
    let config = || {
        account(|config| {
            config.credentials = Credentials::Password(Secret::new(password));
            config.transport = Some(transport);
            config.send_piid = Some(true);
            config.allow_cleartext_secrets = true;
            config.realm = Some("asterisk".into());
        })
    };
    let push = || Some(push_config(Provider::Fcm, &[Dialect::XMpush, Dialect::Rfc8599]));
    let mut secrets = vec![password.to_owned(), ha1(Algorithm::Md5, "alice", "asterisk", password).expose().to_owned()];
    secrets.extend([first, second].iter().filter_map(|token| token.call().map(str::to_owned)));
    let mut files = Vec::new();

    let mut stage = Stage::new(config(), push());
    stage.set_token(first.clone());
    let asks = stage.register();
    stage.reply(&asks, 401, &[CHALLENGE]);
    let answers = stage.one();
    keep_secrets(&answers, &mut secrets);
    let proof = "0123456789abcdef0123456789abcdef";
    secrets.push(proof.to_owned());
    let told = format!("Authentication-Info: qop=auth, rspauth=\"{proof}\", nextnonce=\"n2\"");
    stage.ok(&answers, &[&told]);
    stage.all();
    stage.set_token(second.clone());
    for sent in stage.all() {
        keep_secrets(&sent, &mut secrets);
        stage.ok(&sent, &[]);
    }
    stage.push(CALL);
    for sent in stage.all() {
        keep_secrets(&sent, &mut secrets);
        stage.ok(&sent, &[]);
    }
    let keys = ["S3cretMediaKeyNumberOneOfTwo1234567890AA", "IcePasswordThatNobodyKnows1234"].map(str::to_owned);
    let sdp = format!("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}\r\na=ice-pwd:{}\r\n", keys[0], keys[1]);
    stage.input(request("INVITE", "call-1", "call-1", "1234", "Content-Type: application/sdp\r\n", &sdp));
    let ringing = *call(&stage).last().expect("it rings");
    stage.agent.answer(ringing, stage.now);
    stage.agent.accept(ringing, Answer::sdp(sdp), stage.now);
    stage.drain();
    let chat = "an evening that is nobody else's";
    stage.input(request("MESSAGE", "m", "m", "1234", "Content-Type: text/plain\r\n", chat));
    secrets.extend(keys);
    secrets.push(chat.to_owned());
    stage.all();
    files.push(recorded(&mut stage));

    // The next process gets its store, and the one after that the log-out.
    let mut stage = stage.restart(config(), push());
    for sent in stage.all() {
        keep_secrets(&sent, &mut secrets);
    }
    stage.log_out();
    stage.all().iter().for_each(|sent| keep_secrets(sent, &mut secrets));
    files.push(recorded(&mut stage));
    let mut stage = Stage::without_account(stage.store.clone(), stage.now, 3);
    stage.advance(seconds(60));
    stage.all().iter().for_each(|sent| keep_secrets(sent, &mut secrets));
    files.push(recorded(&mut stage));
    (files, secrets)
}

#[test]
fn a_recording_holds_no_secret() {
    let letters = "[A-Za-z0-9]{12,40}";
    let tokens = "[a-zA-Z0-9_-]{22}:APA91b[A-Za-z0-9_%-]{100,140}";
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let transports = prop_oneof![Just(Transport::Udp), Just(Transport::Tcp), Just(Transport::Ws)];
    let lives = (letters, tokens, tokens, transports);
    let result = runner.run(&lives, |(password, first, second, transport)| {
        let (files, secrets) = life(&password, &fcm(&first), &fcm(&second), transport);
        for file in files {
            let lower = file.to_lowercase();
            for secret in &secrets {
                prop_assert!(!lower.contains(&secret.to_lowercase()), "{} in\n{}", secret, file);
                // And no large part of it, escaped or not.
                let part: String = secret.chars().take(24).collect();
                prop_assert!(part.len() < 24 || !lower.contains(&part.to_lowercase()), "{} in\n{}", part, file);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_token_that_comes_in_two_pieces_or_changed_by_the_server_is_masked_too() {
    let secret = "c-10:APA91bQuiteALongTokenAsTheyAreThatNobodyMayRead";
    let mut stage = Stage::new(over(Transport::Tcp), rfc8599());
    stage.set_token(fcm(secret));
    let sent = stage.register();
    let own = sent.contact();
    let (before, rest) = own.split_once("pn-prid=").expect("the token");
    let (value, after) = rest.split_at(rest.find([';', '>']).expect("the URI ends"));
    let changed = value.to_uppercase().replace(':', "%3A");
    let text = response(&sent, 200, "OK", &[&format!("Contact: {before}pn-prid={changed}{after};expires=3600")]);
    let cut = text.find(&changed).expect("it is listed") + 20;
    stage.input(&text[..cut]);
    stage.input(&text[cut..]);
    let file = recorded(&mut stage);
    for part in ["QUITEALONG", "QuiteALong", "NobodyMayRead", "NOBODYMAYREAD"] {
        assert!(!file.contains(part), "{part} in\n{file}");
    }
}

#[test]
fn a_valid_server_proof_is_valid_in_the_replay_too() {
    // RFC 3261's digest by hand, without the method: HA1 of Alice, asterisk and secret.
    let proof = |nonce: &str, cnonce: &str| {
        let ha1 = ha1(Algorithm::Md5, "alice", "asterisk", "secret");
        let ha2 = md5(":sip:example.com");
        md5(&format!("{}:{nonce}:00000001:{cnonce}:auth:{ha2}", ha1.expose()))
    };
    let mut stage = Stage::new(account(|config| config.require_server_proof = true), None);
    let first = stage.register();
    stage.reply(&first, 401, &["WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"n1\", qop=\"auth\""]);
    let second = stage.one();
    let right = proof("n1", second.auth("cnonce").expect("with qop"));
    stage.ok(&second, &[&format!("Authentication-Info: qop=auth, rspauth=\"{right}\"")]);
    assert_eq!(stage.registrations().len(), 1, "{:?}", stage.failures());
    let file = recorded(&mut stage);
    assert!(!file.contains(&right) && file.contains(&"r".repeat(32)), "{file}");
    let played = Recording::read(file.as_bytes()).expect("its own").play();
    assert!(played.difference.is_none() && played.decisions.iter().any(|noted| noted.name == "registered"));
    // With another password the proof would be wrong.
    let wrong = file.replace(&"r".repeat(32), &"w".repeat(32));
    assert!(Recording::read(wrong.as_bytes()).expect("a recording").play().difference.is_some());
}

fn md5(text: &str) -> String {
    // HA1 of one part each: `H(a ":" b ":" c)` joins by colons.
    let mut parts = text.splitn(3, ':');
    let [a, b, c] = [(); 3].map(|()| parts.next().expect("three parts"));
    ha1(Algorithm::Md5, a, b, c).expose().to_owned()
}

#[test]
fn ha1_values_are_masked_and_still_answer_challenges() {
    let known = ha1(Algorithm::Md5, "alice", "asterisk", "secret");
    let credentials = vec![RealmHa1 { realm: "asterisk".into(), algorithm: Algorithm::Md5, ha1: known.clone() }];
    let mut stage = Stage::new(account(|config| config.credentials = Credentials::Ha1(credentials)), None);
    stage.registered();
    assert!(!recorded(&mut stage).contains(known.expose()));
}

#[test]
fn a_replay_says_where_the_core_decides_differently() {
    let mut stage = Stage::bound();
    stage.input(invite("c", "1234"));
    let file = recorded(&mut stage);
    let played = |file: &str| Recording::read(file.as_bytes()).expect("a recording").play();
    assert_eq!(played(&file).difference, None);
    let line = |needle: &str| file.lines().position(|line| line.contains(needle)).expect("it is there") + 1;

    let rings = file.replace("180 Ringing", "182 Queued");
    let difference = played(&rings).difference.expect("another answer");
    assert_eq!(difference.line, line("180 Ringing"));
    assert!(difference.recorded.contains("182 Queued") && difference.replayed.contains("180 Ringing"), "{difference}");

    let decided =
        file.replace("\"name\":\"ringing\"", "\"name\":\"connected\"").replace("\"code\":504", "\"code\":506");
    let difference = played(&decided).difference.expect("another decision");
    assert!(difference.recorded.contains("connected") && difference.replayed.contains("ringing"), "{difference}");

    let draws: Vec<&str> = file.lines().filter(|line| line.contains("\"drawn\":[\"")).collect();
    let drawn = draws[0].split("\"drawn\":[\"").nth(1).and_then(|rest| rest.get(..16)).expect("a token");
    let shorter = file.replacen(&format!("\"{drawn}\","), "", 1);
    assert_ne!(shorter, file);
    assert!(played(&shorter).difference.is_some());
}

#[test]
fn a_file_that_is_no_recording_of_this_version_is_refused_with_the_reason() {
    let mut stage = Stage::bound();
    let file = recorded(&mut stage);
    let this = Version::this().to_string();
    let older = refused(&file.replacen(&this, "0.0.9", 1));
    assert_eq!(
        older.to_string(),
        format!("sipwake 0.0.9 recorded it, and this is {this}: replay it with sipwake 0.0.9")
    );
    assert_eq!(refused(&file.replacen("_replay\":1", "_replay\":2", 1)), RecordingError::OtherForm(2));
    for foreign in ["", "\n", "{}", "hello\n", "{\"sipwake_report\":1}\n", "[1]\n"] {
        assert_eq!(refused(foreign), RecordingError::Foreign, "{foreign:?}");
    }
    let lines = file.lines().count();
    assert_eq!(refused(&file[..file.trim_end().rfind('\n').expect("lines") + 1]), RecordingError::Torn(lines - 1));
    assert_eq!(refused(file.trim_end()), RecordingError::Torn(lines - 1));
    let wrong = |from: &str, to: &str| refused(&file.replacen(from, to, 1)).to_string();
    let unknown = wrong("\"in\":{\"register\":", "\"in\":{\"rejister\":");
    assert!(unknown.contains("unknown variant `rejister`"), "{unknown}");
    // The position is one in the file, not in the line.
    assert!(unknown.ends_with(')') && unknown.contains(" (column ") && !unknown.contains("at line 1"), "{unknown}");
    assert!(wrong("{\"start\":", "{\"loaded\":").starts_with("line 2: "));
    let time =
        file.lines().nth(2).and_then(|line| line.split("\"boot\":").nth(1)).and_then(|rest| rest.split(',').next());
    let back = file.replacen(&format!("\"boot\":{}", time.expect("a time")), "\"boot\":99999999999999", 1);
    assert!(refused(&back).to_string().ends_with("the boot time goes back"));
    let draws = file.split("\"drawn\":[\"").nth(1).and_then(|rest| rest.get(..16)).expect("a token");
    assert_eq!(wrong(draws, "x\\r\\nEvil: header").split(": ").nth(1), Some("no such draw can be made"));
}

#[test]
fn a_recording_ends_at_its_limit_and_says_so() {
    let mut stage = Stage::bound();
    for number in 0..2_000 {
        stage.input(invite(&format!("c{number}"), "1234"));
        stage.all();
    }
    let file = recorded(&mut stage);
    assert!(file.len() < 1_000_000, "{}", file.len());
    let played = Recording::read(file.as_bytes()).expect("its own").play();
    assert!(played.full && played.difference.is_none() && played.steps.len() < 4_000, "{:?}", played.difference);
}

#[test]
fn an_apns_token_is_masked_in_either_case() {
    let secret = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
    let mut stage = Stage::new(account(|_| {}), Some(push_config(Provider::Apns, &[Dialect::Rfc8599])));
    stage.set_token(token(&Provider::Apns, &secret.to_uppercase()));
    stage.registered();
    let file = recorded(&mut stage).to_lowercase();
    assert!(!file.contains(&secret[..20]), "{file}");
}

/// A developer who has a recording of a fault puts it there. The core must still decide what an earlier version decided.
#[test]
fn each_recording_in_the_folder_replays_to_the_same_end() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/replays");
    let files = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("readable").path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ext| ext == "sipreplay")).collect();
    assert!(!files.is_empty());
    for path in files {
        let file = std::fs::read_to_string(&path).expect("a text");
        let (_, steps) = file.split_once('\n').expect("lines");
        let file = format!("{{\"sipwake_replay\":1,\"version\":\"{}\"}}\n{steps}", Version::this());
        let recording = Recording::read(file.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let played = recording.play();
        assert!(played.difference.is_none(), "{}: {}", path.display(), played.difference.expect("there is one"));
    }
}
