//! The reports of the simulation's phones: each failed wake has a cause, and no report names anybody.

use std::collections::BTreeMap;

use simulation::{Script, run_reported};
use sipwake_explain::Explanation;

#[test]
fn each_failed_wake_of_80_lives_has_a_cause_and_no_name() {
    let (mut wakes, mut failed) = (0, BTreeMap::<&str, usize>::new());
    for seed in 0..80 {
        let (_, Some(report)) = run_reported(&Script::from_seed(seed)) else { continue };
        let text = report.to_json();
        assert!(text.len() < 600 * 1024, "seed {seed}: {} bytes", text.len());
        for personal in ["sip:", "@", "192.", "token", "example"] {
            assert!(
                !text.replace("\"token\":", "").replace("token-changed", "").contains(personal),
                "seed {seed}: {personal} in {text}"
            );
        }
        let explanation = Explanation::of(text.as_bytes()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        wakes += explanation.wakes().len();
        for wake in explanation.wakes().iter().filter(|wake| !wake.outcome().is_well()) {
            let causes = explanation.causes(wake);
            let cause = causes.first().unwrap_or_else(|| panic!("seed {seed}: no cause\n{}", explanation.text()));
            *failed.entry(cause.code).or_default() += 1;
        }
        assert!(explanation.html().ends_with("</html>\n") && explanation.svg().ends_with("</svg>\n"));
    }
    let all: usize = failed.values().sum();
    assert!(wakes > 80 && all > 8 && failed.len() >= 3, "{wakes} wakes, {failed:?}");
}
