//! `sipwake payload`: what a push means.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sipwake::core::payload::{AppState, Priority, Problem};
use sipwake::{Channel, Hints, parse_push};

use crate::input;

#[derive(Args)]
pub(crate) struct Options {
    /// A file with the payload as JSON, or - for standard input
    file: String,
    /// The channel by which the push came
    #[arg(long, value_enum, default_value = "fcm")]
    channel: ChannelName,
    /// The priority with which FCM delivered it. Only high lets an Android app start a foreground service
    #[arg(long, value_enum)]
    priority: Option<PriorityName>,
    /// The priority that the server asked FCM for
    #[arg(long, value_enum)]
    sent_priority: Option<PriorityName>,
    /// What the app was doing when the push came
    #[arg(long, value_enum)]
    app_state: Option<StateName>,
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

#[derive(Clone, Copy, ValueEnum)]
enum PriorityName {
    High,
    Normal,
}

impl From<PriorityName> for Priority {
    fn from(name: PriorityName) -> Self {
        match name {
            PriorityName::High => Self::High,
            PriorityName::Normal => Self::Normal,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum StateName {
    /// The user is looking at it
    Foreground,
    /// It runs in the background
    Background,
    /// The push started it
    NotRunning,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let bytes = input::read(&options.file)?;
    let channel = match options.channel {
        ChannelName::Fcm => Channel::FcmAndroid,
        ChannelName::Pushkit => Channel::PushKit,
        ChannelName::FcmIos => Channel::FcmIos,
        ChannelName::Apns => Channel::ApnsAlert,
        ChannelName::Web => Channel::WebPush,
    };
    let received = sipwake::now();
    let mut hints = Hints::at(received);
    hints.delivered_priority = options.priority.map(Priority::from);
    hints.original_priority = options.sent_priority.map(Priority::from);
    hints.app_state = match options.app_state {
        None => AppState::Unknown,
        Some(StateName::Foreground) => AppState::Foreground,
        Some(StateName::Background) => AppState::Background,
        Some(StateName::NotRunning) => AppState::NotRunning,
    };
    let action = parse_push(bytes.as_slice(), channel, &hints);
    let mut value = serde_json::to_value(&action).map_err(|error| error.to_string())?;
    // Boot time means nothing outside the process that read it.
    if let Some(fields) = value.as_object_mut() {
        fields.remove("deadline_ms");
        let left = action.deadline.map(|deadline| deadline.saturating_sub(received.boot));
        fields.insert("deadline_in_seconds".to_owned(), json!(left.map(|left: Duration| left.as_secs())));
    }
    if options.json {
        println!("{value}");
    } else {
        show(&value, 0);
    }
    match action.problem {
        Some(problem @ (Problem::Empty | Problem::Unreadable | Problem::TooLarge)) => Err(problem.to_string()),
        _ => Ok(()),
    }
}

/// Prints an object as indented lines. Fields that are null are left out.
fn show(value: &Value, depth: usize) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(_) => {
                println!("{:depth$}{name}:", "");
                show(value, depth + 2);
            }
            Value::String(text) => println!("{:depth$}{name}: {text}", ""),
            other => println!("{:depth$}{name}: {other}", ""),
        }
    }
}
