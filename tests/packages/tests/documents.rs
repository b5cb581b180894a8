//! What the documents say about files in the repository: each link works, and each shown file matches the real one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Its links lead to pages that are built with the site. `scripts/site` follows them there.
const OF_THE_SITE_ALONE: &str = "docs/reference.md";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The documents in the repository, with their paths.
fn documents() -> Vec<(PathBuf, String)> {
    // A file in a src folder is part of a program, such as the frame of a page that the program writes.
    const NO_DOCUMENTS: [&str; 4] = ["target", ".git", ".build", "src"];
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && !path.is_symlink() && !NO_DOCUMENTS.iter().any(|skipped| name == *skipped) {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&repository(), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        (path.strip_prefix(repository()).expect("within it").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// Lines outside code blocks, without the text between backticks.
fn prose(text: &str) -> Vec<String> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("``"));
        }
    }
    lines
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(text: &str) -> Vec<String> {
    let targets = |line: String| {
        line.split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned()))
            .collect::<Vec<_>>()
    };
    prose(text).into_iter().flat_map(targets).collect()
}

/// The anchors of a page: each heading as GitHub and mdBook write it.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let heading = |line: &str| {
        let kept = |c: char| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        };
        line.trim_start_matches('#').trim().to_lowercase().chars().filter_map(kept).collect()
    };
    text.lines()
        .filter(|line| {
            in_block ^= line.trim_start().starts_with("```");
            !in_block && line.starts_with('#')
        })
        .map(heading)
        .collect()
}

#[test]
fn each_link_within_the_repository_works() {
    let mut dead = Vec::new();
    let mut followed = 0;
    for (path, text) in documents().into_iter().filter(|(path, _)| path != Path::new(OF_THE_SITE_ALONE)) {
        for link in links(&text).into_iter().filter(|link| !link.contains(':') && link != "adr/index.md") {
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let page = repository().join(&path);
            let target = if file.is_empty() { page } else { page.parent().expect("a folder").join(file) };
            if !target.exists() {
                dead.push(format!("{}: {link} is not there", path.display()));
            } else if !anchor.is_empty() && !anchors(&fs::read_to_string(&target).expect("a text")).contains(anchor) {
                dead.push(format!("{}: {link} has no such heading", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(followed > 100, "{followed} links: are they still recognised?");
}

#[test]
fn a_file_shown_on_a_page_matches_the_file() {
    let mut wrong = Vec::new();
    let mut shown = 0;
    for (path, text) in documents() {
        for (at, _) in text.match_indices("\n<!-- ") {
            let Some((name, rest)) = text[at + 6..].split_once(" -->\n") else { continue };
            let Some(block) = rest.strip_prefix("```") else { continue };
            if name.contains(char::is_whitespace) || !name.contains('/') {
                continue;
            }
            let (_, block) = block.split_once('\n').expect("a fence ends its line");
            let block = block.split_once("\n```").expect("a block has an end").0;
            shown += 1;
            match fs::read_to_string(repository().join(name)) {
                Ok(file) if file.trim_end() == block.trim_end() => {}
                Ok(_) => wrong.push(format!("{}: shows another {name}", path.display())),
                Err(error) => wrong.push(format!("{}: {name}: {error}", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown >= 6, "{shown} files are shown: are they still recognised?");
}

#[test]
fn each_page_that_the_book_lists_is_there() {
    let book = fs::read_to_string(repository().join("docs/SUMMARY.md")).expect("docs/SUMMARY.md");
    // scripts/site writes the list of decisions.
    let listed: BTreeSet<String> = links(&book).into_iter().filter(|page| page != "adr/index.md").collect();
    let missing: Vec<_> = listed.iter().filter(|page| !repository().join("docs").join(page).is_file()).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md lists what is not there: {missing:?}");
}

#[test]
fn each_call_that_the_readme_shows_is_one_of_the_client() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md");
    let api = fs::read_to_string(repository().join("docs/api/sipwake.txt")).expect("docs/api/sipwake.txt");
    let block = readme.split("```rust\n").nth(1).expect("a block of Rust").split("```").next().expect("its end");
    let calls: Vec<_> =
        block.split("lient.").chain(block.split("Client::")).filter_map(|rest| rest.split_once('(')).collect();
    let shown: Vec<_> = calls
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'))
        .collect();
    assert!(shown.len() >= 7, "{shown:?}: are they still recognised?");
    let unknown: Vec<_> = shown
        .iter()
        .filter(|name| !api.contains(&format!("Client::{name}(")) && !api.contains(&format!("Client::{name}<")))
        .collect();
    assert!(unknown.is_empty(), "README.md calls what the client does not have: {unknown:?}");
}
