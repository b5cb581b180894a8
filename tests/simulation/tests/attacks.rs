//! Stories with an attacker on clear networks, at the push service and at the other end of calls.
#![allow(clippy::print_stdout, reason = "how often it attacked")]

use simulation::{Attack, Happening, Script, play, run_shown};

/// `SIMULATION_ATTACKS` sets the number of stories.
fn seeds() -> u64 {
    let asked = std::env::var("SIMULATION_ATTACKS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(200)
}

#[test]
fn no_attacker_gets_a_secret_to_a_foreign_host_or_silences_an_invite() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let count = seeds();
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (first..count).step_by(threads as usize) {
                    let script = Script::attacked(seed);
                    if let Some(broken) = play(&script).broken {
                        panic!("attacked seed {seed}: {broken}\n{}", script.to_text());
                    }
                }
            });
        }
    });
}

#[test]
fn the_attackers_messages_reach_the_phone() {
    const LIVES: u64 = 25;
    let mut seen = [0; 6];
    let mut attacked = [0; 2];
    for seed in 0..LIVES {
        let script = Script::attacked(seed);
        let attacks = || {
            script.happenings.iter().filter_map(|(_, happening)| match happening {
                Happening::Attack(attack) => Some(attack),
                _ => None,
            })
        };
        attacked[0] += u64::from(attacks().any(|attack| matches!(attack, Attack::Answers(..))));
        attacked[1] += u64::from(attacks().any(|attack| matches!(attack, Attack::Pushes(..))));
        let mut show = |line: &str| {
            let marks = [
                "forged push",
                "<- SIP/2.0 302 Forged",
                "<- SIP/2.0 401 Forged",
                "RedirectRefused",
                "AuthUriRefused",
                "CallChallengeRefused",
            ];
            for (count, mark) in seen.iter_mut().zip(marks) {
                *count += usize::from(line.contains(mark));
            }
        };
        run_shown(&script, Some(&mut show));
    }
    println!(
        "of {LIVES} lives, {} have forged answers and {} forged pushes; the phone heard {seen:?}",
        attacked[0], attacked[1]
    );
    assert!(attacked.iter().all(|lives| *lives > LIVES * 9 / 10), "{attacked:?}");
    assert!(seen.iter().all(|count| *count >= 2), "{seen:?}");
}
