//! A thousand devices and one gateway that restarts.

use simulation::fleet::{Disaster, Patience, play};

#[test]
fn after_a_restart_a_fleet_comes_back_at_a_tenth_of_the_peak_of_one_that_does_not_wait() {
    let waits = play(1000, Disaster::GatewayRestart, Patience::BackOff, None);
    let hurries = play(1000, Disaster::GatewayRestart, Patience::EverySecond, None);
    assert!(waits.peak() * 10 <= hurries.peak(), "{} of {}", waits.peak(), hurries.peak());
    assert!(waits.back[2].is_some(), "not all came back");
}

#[test]
fn after_a_change_of_radio_cell_a_fleet_that_waits_needs_fewer_requests() {
    let waits = play(1000, Disaster::CellChange, Patience::BackOff, None);
    let hurries = play(1000, Disaster::CellChange, Patience::EverySecond, None);
    assert!(waits.total() * 2 <= hurries.total(), "{} of {}", waits.total(), hurries.total());
    assert!(waits.back[2].is_some(), "not all came back");
}
