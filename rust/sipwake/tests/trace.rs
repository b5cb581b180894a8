//! A trace of a stream shows whole messages, in whatever pieces they were read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sipwake::{AccountConfig, Client, Event, MemoryStore, Options, Provider, PushConfig, Trace, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TOKEN: &str = "c-10:APA91bTheWholeTokenThatNobodyMaySee";

#[derive(Default)]
struct Seen(Mutex<Vec<(bool, String)>>);

impl Trace for Seen {
    fn message(&self, sent: bool, _: u64, text: &str) {
        self.0.lock().expect("not poisoned").push((sent, text.to_owned()));
    }
}

impl Seen {
    fn all(&self) -> Vec<(bool, String)> {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// Answers a REGISTER with a 200 that is split inside its token, and appends an OPTIONS to it.
async fn serve(listener: TcpListener) {
    let (mut socket, _) = listener.accept().await.expect("the client comes");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let length = socket.read(&mut chunk).await.expect("a REGISTER");
        request.extend_from_slice(&chunk[..length]);
    }
    let request = String::from_utf8(request).expect("text");
    let copied = request.lines().filter(|line| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"].iter().any(|name| line.starts_with(name))
    });
    let copied: String = copied.map(|line| format!("{line}\r\n")).collect();
    let answer = format!("SIP/2.0 200 OK\r\n{copied}Expires: 600\r\nContent-Length: 0\r\n\r\n");
    let cut = answer.find("WholeToken").expect("the Contact names the token");
    let options = "OPTIONS sip:alice@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKo\r\n\
        From: <sip:bob@mock.example>;tag=b\r\nTo: <sip:alice@mock.example>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\n\
        Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    socket.write_all(&answer.as_bytes()[..cut]).await.expect("it leaves");
    tokio::time::sleep(Duration::from_millis(200)).await;
    socket.write_all(format!("{}{options}", &answer[cut..]).as_bytes()).await.expect("it leaves");
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_message_in_pieces_is_traced_once_and_completely_without_its_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(serve(listener));
    let seen = Arc::new(Seen::default());
    let options = Options::default().trace(seen.clone());
    let (client, mut events) = Client::start_with(Arc::new(MemoryStore::default()), options);
    let mut account = AccountConfig::new("sip:alice@mock.example", "secret");
    account.gateways = vec![address];
    account.transport = Some(Transport::Tcp);
    let push = PushConfig::new(Provider::Fcm, "project");
    let account = client.add_account(account, Some(push)).await.expect("a sound account");
    client.set_token(&account, TOKEN).await.expect("a sound token");
    client.register(&account).await.expect("it was added");

    let registered = async { while !matches!(events.next().await, Some(Event::Registered { .. })) {} };
    tokio::time::timeout(Duration::from_secs(60), registered).await.expect("in time");
    let answered = async {
        while !seen.all().iter().any(|(sent, text)| *sent && text.contains("CSeq: 1 OPTIONS")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("in time");
    let received: Vec<String> = seen.all().into_iter().filter(|(sent, _)| !sent).map(|(_, text)| text).collect();
    assert_eq!(received.len(), 2, "{received:#?}");
    assert!(received[0].starts_with("SIP/2.0 200 OK") && received[0].contains("Expires: 600"), "{}", received[0]);
    assert!(received[1].starts_with("OPTIONS sip:alice@127.0.0.1"), "{}", received[1]);
    assert!(!seen.all().iter().any(|(_, text)| text.contains("WholeToken") || text.contains("NobodyMaySee")));
}
