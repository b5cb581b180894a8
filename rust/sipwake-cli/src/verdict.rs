//! `sipwake verdict`: what a registrar's response says about push, for another SIP stack that sends the REGISTER.

use clap::Args;
use sipwake::Verdict;

use crate::input;
use crate::settings::PushSettings;

#[derive(Args)]
pub(crate) struct Options {
    /// A file with the response to the REGISTER as text, or - for standard input
    #[arg(default_value = "-")]
    file: String,
    #[command(flatten)]
    push: PushSettings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let push = options.push.parse()?;
    let bytes = input::read(&options.file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "the response is not text in UTF-8".to_owned())?;
    let (status, headers) = response(text)?;
    let verdict = push.verdict(status, headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if options.json {
        println!("{}", serde_json::to_value(&verdict).map_err(|error| error.to_string())?);
    } else {
        show(&verdict);
    }
    Ok(())
}

/// Prints a verdict for people.
pub(crate) fn show(verdict: &Verdict) {
    println!("push: {:?}: {}", verdict.standing, verdict.text());
    if let Some(seconds) = verdict.refresh_lead {
        println!("an app that can start without a push must refresh {seconds} s before the binding expires");
    }
    if let Some(key) = &verdict.vapid {
        println!("the server's key for web push: {key}");
    }
    if verdict.piid_withheld {
        println!("X-PIID was left out: the transport can be read by others (--allow-cleartext-secrets sends it)");
    }
}

/// Reads the status and the header fields of a SIP response. Header fields may be folded (RFC 3261 section 7.3.1).
fn response(text: &str) -> Result<(u16, Vec<(String, String)>), String> {
    let mut lines = text.trim_start().lines();
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.split(' ').next())
        .filter(|code| code.len() == 3)
        .and_then(|code| code.parse().ok())
        .filter(|code| (100..700).contains(code))
        .ok_or("the input must begin with a SIP status line, such as SIP/2.0 200 OK")?;
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        match line.split_once(':') {
            _ if line.starts_with([' ', '\t']) => match headers.last_mut() {
                Some((_, value)) => value.extend([" ", line.trim()]),
                None => return Err("the first header line begins with white space".to_owned()),
            },
            Some((name, value)) => headers.push((name.trim().to_owned(), value.trim().to_owned())),
            None => return Err(format!("this line is not a header field: {}", line.escape_debug())),
        }
    }
    let other = |(name, value): &(String, String)| {
        name.eq_ignore_ascii_case("CSeq") && value.split_ascii_whitespace().next_back() != Some("REGISTER")
    };
    if headers.iter().any(other) {
        return Err("the response is not to a REGISTER: CSeq names another method".to_owned());
    }
    if status < 200 {
        return Err(format!("{status} is not a final response: wait for the one that follows"));
    }
    Ok((status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_header_is_read_whole_and_a_body_is_not_read() {
        let text = "SIP/2.0 200 OK\r\nFeature-Caps: *\r\n  ;+sip.pns=\"fcm\"\r\n\r\nnot: a header\r\n";
        let (status, headers) = response(text).expect("a response");
        assert_eq!(status, 200);
        assert_eq!(headers, [("Feature-Caps".to_owned(), "* ;+sip.pns=\"fcm\"".to_owned())]);
    }

    #[test]
    fn only_a_final_response_is_accepted() {
        for text in [
            "",
            "REGISTER sip:a SIP/2.0\r\n\r\n",
            "SIP/2.0 20 OK",
            "SIP/2.0 100 Trying\r\n\r\n",
            "SIP/2.0 200 OK\r\nx",
            "SIP/2.0 200 OK\r\ncseq: 7 INVITE\r\n\r\n",
        ] {
            assert!(response(text).is_err(), "{text:?}");
        }
    }
}
