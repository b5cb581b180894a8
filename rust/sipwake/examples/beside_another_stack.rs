//! Beside PJSIP, Linphone or a SIP stack of your own, which registers and takes the calls: `cargo run --example
//! beside_another_stack`. No socket is opened, and no runtime is needed.
#![allow(clippy::print_stdout)]

use std::error::Error;

use sipwake::{Binding, Channel, Hints, Provider, Push, PushConfig, Standing, parse_push};

fn main() -> Result<(), Box<dyn Error>> {
    let push = Push::parse(PushConfig::new(Provider::Fcm, "my-project"))?;

    // 1. What the REGISTER of the other stack must carry.
    let token = push.parse_token(Some("c-10:APA91bExample"), None)?.ok_or("no token yet: register without push")?;
    let tags = push.tags(Binding::Token(&token));
    println!("Contact: <sip:alice@192.0.2.7{}>{}", tags.uri_params_text(), tags.contact_params_text());
    for header in &tags.headers {
        println!("{}: {}", header.name, header.value.as_deref().unwrap_or_default());
    }

    // 2. What the response to it says about push.
    let verdict = push.verdict(200, [("Feature-Caps", "*;+sip.pns=\"fcm\"")]);
    println!("push: {}", verdict.text());
    if verdict.standing != Standing::Confirmed {
        return Err("the server confirmed it, and sipwake did not see that".into());
    }

    // 3. What a push asks for: the stack registers when one comes, whatever it says.
    let payload = br#"{"ntype":"0","nfrom":"1234","nto":"alice"}"#.as_slice();
    let action = parse_push(payload, Channel::FcmAndroid, &Hints::at(sipwake::now()));
    println!("{:?} from {:?}: {:?}", action.kind, action.caller, action.duty);

    // 4. At log-out: the tags that take the binding back.
    let tags = push.tags(Binding::LoggedOut(Some(&token)));
    println!("Contact: <sip:alice@192.0.2.7{}>{};expires=0", tags.uri_params_text(), tags.contact_params_text());
    Ok(())
}
