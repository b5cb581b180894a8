//! The pictures of `docs/architecture.md` show the real modules of the core, and steps of a push that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The lowest band: its modules may use each other freely.
const KNOWN: u32 = 4;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of two neighbouring attributes: `data-from="a" data-to="b"`.
fn pairs(picture: &str, first: &str, second: &str) -> Vec<(String, String)> {
    let value = |text: &str| text.split_once('"').map(|(value, _)| value.to_owned());
    let pair = |text: &str| {
        let from = value(text)?;
        let to = value(text.strip_prefix(&from)?.strip_prefix(&format!("\" {second}=\""))?)?;
        Some((from, to))
    };
    picture.split(&format!("{first}=\"")).skip(1).map(|text| pair(text).expect("two attributes")).collect()
}

/// The modules of the core, from `lib.rs`.
fn modules() -> BTreeSet<String> {
    let module =
        |line: &str| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned);
    read("rust/sipwake-core/src/lib.rs").lines().filter_map(module).collect()
}

/// A module's code. A link in a comment does not use what it names, and unit tests may use everything.
fn sources(module: &str) -> String {
    fn code(path: &Path) -> String {
        let text = fs::read_to_string(path).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
    }
    fn walk(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                text.push_str(&code(&path));
            }
        }
    }
    let source = repository().join("rust/sipwake-core/src");
    let file = source.join(format!("{module}.rs"));
    let mut text = if file.exists() { code(&file) } else { String::new() };
    walk(&source.join(module), &mut text);
    text
}

/// The other modules that a module names by `crate::`, one by one or in braces.
fn uses(module: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for text in sources(module).split("crate::").skip(1) {
        let names = match text.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(','),
            None => text.split("::").next().unwrap_or_default().split(','),
        };
        let first = |name: &str| name.trim().split("::").next().unwrap_or_default().to_owned();
        used.extend(names.map(first).filter(|name| name != module && modules.contains(name)));
    }
    used
}

#[test]
fn the_picture_shows_each_module_of_the_core_once() {
    let shown = pairs(&read("docs/architecture.svg"), "data-module", "data-band");
    let names: BTreeSet<_> = shown.iter().map(|(module, _)| module.clone()).collect();
    assert_eq!(names.len(), shown.len(), "a module is shown twice");
    assert_eq!(names, modules(), "docs/architecture.svg against the modules of rust/sipwake-core/src/lib.rs");
}

#[test]
fn no_module_uses_one_above_it_and_each_arrow_is_a_use() {
    let picture = read("docs/architecture.svg");
    let bands: BTreeMap<String, u32> = pairs(&picture, "data-module", "data-band")
        .into_iter()
        .map(|(module, band)| (module, band.parse().expect("a number")))
        .collect();
    let arrows: BTreeSet<_> = pairs(&picture, "data-from", "data-to").into_iter().collect();
    let modules = modules();
    let mut wrong = Vec::new();
    for module in &modules {
        for used in uses(module, &modules) {
            let (from, to) = (bands[module], bands[&used]);
            let arrow = arrows.contains(&(module.clone(), used.clone()));
            if from > to || from == to && from != KNOWN && !arrow {
                wrong.push(format!("{module} uses {used}, which the picture does not show"));
            }
        }
    }
    for (from, to) in &arrows {
        if !uses(from, &modules).contains(to) {
            wrong.push(format!("the picture has an arrow from {from} to {to}; the code does not use it"));
        }
    }
    assert!(wrong.is_empty(), "docs/architecture.svg:\n{}", wrong.join("\n"));
}

#[test]
fn each_step_of_a_push_is_in_the_code() {
    let picture = read("docs/push.svg");
    let steps: Vec<_> = picture.split("data-code=\"").skip(1).filter_map(|text| text.split_once('"')).collect();
    assert!(steps.len() > 6, "{} steps: are they still recognised?", steps.len());
    for (step, _) in steps {
        let (file, name) = step.split_once('#').expect("file#name");
        let text = read(file);
        let is_there = text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"));
        assert!(is_there || text.contains(&format!("    {name} {{")), "docs/push.svg shows {step}, which is not there");
    }
}

#[test]
fn the_page_lists_each_file_and_folder_of_the_core() {
    let page = read("docs/architecture.md");
    let missing: Vec<_> = modules().into_iter().filter(|module| !page.contains(&format!("`{module}`"))).collect();
    assert!(missing.is_empty(), "docs/architecture.md does not say what these are for: {missing:?}");
}
