//! The servers' control ports, as a phone's story uses them.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// A connection that asks one question at a time, or one that has subscribed to pushes.
pub(crate) struct Control {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Control {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("the control port: {error}"))?;
        let (reader, writer) = stream.into_split();
        Ok(Self { lines: BufReader::new(reader).lines(), writer })
    }

    /// Subscribes to what the push service delivers, which [`push`](Self::push) then returns.
    pub(crate) async fn pushes(address: SocketAddr) -> Result<Self, String> {
        let mut control = Self::connect(address).await?;
        control.ask(json!({"op": "subscribe", "what": ["pushes"]})).await?;
        Ok(control)
    }

    pub(crate) async fn ask(&mut self, request: Value) -> Result<Value, String> {
        let line = format!("{request}\n");
        self.writer.write_all(line.as_bytes()).await.map_err(|error| error.to_string())?;
        let answer = self.line().await?;
        if answer["ok"] == true { Ok(answer) } else { Err(format!("{request}: {answer}")) }
    }

    /// Returns the payload of the next push, or `None` if none comes for that long.
    pub(crate) async fn push(&mut self, patience: Duration) -> Result<Option<Value>, String> {
        match timeout(patience, self.line()).await {
            Ok(line) => line.map(|mut line| Some(line["push"]["payload"].take())),
            Err(_) => Ok(None),
        }
    }

    async fn line(&mut self) -> Result<Value, String> {
        let line = self.lines.next_line().await.map_err(|error| error.to_string())?;
        serde_json::from_str(&line.ok_or("the servers are gone")?).map_err(|error| error.to_string())
    }
}
