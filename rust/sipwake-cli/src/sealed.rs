//! `sipwake push-key`, `seal` and `unseal`: pushes that nobody on their path can read.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sipwake::core::sealed::{PUSH_KEYS, PushKeys};
use sipwake::{FileStore, StateStore};

use crate::input;

#[derive(Args)]
pub(crate) struct KeyOptions {
    /// The folder with the keys
    #[arg(long, value_name = "FOLDER")]
    state_dir: PathBuf,
    /// Make a new key. The former one still opens pushes for 30 days
    #[arg(long)]
    rotate: bool,
    /// Import a key from a server, as ID:KEY with 32 bytes in base64url. With ID alone, the command reads the key from
    /// standard input, so that no process list shows it
    #[arg(long, value_name = "ID[:KEY]", conflicts_with = "rotate")]
    import: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct SealOptions {
    /// A file with the payload as JSON, or - for standard input
    file: String,
    /// The phone's public key, from `sipwake push-key`
    #[arg(long, requires = "auth", required_unless_present = "key_id")]
    p256dh: Option<String>,
    /// The phone's auth secret
    // Base64url may begin with a hyphen.
    #[arg(long, requires = "p256dh", allow_hyphen_values = true)]
    auth: Option<String>,
    /// Seal with the imported key of this name
    #[arg(long, requires = "key", conflicts_with = "p256dh")]
    key_id: Option<String>,
    /// That key: 32 bytes in base64url
    #[arg(long, requires = "key_id", allow_hyphen_values = true)]
    key: Option<String>,
}

#[derive(Args)]
pub(crate) struct UnsealOptions {
    /// A file with a payload that has `sealed`, or with only that text; or - for standard input
    file: String,
    /// The folder with the keys
    #[arg(long, value_name = "FOLDER")]
    state_dir: PathBuf,
}

fn open(folder: &PathBuf) -> Result<(FileStore, PushKeys), String> {
    let at = |error: &dyn std::fmt::Display| format!("--state-dir {}: {error}", folder.display());
    let store = FileStore::open(folder).map_err(|error| at(&error))?;
    let keys = match store.load(PUSH_KEYS).map_err(|error| at(&error))? {
        Some(record) => PushKeys::from_record(&record).map_err(|error| at(&format!("{PUSH_KEYS}: {error}")))?,
        None => PushKeys::default(),
    };
    Ok((store, keys))
}

fn fill(bytes: &mut [u8]) {
    sipwake::fill_random(bytes);
}

pub(crate) fn push_key(options: &KeyOptions) -> Result<(), String> {
    let (store, mut keys) = open(&options.state_dir)?;
    if let Some(import) = &options.import {
        let (id, key) = match import.split_once(':') {
            Some((id, key)) => (id, key.to_owned()),
            None => (import.as_str(), String::from_utf8_lossy(&input::read("-")?).into_owned()),
        };
        keys.import(id, &key).map_err(|error| format!("--import: {error}"))?;
    }
    let public = match &options.import {
        Some(_) => keys.public(),
        None if options.rotate => Some(keys.rotate(sipwake::now().wall, fill)),
        None => Some(keys.create(fill)),
    };
    store.save(PUSH_KEYS, &keys.to_record()).map_err(|error| error.to_string())?;
    match public {
        Some(public) if options.json => println!("{}", json!({ "p256dh": public.p256dh, "auth": public.auth })),
        Some(public) => {
            println!("p256dh: {}", public.p256dh);
            println!("auth:   {}", public.auth);
        }
        None => println!("the key is stored"),
    }
    Ok(())
}

pub(crate) fn seal(options: &SealOptions) -> Result<(), String> {
    let content = input::read(&options.file)?;
    let object: Result<serde_json::Map<_, _>, _> = serde_json::from_slice(&content);
    object.map_err(|error| format!("{}: must be a JSON object: {error}", options.file))?;
    let sealed = match (&options.p256dh, &options.auth, &options.key_id, &options.key) {
        (Some(p256dh), Some(auth), ..) => mock_gateway::seal::sealed(p256dh, auth, &content),
        (.., Some(id), Some(key)) => mock_gateway::seal::with_shared_key(id, key, &content),
        _ => Err("give --p256dh and --auth, or --key-id and --key".to_owned()),
    };
    println!("{}", json!({ "sealed": sealed? }));
    Ok(())
}

pub(crate) fn unseal(options: &UnsealOptions) -> Result<(), String> {
    let (_, mut keys) = open(&options.state_dir)?;
    let bytes = input::read(&options.file)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        // As web push and UnifiedPush deliver it.
        let opened = keys.open_body(&bytes, sipwake::now().wall).map_err(|error| error.to_string())?;
        println!("{}", json!(opened));
        return Ok(());
    };
    let payload: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let sealed = match &payload {
        Some(value) => {
            let found = ["/sealed", "/data/sealed"].iter().find_map(|path| value.pointer(path));
            found.and_then(|sealed| sealed.as_str()).ok_or_else(|| format!("{}: has no \"sealed\"", options.file))?
        }
        None => text,
    };
    let opened = keys.open(sealed, sipwake::now().wall).map_err(|error| error.to_string())?;
    println!("{}", json!(opened));
    Ok(())
}
