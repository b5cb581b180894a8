//! What reaches a phone from outside: pushes that claim to be sealed for it, and the headers of another SIP stack.

use sipwake_core::account::{Account, AccountConfig};
use sipwake_core::beside::{Companion, Heard, Invite, Output};
use sipwake_core::event::Ended;
use sipwake_core::payload::{Channel, Hints, parse_push_with_keys};
use sipwake_core::push::{Provider, Push, PushConfig};
use sipwake_core::sealed::PushKeys;

use crate::{MAX_OUTPUTS, NOW};

/// The phone's keys: the pair from RFC 8291's example, and a key from a server.
fn keys() -> PushKeys {
    const SECRET: [u8; 32] = [
        0xab, 0x57, 0x57, 0xa7, 0x0d, 0xd4, 0xa5, 0x3e, 0x55, 0x3a, 0x6b, 0xbf, 0x71, 0xff, 0xef, 0xea, 0x28, 0x74,
        0xec, 0x07, 0xa6, 0xb3, 0x79, 0xe3, 0xc4, 0x8f, 0x89, 0x5a, 0x02, 0xdc, 0x33, 0xde,
    ];
    const AUTH: [u8; 16] =
        [0x05, 0x30, 0x59, 0x32, 0xa1, 0xc7, 0xea, 0xbe, 0x13, 0xb6, 0xce, 0xc9, 0xfd, 0xa4, 0x88, 0x82];
    let mut keys = PushKeys::default();
    keys.create(|bytes| bytes.copy_from_slice(if bytes.len() == 32 { &SECRET } else { &AUTH }));
    keys.import("pbx-1", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").expect("32 bytes");
    keys
}

/// A sealed push: as a body, as the text of its field, and as a payload.
pub fn sealed(data: &[u8]) {
    let mut keys = keys();
    let _ = keys.open_body(data, NOW.wall);
    let _ = keys.open(&String::from_utf8_lossy(data), NOW.wall);
    for channel in [Channel::FcmAndroid, Channel::PushKit, Channel::WebPush] {
        let action = parse_push_with_keys(&mut keys, data, channel, &Hints::at(NOW));
        let must = action.is_none_or(|action| channel != Channel::PushKit || action.must_be_reported());
        assert!(must, "every VoIP push must be reported to CallKit");
    }
}

/// Steps of a stack beside the companion, one per line: the status of a response to REGISTER, `I` for an INVITE, `C` for a CANCEL, `P` for
/// a push, `L` for a log-out; then header fields, separated by `|`.
pub fn beside(data: &[u8]) {
    let account = Account::parse(AccountConfig::new("sip:alice@example.com", "secret")).expect("valid");
    let push = Push::parse(PushConfig::new(Provider::Fcm, "app")).expect("valid");
    let token = push.parse_token(Some("c-10:APA91b"), None).expect("valid").expect("a token");
    let mut companion = Companion::new([7; 32], None, NOW);
    let alice = companion.add_account(account, Some(push), None, NOW).expect("room");
    companion.set_token(&alice, token, NOW).expect("known");
    let (text, mut call) = (String::from_utf8_lossy(data), None);
    for line in text.lines().take(40) {
        let (step, rest) = line.split_once(' ').unwrap_or((line, ""));
        // Folded lines, too.
        let folded = rest.replace('~', "\r\n ");
        let headers: Vec<_> = folded.split('|').filter_map(|field| field.split_once(':')).collect();
        match step {
            "I" => {
                let invited = companion.invited(&alice, &headers, NOW);
                if let Ok(Invite::Ring { call: rings, .. } | Invite::Accept { call: rings }) = invited {
                    call = Some(rings);
                }
            }
            "C" => {
                if let Some(Ok(Some(how))) = call.map(|call| companion.cancelled(call, &headers, NOW)) {
                    assert_ne!(how, Ended::Missed);
                    call = None;
                }
            }
            "P" => drop(companion.push(rest, Channel::FcmAndroid, &Hints::at(NOW))),
            "L" => drop(companion.log_out(&alice, NOW)),
            status => {
                let _ = companion.register_tags(&alice, NOW);
                let status = status.parse().unwrap_or_default();
                let _ = companion.heard(&alice, &Heard::new(status, &headers), NOW);
            }
        }
        let mut outputs = 0;
        while let Some(output) = companion.poll_output() {
            outputs += 1;
            assert!(outputs < MAX_OUTPUTS, "the outputs never end");
            if let Output::Save(record) = output {
                companion.handle_saved(record.id, Ok(()), NOW);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sipwake_core::payload::parse_push;

    use super::*;

    #[test]
    fn the_seeds_reach_the_sealed_content() {
        let seeds = crate::corpus("sealed");
        let opens = |seed: &Vec<u8>| {
            let action = parse_push_with_keys(&mut keys(), &seed[..], Channel::WebPush, &Hints::at(NOW));
            action.map(|action| (action.is_call(), format!("{:?}", action.problem)))
        };
        let read: Vec<_> = seeds.iter().filter_map(opens).collect();
        assert!(read.iter().any(|(is_call, _)| *is_call), "{read:?}");
        assert!(
            read.iter().any(|(_, problem)| problem.contains("Unreadable")),
            "RFC 8291's plaintext is not JSON: {read:?}"
        );
        assert!(!parse_push(&seeds[0][..], Channel::WebPush, &Hints::at(NOW)).is_call());
    }
}
