//! The words of the project: a name in the public API is made of words that `docs/glossary.md` defines and of plain ones. No
//! document and no comment uses a banned word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below `folder` with this ending, except built ones, generated ones and tests.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            if !name.starts_with('.')
                && !name.ends_with("ests")
                && !name.ends_with("est")
                && name != "target"
                && name != "SipWakeFFI"
            {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// `handle_flowDown2` has the words handle, flow, down.
fn words_of(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut last = ' ';
    let letters: Vec<char> = name.chars().collect();
    for (at, &letter) in letters.iter().enumerate() {
        let before_small = letters.get(at + 1).is_some_and(|next| next.is_ascii_lowercase());
        let begins =
            letter.is_ascii_uppercase() && (last.is_ascii_lowercase() || last.is_ascii_uppercase() && before_small);
        if (begins || !letter.is_ascii_alphabetic()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_ascii_alphabetic() {
            word.push(letter.to_ascii_lowercase());
        }
        last = letter;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|name| !name.is_empty())
}

/// The names that a line of Kotlin or Swift declares as public. Kotlin's `val name:` is also one in a constructor, where it needs no `public`.
fn declared(line: &str) -> Vec<&str> {
    const DECLARERS: [&str; 14] = [
        "class",
        "struct",
        "enum",
        "interface",
        "object",
        "protocol",
        "actor",
        "typealias",
        "fun",
        "func",
        "val",
        "var",
        "let",
        "case",
    ];
    let mut names = Vec::new();
    // `public enum class Name`: the name follows the last keyword.
    let mut words = line.split_whitespace().skip_while(|word| !matches!(*word, "public" | "open"));
    if words.next().is_some() {
        let mut rest = words
            .skip_while(|word| !DECLARERS.contains(word))
            .skip_while(|word| DECLARERS.contains(word) || word.starts_with('<'));
        names.extend(rest.next().and_then(|name| identifiers(name.split(['(', '<', ':']).next()?).last()));
    }
    if !line.contains("private ") && !line.contains("internal ") && !line.contains("protected ") {
        names.extend(line.split("val ").skip(1).filter_map(|rest| rest.split_once(':')).map(|(name, _)| name));
    }
    names.retain(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()) && identifiers(name).eq([*name]));
    names
}

/// Each word of a public name, and a name that has it.
fn words_in_public_names() -> BTreeMap<String, String> {
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    files(&repository().join("docs/api"), ".txt", &mut found);
    assert!(found.len() >= 4, "docs/api has {} texts", found.len());
    for path in &found {
        names.extend(identifiers(&fs::read_to_string(path).expect("a text")).map(str::to_owned));
    }
    for (folder, ending) in
        [("bindings/kotlin/src", ".kt"), ("bindings/kotlin/testing/src", ".kt"), ("bindings/swift/Sources", ".swift")]
    {
        let (mut found, before) = (Vec::new(), names.len());
        files(&repository().join(folder), ending, &mut found);
        for path in &found {
            names.extend(fs::read_to_string(path).expect("a text").lines().flat_map(declared).map(str::to_owned));
        }
        assert!(names.len() > before, "{folder} adds no public name: are they still recognised?");
    }
    names.iter().flat_map(|name| words_of(name).into_iter().map(|word| (word, name.clone()))).collect()
}

/// The cells of each row of the glossary, without heading rows.
fn rows(glossary: &str) -> impl Iterator<Item = Vec<&str>> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| word") && !line.starts_with("| name");
    glossary.lines().filter(is_row).map(|line| line[1..line.len() - 1].split(" |").map(str::trim).collect())
}

/// The texts between pairs of `mark`.
fn between<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// What the glossary defines: the words in bold, in italics and in code.
fn defined(glossary: &str) -> BTreeSet<String> {
    rows(glossary)
        .flatten()
        .flat_map(|cell| {
            let code = between(cell, "`");
            let prose = cell.split('`').step_by(2).collect::<String>();
            let bold = between(&prose, "**").join(" ");
            let italics = between(&prose.replace("**", ""), "*").join(" ");
            [code.join(" "), bold, italics]
        })
        .flat_map(|text| identifiers(&text).flat_map(words_of).collect::<Vec<_>>())
        .collect()
}

/// Whether `list` has the word, or the word without its ending.
fn lists(list: &BTreeSet<String>, word: &str) -> bool {
    const ENDINGS: [(&str, &str); 8] =
        [("", ""), ("s", ""), ("es", ""), ("ies", "y"), ("d", ""), ("ed", ""), ("ing", ""), ("ing", "e")];
    ENDINGS.iter().any(|(ending, instead)| {
        word.strip_suffix(ending).is_some_and(|stem| list.contains(&format!("{stem}{instead}")))
    })
}

fn plain() -> BTreeSet<String> {
    read("tests/packages/words/plain.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The banned words, each with what to say instead.
fn banned() -> Vec<(String, String)> {
    let listed = read("tests/packages/words/banned.txt");
    let pair = |line: &str| line.split_once(" = ").map(|(word, instead)| (word.to_owned(), instead.to_owned()));
    listed.lines().filter(|line| !line.starts_with('#')).filter_map(pair).collect()
}

/// A line as its words in lower case between single spaces, without the text between backticks.
fn spaced(line: &str) -> String {
    let words = line.split('`').step_by(2).collect::<Vec<_>>().join(" ` ").to_lowercase();
    let words: Vec<_> = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" ")).replace(" no more than ", " at most ")
}

/// A document's prose: no code, no link targets.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !line.starts_with("<!--") {
            lines.push((at + 1, spaced(line)));
        }
    }
    lines
}

/// The comments in Rust, Kotlin or Swift that have their own lines.
fn comments(text: &str) -> Vec<(usize, String)> {
    let is_comment = |line: &str| ["//", "/**", "* "].iter().any(|mark| line.trim_start().starts_with(mark));
    text.lines().enumerate().filter(|(_, line)| is_comment(line)).map(|(at, line)| (at + 1, spaced(line))).collect()
}

#[test]
fn each_word_of_a_public_name_is_in_the_glossary_or_plain() {
    let glossary = defined(&read("docs/glossary.md"));
    let plain = plain();
    let unknown: Vec<_> = words_in_public_names()
        .into_iter()
        .filter(|(word, _)| !lists(&glossary, word) && !lists(&plain, word))
        .map(|(word, name)| format!("{word}, in {name}"))
        .collect();
    assert!(
        unknown.is_empty(),
        "Define these in docs/glossary.md, choose a word that is there or, if everybody knows it, add it to \
         tests/packages/words/plain.txt:\n{}",
        unknown.join("\n")
    );
}

#[test]
fn a_plain_word_is_used_and_is_neither_defined_nor_banned() {
    let used = words_in_public_names();
    let glossary = defined(&read("docs/glossary.md"));
    let used_words: BTreeSet<_> = used.into_keys().collect();
    let banned: BTreeSet<_> = banned().into_iter().map(|(word, _)| word).collect();
    let wrong: Vec<_> = plain()
        .into_iter()
        .filter_map(|word| {
            let is_used = used_words.iter().any(|used| lists(&BTreeSet::from([word.clone()]), used));
            let why = match () {
                () if !is_used => "no public name has it",
                () if glossary.contains(&word) => "the glossary has it",
                () if banned.contains(&word) => "it is banned",
                () => return None,
            };
            Some(format!("{word}: {why}"))
        })
        .collect();
    assert!(wrong.is_empty(), "tests/packages/words/plain.txt:\n{}", wrong.join("\n"));
}

#[test]
fn the_glossary_defines_each_word_once_and_says_what_it_means() {
    let glossary = read("docs/glossary.md");
    let mut seen = BTreeSet::new();
    for cells in rows(&glossary).filter(|cells| cells[0].starts_with("**")) {
        assert!(cells.len() == 4, "docs/glossary.md: {} cells, not 4: {cells:?}", cells.len());
        assert!(cells[1].len() > 10, "docs/glossary.md: {} has no meaning", cells[0]);
        for word in between(cells[0], "**") {
            assert!(seen.insert(word.to_lowercase()), "docs/glossary.md defines {word} twice");
        }
    }
    assert!(seen.len() > 150, "{} words: are they still recognised?", seen.len());
}

#[test]
fn no_document_and_no_comment_uses_a_banned_word() {
    let banned = banned();
    assert!(banned.len() > 20, "{} banned words: are they still recognised?", banned.len());
    let mut found = Vec::new();
    let mut read = |folder: &str, ending: &str, lines_of: fn(&str) -> Vec<(usize, String)>, least: usize| {
        let mut paths = Vec::new();
        files(&repository().join(folder), ending, &mut paths);
        assert!(paths.len() > least, "{} files below {folder} end in {ending}", paths.len());
        for path in paths {
            let name = path.strip_prefix(repository()).expect("within it").display().to_string();
            for (line, words) in lines_of(&fs::read_to_string(&path).expect("a text")) {
                for (word, instead) in banned.iter().filter(|(word, _)| words.contains(&format!(" {word} "))) {
                    found.push(format!("{name}:{line}: {word}; say: {instead}"));
                }
            }
        }
    };
    read("", ".md", prose, 50);
    read("rust", ".rs", comments, 200);
    read("bindings", ".kt", comments, 40);
    read("bindings", ".swift", comments, 30);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn names_are_taken_apart_and_declarations_found() {
    assert_eq!(words_of("handle_flowDown2URI"), ["handle", "flow", "down", "uri"].map(str::to_owned).to_vec());
    assert_eq!(words_of("IPv4Addr"), ["i", "pv", "addr"].map(str::to_owned).to_vec());
    assert_eq!(declared("    public suspend fun Foo.logOut(id: String)"), ["logOut"]);
    assert_eq!(
        declared("public data class Caller(val uri: String, val displayName: String?)"),
        ["Caller", "uri", "displayName"]
    );
    assert_eq!(declared("    public static func push<T>(_ it: T)"), ["push"]);
    assert_eq!(declared("    private val store: Store"), Vec::<&str>::new());
}
