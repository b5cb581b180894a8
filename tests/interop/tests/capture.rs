//! Debian's tshark reads the output of `--pcap`.

use std::process::Command;

use serde_json::Value;

#[test]
fn tshark_reads_the_capture_of_a_demo_and_finds_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("demo.pcapng");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "sipwake-cli", "--", "demo", "--json", "--pcap"]).arg(&file);
    let demo = command.output().expect("cargo is here");
    assert!(demo.status.success(), "{demo:?}");
    let mut read = Command::new("tshark");
    read.arg("-r").arg(&file).args(["-T", "json", "-e", "sip.Method", "-e", "sip.Status-Code", "-e", "ip.src"]);
    let read = read.output().expect("tshark is here: scripts/tools/kamailio installs it");
    assert!(read.status.success(), "{read:?}");
    let packets: Vec<Value> = serde_json::from_slice(&read.stdout).expect("JSON");
    let has = |field: &str, value: &str| packets.iter().any(|packet| packet["_source"]["layers"][field][0] == value);
    for method in ["REGISTER", "INVITE", "CANCEL", "ACK", "BYE"] {
        assert!(has("sip.Method", method), "{method}");
    }
    for status in ["200", "401", "487"] {
        assert!(has("sip.Status-Code", status), "{status}");
    }
    assert!(has("ip.src", "192.0.2.1") && has("ip.src", "192.0.2.2"));
    let malformed =
        Command::new("tshark").arg("-r").arg(&file).args(["-Y", "_ws.malformed"]).output().expect("tshark is here");
    assert_eq!(String::from_utf8_lossy(&malformed.stdout), "");
    let bytes = std::fs::read(&file).expect("it was written");
    assert!(!bytes.windows(20).any(|window| window == b"APA91bFirstTokenOfTh"), "a token");
}
