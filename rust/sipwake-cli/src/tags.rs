//! `sipwake tags`: for whoever builds the REGISTER with another SIP stack.

use clap::Args;
use serde_json::json;
use sipwake::core::push::Tag;
use sipwake::{Binding, Push};

use crate::settings::PushSettings;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    push: PushSettings,
    /// The device token; without one, the tags that unbind are printed
    #[arg(long)]
    token: Option<String>,
    /// The alert token of an iPhone, for the dialects that carry two
    #[arg(long)]
    alert_token: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let push = Push::parse(options.push.config()).map_err(|error| error.to_string())?;
    let token = push
        .parse_token(options.token.as_deref(), options.alert_token.as_deref())
        .map_err(|error| error.to_string())?;
    let tags = push.tags(token.as_ref().map_or(Binding::Unbound, Binding::Token));
    if options.json {
        let list =
            |tags: &[Tag]| tags.iter().map(|tag| json!({"name": tag.name, "value": tag.value})).collect::<Vec<_>>();
        println!(
            "{}",
            json!({
                "headers": list(&tags.headers),
                "uri_params": list(&tags.uri_params),
                "contact_params": list(&tags.contact_params),
            })
        );
        return Ok(());
    }
    for header in &tags.headers {
        println!("{}: {}", header.name, header.value.as_deref().unwrap_or_default());
    }
    println!("Contact: <sip:user@host{}>{}", tags.uri_params_text(), tags.contact_params_text());
    Ok(())
}
