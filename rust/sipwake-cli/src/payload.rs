//! `sipwake payload`: what a push means.

use std::io::Read;

use clap::{Args, ValueEnum};
use sipwake::{Channel, Hints, parse_push};

#[derive(Args)]
pub(crate) struct Options {
    /// A file with the payload as JSON; - reads standard input
    file: String,
    /// How the push came
    #[arg(long, value_enum, default_value = "fcm")]
    channel: ChannelName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ChannelName {
    /// FCM on Android
    Fcm,
    /// PushKit
    Pushkit,
    /// FCM on iOS
    FcmIos,
    /// An APNs alert
    Apns,
    /// Web push
    Web,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut bytes = Vec::new();
    if options.file == "-" {
        std::io::stdin().take(1 << 20).read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
    } else {
        bytes = std::fs::read(&options.file).map_err(|error| format!("{}: {error}", options.file))?;
    }
    let channel = match options.channel {
        ChannelName::Fcm => Channel::FcmAndroid,
        ChannelName::Pushkit => Channel::PushKit,
        ChannelName::FcmIos => Channel::FcmIos,
        ChannelName::Apns => Channel::ApnsAlert,
        ChannelName::Web => Channel::WebPush,
    };
    let action = parse_push(bytes.as_slice(), channel, &Hints::at(sipwake::now()));
    let value = serde_json::to_value(&action).map_err(|error| error.to_string())?;
    if options.json {
        println!("{value}");
    } else {
        show(&value, 0);
    }
    Ok(())
}

/// Prints an object as indented lines, without what is absent.
fn show(value: &serde_json::Value, depth: usize) {
    let serde_json::Value::Object(fields) = value else { return };
    for (name, value) in fields {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::Object(_) => {
                println!("{:depth$}{name}:", "");
                show(value, depth + 2);
            }
            serde_json::Value::String(text) => println!("{:depth$}{name}: {text}", ""),
            other => println!("{:depth$}{name}: {other}", ""),
        }
    }
}
