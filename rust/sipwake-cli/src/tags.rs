//! `sipwake tags`: for another SIP stack that builds the REGISTER.

use clap::Args;
use serde_json::{Value, json};
use sipwake::core::push::{Tag, Tags};
use sipwake::{Binding, Push, PushToken};

use crate::settings::{self, PushSettings};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    push: PushSettings,
    /// The device token to bind or, with --unbind or --log-out, the bound one
    #[arg(long)]
    token: Option<String>,
    /// The alert token of an iPhone, for the dialects that carry two
    #[arg(long)]
    alert_token: Option<String>,
    /// The former token. The command also prints the tags that remove its binding
    #[arg(long, value_name = "TOKEN", requires = "token", conflicts_with_all = ["unbind", "log_out"])]
    old_token: Option<String>,
    /// Print the tags that end push and keep the registration
    #[arg(long, conflicts_with = "log_out")]
    unbind: bool,
    /// Print the tags that end push and the registration
    #[arg(long)]
    log_out: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One Contact that the REGISTER must carry.
struct Contact {
    tags: Tags,
    /// The server must forget it.
    removed: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let push = options.push.parse()?;
    let token = settings::token(&push, "--token", options.token.as_deref(), options.alert_token.as_deref())?;
    let old = settings::token(&push, "--old-token", options.old_token.as_deref(), None)?;
    let contacts = plan(&push, token.as_ref(), old.as_ref(), options)?;
    let headers = contacts.first().map(|contact| contact.tags.headers.as_slice()).unwrap_or_default();
    let expires = options.log_out.then_some(0);
    if options.json {
        println!("{}", as_json(headers, &contacts, expires));
    } else {
        for header in headers {
            println!("{}: {}", header.name, header.value.as_deref().unwrap_or_default());
        }
        for Contact { tags, removed } in &contacts {
            let expires = if *removed && expires.is_none() { ";expires=0" } else { "" };
            println!("Contact: <sip:user@host{}>{}{expires}", tags.uri_params_text(), tags.contact_params_text());
        }
        if let Some(expires) = expires {
            println!("Expires: {expires}");
        }
    }
    if token.is_some() {
        options.push.tell_assumed_package();
    }
    Ok(())
}

/// Returns the Contacts of the one REGISTER. The first is the one whose header fields count.
fn plan(
    push: &Push,
    token: Option<&PushToken>,
    old: Option<&PushToken>,
    options: &Options,
) -> Result<Vec<Contact>, String> {
    let kept = |binding| Contact { tags: push.tags(binding), removed: false };
    let gone = |token| Contact { tags: push.tags(Binding::LoggedOut(token)), removed: true };
    let Some(token) = token else {
        return match (options.push.speaks_only_xmpush(), options.unbind, options.log_out) {
            (true, _, true) => Ok(vec![gone(None)]),
            (true, _, false) => Ok(vec![kept(Binding::Unbound)]),
            (false, true, _) => {
                Err("--unbind needs --token: a server knows a binding by the token that was bound".into())
            }
            (false, _, true) => {
                Err("--log-out needs --token: a server knows a binding by the token that was bound".into())
            }
            (false, false, false) => {
                Err("--token is missing; to end push, add --unbind or --log-out and the token that was bound".into())
            }
        };
    };
    if options.log_out {
        return Ok(vec![gone(Some(token))]);
    }
    let mut first = kept(if options.unbind { Binding::Unbound } else { Binding::Token(token) });
    let left = if options.unbind { Some(token) } else { old };
    let Some(left) = left.map(|token| gone(Some(token))) else { return Ok(vec![first]) };
    if options.unbind {
        // PortSIP needs the token in an unbinding.
        first.tags.headers.clone_from(&left.tags.headers);
    }
    // If the removal names no Contact of its own, the first Contact removes it. A null beside a live token could remove
    // that token.
    let names_another = (!left.tags.uri_params.is_empty() || !left.tags.contact_params.is_empty())
        && !left.tags.uri_params.iter().any(|tag| tag.value.as_deref() == Some("null"));
    Ok(if names_another { vec![first, left] } else { vec![first] })
}

fn as_json(headers: &[Tag], contacts: &[Contact], expires: Option<u32>) -> Value {
    let list = |tags: &[Tag]| tags.iter().map(|tag| json!({"name": tag.name, "value": tag.value})).collect::<Vec<_>>();
    let contact = |Contact { tags, removed }: &Contact| {
        json!({
            "uri_params": list(&tags.uri_params),
            "contact_params": list(&tags.contact_params),
            "removed": removed,
        })
    };
    let first = contacts.first().map(&contact).unwrap_or_default();
    json!({
        "headers": list(headers),
        "uri_params": first["uri_params"],
        "contact_params": first["contact_params"],
        "contacts": contacts.iter().map(contact).collect::<Vec<_>>(),
        "expires": expires,
    })
}
