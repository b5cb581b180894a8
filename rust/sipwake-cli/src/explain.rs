//! `sipwake explain`: why a phone did not ring.

use std::path::PathBuf;

use clap::Args;
use sipwake_explain::Explanation;

use crate::input;

#[derive(Args)]
pub(crate) struct Options {
    /// A file with a report from client.report(), or - for standard input
    file: String,
    /// Write one page, with a ladder for each wake
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Draw the wakes as a ladder
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let file = input::read_up_to(&options.file, MAX_REPORT)?;
    let explanation = Explanation::of(&file).map_err(|error| format!("{}: {error}", options.file))?;
    for (path, page) in
        [(&options.html, Explanation::html as fn(&Explanation) -> String), (&options.svg, Explanation::svg)]
    {
        if let Some(path) = path {
            std::fs::write(path, page(&explanation)).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    if options.json {
        println!("{:#}", explanation.json());
    } else {
        println!("{}", explanation.text().trim_end());
    }
    Ok(())
}

/// A report has four megabytes at most.
const MAX_REPORT: u64 = 4 << 20;
