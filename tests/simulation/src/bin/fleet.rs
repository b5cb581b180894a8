//! `fleet`: writes `docs/fleet.md` and `docs/fleet.svg`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::alloc::System;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use simulation::fleet::{Course, Disaster, Patience, play, plot};
use simulation::processor_time;
use stats_alloc::{Region, StatsAlloc};

#[global_allocator]
static HEAP: StatsAlloc<System> = StatsAlloc::system();

const HELP: &str = "fleet [--devices N] [--hurried N] [--docs FOLDER]: up to N devices (1000000), in powers of ten from 1000; \
                    without back-off up to --hurried (100000), since that takes fifty times the REGISTERs";
/// How many seconds the picture shows.
const DRAWN: usize = 300;

struct Row {
    devices: u32,
    disaster: Disaster,
    waits: Course,
    hurries: Option<Course>,
    seconds: f64,
}

fn main() -> ExitCode {
    let (mut most, mut hurried, mut docs) = (1_000_000, 100_000, PathBuf::from("docs"));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--devices", Some(count)) if count.parse::<u32>().is_ok_and(|count| count >= 1000) => {
                most = count.parse().unwrap_or(most);
            }
            ("--hurried", Some(count)) if count.parse::<u32>().is_ok() => hurried = count.parse().unwrap_or(hurried),
            ("--docs", Some(folder)) => docs = folder.into(),
            _ => {
                println!("{HELP}");
                return ExitCode::from(64);
            }
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    let sizes = || (3..).map(|power| 10u32.pow(power)).take_while(|devices| *devices <= most);
    // Quick runs come first, and the page is written after each run, so that a run that ends early has its page, too.
    for devices in sizes() {
        for disaster in [Disaster::GatewayRestart, Disaster::CellChange] {
            let (waits, seconds) = timed(devices, disaster, Patience::BackOff);
            println!("{devices} devices, {}: peak {} with back-off; {seconds:.1} s", title(disaster), waits.peak());
            rows.push(Row { devices, disaster, waits, hurries: None, seconds });
            if !written(&docs, &rows) {
                return ExitCode::FAILURE;
            }
        }
    }
    for index in 0..rows.len() {
        let Row { devices, disaster, .. } = rows[index];
        if devices <= hurried {
            let (hurries, seconds) = timed(devices, disaster, Patience::EverySecond);
            println!("{devices} devices, {}: peak {} without; {seconds:.1} s", title(disaster), hurries.peak());
            rows[index].hurries = Some(hurries);
            if !written(&docs, &rows) {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn written(docs: &Path, rows: &[Row]) -> bool {
    // The largest fleet with both lines.
    let compared = |disaster| {
        rows.iter().filter(move |row| row.disaster == disaster).max_by_key(|row| (row.hurries.is_some(), row.devices))
    };
    let panels: Vec<_> = [Disaster::GatewayRestart, Disaster::CellChange]
        .into_iter()
        .filter_map(compared)
        .map(|row| plot::Panel {
            title: format!("{} devices, {}: REGISTERs a second", row.devices, title(row.disaster)),
            lines: lines(row),
        })
        .collect();
    let written = std::fs::write(docs.join("fleet.svg"), plot::svg(&panels, DRAWN))
        .and_then(|()| std::fs::write(docs.join("fleet.md"), page(rows)));
    if let Err(error) = &written {
        println!("{}: {error}", docs.display());
    }
    written.is_ok()
}

fn timed(devices: u32, disaster: Disaster, patience: Patience) -> (Course, f64) {
    let began = processor_time();
    let region = Region::new(&HEAP);
    let live = || {
        let stats = region.change();
        stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
    };
    (play(devices, disaster, patience, Some(&live)), (processor_time() - began).as_secs_f64())
}

fn lines(row: &Row) -> Vec<(&'static str, &Course)> {
    let hurries = row.hurries.as_ref().map(|course| ("every second", course));
    std::iter::once(("back-off", &row.waits)).chain(hurries).collect()
}

fn title(disaster: Disaster) -> &'static str {
    match disaster {
        Disaster::GatewayRestart => "the gateway restarts",
        Disaster::CellChange => "all change cell",
    }
}

fn page(rows: &[Row]) -> String {
    let mut page = String::from(include_str!("../fleet/page.md"));
    page.push('\n');
    for disaster in [Disaster::GatewayRestart, Disaster::CellChange] {
        let _ = write!(page, "## When {}\n\n{TABLE}", title(disaster));
        for row in rows.iter().filter(|row| row.disaster == disaster) {
            for (name, course) in lines(row) {
                let back = course.back.map(|at| at.map_or("not in 1800".to_owned(), |seconds| seconds.to_string()));
                let _ = writeln!(
                    page,
                    "| {} | {name} | {} | {} | {:.1} | {} | {} | {} |",
                    row.devices,
                    row.devices / 50,
                    course.peak(),
                    course.total() as f64 / f64::from(row.devices),
                    back[0],
                    back[1],
                    back[2]
                );
            }
        }
        page.push('\n');
    }
    page.push_str("## Memory and cost\n\n| devices | bytes a device | resident, bytes a device | seconds of processor time | µs a device |\n|---:|---:|---:|---:|---:|\n");
    for row in rows.iter().filter(|row| row.disaster == Disaster::GatewayRestart) {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.2} | {:.0} |",
            row.devices,
            row.waits.bytes_per_device.unwrap_or(0),
            // Below that, most of the memory is the program itself.
            row.waits
                .resident_per_device
                .filter(|_| row.devices >= 100_000)
                .map_or("–".to_owned(), |bytes| bytes.to_string()),
            row.seconds,
            row.seconds * 1e6 / f64::from(row.devices)
        );
    }
    page.push_str(include_str!("../fleet/closing.md"));
    page
}

const TABLE: &str = "| devices | tries again | gateway's capacity, 1/s | peak, 1/s | REGISTERs a device | half back, s | 99 % back, s | all back, s |\n\
                     |---:|---|---:|---:|---:|---:|---:|---:|\n";
