//! Servers that mean harm, on real sockets: bounded time, memory and requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sipwake::{AccountConfig, Client, Event, Events, Failure, FlowError, MemoryStore, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Listens, counts the requests that come, and lets `answer` do its worst with each.
async fn serve<F, A>(answer: F) -> (u16, Arc<AtomicUsize>)
where
    F: Fn(String, TcpStream, u16) -> A + Send + Sync + 'static,
    A: Future<Output = Option<TcpStream>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, counted) = (answer.clone(), counted.clone());
            tokio::spawn(async move {
                let mut stream = stream;
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    request.extend_from_slice(&piece[..length]);
                    if request.ends_with(b"\r\n\r\n") {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let text = String::from_utf8_lossy(&request).into_owned();
                        request.clear();
                        let Some(back) = answer(text, stream, port).await else { return };
                        stream = back;
                    }
                }
            });
        }
    });
    (port, requests)
}

fn response(request: &str, status: &str, lines: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text + lines + "Content-Length: 0\r\n\r\n"
}

async fn register(port: u16) -> (Client, Events) {
    let (client, events) = Client::start(Arc::new(MemoryStore::default()));
    let mut account = AccountConfig::new("sip:alice@example.com", "secret");
    account.gateways = vec![format!("127.0.0.1:{port}")];
    account.transport = Some(Transport::Tcp);
    let account = client.add_account(account, None).await.expect("a valid account");
    client.register(&account).await.expect("it was added");
    (client, events)
}

async fn outcome(events: &mut Events) -> Result<usize, Failure> {
    let wait = async {
        loop {
            match events.next().await.expect("the client runs") {
                Event::Registered { registered, .. } => return Ok(registered.contact.expose().len()),
                Event::RegistrationFailed { failure, .. } => return Err(failure),
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("an outcome in bounded time")
}

#[tokio::test]
async fn headers_without_end_close_the_connection() {
    let (port, requests) = serve(|_, mut stream, _| async move {
        stream.write_all(b"SIP/2.0 200 OK\r\n").await.ok()?;
        // Far more than is ever held; the peer closes long before.
        for _ in 0..100_000 {
            stream.write_all(&[b"X-Padding: ".as_slice(), &[b'a'; 1000], b"\r\n"].concat()).await.ok()?;
        }
        panic!("100 MB of headers were taken");
    })
    .await;
    let (_client, mut events) = register(port).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_not_waited_for() {
    let (port, _) = serve(|request, mut stream, _| async move {
        let text = response(&request, "200 OK", "").replace("Content-Length: 0", "Content-Length: 1073741824");
        stream.write_all(text.as_bytes()).await.ok()?;
        Some(stream)
    })
    .await;
    let (_client, mut events) = register(port).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Flow(FlowError::Garbage)));
}

#[tokio::test]
async fn ten_thousand_contacts_are_no_harm() {
    let (port, requests) = serve(|request, mut stream, _| async move {
        let mut lines = String::new();
        for index in 0..10_000 {
            lines.push_str(&format!("Contact: <sip:alice@192.0.2.1:{index}>;expires=60\r\n"));
        }
        stream.write_all(response(&request, "200 OK", &lines).as_bytes()).await.ok()?;
        Some(stream)
    })
    .await;
    let (_client, mut events) = register(port).await;
    let outcome = outcome(&mut events).await;
    assert!(matches!(outcome, Err(Failure::Flow(FlowError::Garbage)) | Ok(_)), "{outcome:?}");
    assert!(requests.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_challenge_for_ever_ends_after_a_few_requests() {
    let (port, requests) = serve(|request, mut stream, _| async move {
        static NONCE: AtomicUsize = AtomicUsize::new(0);
        let nonce = NONCE.fetch_add(1, Ordering::SeqCst);
        let challenge =
            format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\", stale=true\r\n");
        stream.write_all(response(&request, "401 Unauthorized", &challenge).as_bytes()).await.ok()?;
        Some(stream)
    })
    .await;
    let (_client, mut events) = register(port).await;
    let outcome = outcome(&mut events).await;
    assert!(matches!(outcome, Err(Failure::Unanswerable(_))), "{outcome:?}");
    sleep(Duration::from_millis(300)).await;
    assert!(requests.load(Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn a_redirect_to_itself_ends_after_a_few_requests() {
    let (port, requests) = serve(|request, mut stream, port| async move {
        let contact = format!("Contact: <sip:127.0.0.1:{port};transport=tcp>\r\n");
        stream.write_all(response(&request, "302 Moved", &contact).as_bytes()).await.ok()?;
        Some(stream)
    })
    .await;
    let (_client, mut events) = register(port).await;
    assert_eq!(outcome(&mut events).await, Err(Failure::Circles));
    sleep(Duration::from_millis(300)).await;
    assert!(requests.load(Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn an_answer_in_drips_is_still_an_answer() {
    let (port, requests) = serve(|request, mut stream, _| async move {
        for byte in response(&request, "200 OK", "Expires: 600\r\n").bytes() {
            stream.write_all(&[byte]).await.ok()?;
            stream.flush().await.ok()?;
            tokio::task::yield_now().await;
        }
        Some(stream)
    })
    .await;
    let (_client, mut events) = register(port).await;
    assert!(outcome(&mut events).await.is_ok());
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
