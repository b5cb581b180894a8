//! A store of your own, here in one file that is replaced as a whole: `cargo run --example own_store`.
//!
//! An app keeps the records where its platform keeps secrets. [`StateStore`] says what a store must guarantee.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sipwake::{AccountConfig, Client, Event, StateStore, StoreError};

/// Line by line `KEY HEX`. One writer at a time: nothing here keeps a second process away, as [`sipwake::FileStore`] does.
struct OneFile {
    path: PathBuf,
    writing: Mutex<()>,
}

type Records = BTreeMap<String, Vec<u8>>;

impl OneFile {
    fn read(&self) -> Result<Records, StoreError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Records::new()),
            // It cannot be read now. It is not empty, and must not be called so.
            Err(error) => return Err(error.into()),
        };
        text.lines().map(|line| record(line).ok_or_else(|| StoreError("a line is damaged".into()))).collect()
    }

    /// Changes the records, and returns when they are on the disk.
    fn change(&self, change: impl FnOnce(&mut Records)) -> Result<(), StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = self.read()?;
        change(&mut records);
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        for (key, bytes) in records {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(file, "{key} {hex}")?;
        }
        file.sync_all()?;
        Ok(fs::rename(&new, &self.path)?)
    }
}

fn record(line: &str) -> Option<(String, Vec<u8>)> {
    let (key, hex) = line.split_once(' ')?;
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
    Some((key.to_owned(), bytes.collect::<Option<_>>()?))
}

impl StateStore for OneFile {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read()?.remove(key))
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.change(|records| _ = records.insert(key.to_owned(), bytes.to_vec()))
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.change(|records| _ = records.remove(key))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(OneFile { path: folder.path().join("records"), writing: Mutex::default() });

    let (client, mut events) = Client::start(store.clone());
    let mut config = AccountConfig::new("sip:alice@example.com", "wonderland");
    config.gateways = vec!["127.0.0.1:9".to_owned()]; // nothing listens there: the log-out stays pending
    let account = client.add_account(config, None).await?;
    client.register(&account).await?;
    // What was never sent needs no removal: wait until a REGISTER went out, and into nowhere.
    while !matches!(events.next().await, Some(Event::RegistrationFailed { .. }) | None) {}
    println!("log-out: {:?}", client.log_out(&account).await?);
    client.shutdown().await;

    let records = store.read()?;
    println!("kept under {:?}", records.keys());
    if records.is_empty() { Err("nothing was stored".into()) } else { Ok(()) }
}
