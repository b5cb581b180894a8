//! Makes a failing story short.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::promises::Broken;
use crate::script::Script;
use crate::world::{Outcome, run};

/// Plays a story. A panic of the core is a broken promise like any other (the eighth).
pub fn play(script: &Script) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(script))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("a panic: {}", text.unwrap_or_default());
        Outcome { broken: Some(Broken { at: 0, promise: 8, what }), simulated: 0, registers: 0, fingerprint: 0 }
    })
}

/// Leaves out everything that is not needed to break the same promise.
pub fn shrink(script: &Script) -> Script {
    let promise = |script: &Script| play(script).broken.map(|broken| broken.promise);
    let Some(wanted) = promise(script) else { return script.clone() };
    let mut best = script.clone();
    let mut size = best.happenings.len();
    while size > 0 {
        let mut at = 0;
        while at < best.happenings.len() {
            let mut shorter = best.clone();
            shorter.happenings.drain(at..(at + size).min(best.happenings.len()));
            if promise(&shorter) == Some(wanted) {
                best = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    for calmer in [
        |script: &mut Script| script.setting.loss = 0,
        |script: &mut Script| script.setting.duplication = 0,
        |script: &mut Script| script.setting.delay = (5, 30),
        |script: &mut Script| script.setting.keep_alive = None,
        |script: &mut Script| script.setting.push_loss = 0,
        |script: &mut Script| script.setting.push_gap = 0,
        |script: &mut Script| script.setting.accounts = 1,
    ] {
        let mut shorter = best.clone();
        calmer(&mut shorter);
        let in_range = shorter.setting.accounts == best.setting.accounts;
        if in_range && promise(&shorter) == Some(wanted) {
            best = shorter;
        }
    }
    for habit in best.setting.habits.clone() {
        let mut shorter = best.clone();
        shorter.setting.habits.retain(|known| *known != habit);
        if promise(&shorter) == Some(wanted) {
            best = shorter;
        }
    }
    best
}
