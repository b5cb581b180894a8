//! `sipwake gateway`: the mock alone.

use std::net::SocketAddr;

use clap::Args;
use mock_gateway::{Config, MockGateway, Profile, control};
use serde_json::json;

#[derive(Args)]
pub(crate) struct Options {
    /// Where to listen for SIP over UDP and TCP; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:5060")]
    listen: SocketAddr,
    /// Where to listen for the control protocol (JSON lines)
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// What kind of server to be
    #[arg(long, default_value = "mizutech", value_parser = Profile::NAMES)]
    profile: String,
    /// A user and its password; may be given many times
    #[arg(long = "user", value_name = "NAME:PASSWORD", default_value = "alice:wonderland")]
    users: Vec<String>,
    /// Print the addresses as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Result<(), String> {
    let profile = Profile::named(&options.profile).ok_or("unknown profile")?;
    let mut config = Config { listen: options.listen, ..Config::new(profile) };
    for user in &options.users {
        let (name, password) = user.split_once(':').ok_or("--user takes NAME:PASSWORD")?;
        config = config.user(name, password);
    }
    let mock =
        MockGateway::start(config).await.map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let control = control::listen(&mock, options.control).await.map_err(|error| format!("control port: {error}"))?;
    if options.json {
        println!("{}", json!({"address": mock.addr().to_string(), "control": control.to_string()}));
    } else {
        println!("SIP over UDP and TCP on {}, as a {} server", mock.addr(), options.profile);
        println!("control port (JSON lines) on {control}");
        println!("Ctrl-C ends it");
    }
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = mock.stopped() => Ok(()),
    }
}
