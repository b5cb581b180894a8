//! Faults to plant into a copy of the core, kept as patches in `faults/`.
//!
//! ```text
//! # TwoInFlight: A push registers beside the REGISTER in flight.
//!  fn push_arrived(&mut self) {
//! -    if self.exchange.is_none() {
//! +    if self.exchange.is_none() || planted!(TwoInFlight) {
//! ```
//!
//! A hunk is found by its text, in any file and at any line: its lines with a space or a minus must be in the core exactly
//! once, with any indentation. `@@` begins another hunk. All faults are planted at once; a switch of the thread says which
//! one is active.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

/// The root of the core, which gets the switch.
pub const ROOT: &str = "rust/sipwake-core/src/lib.rs";

/// All faults and where they are planted.
#[derive(Debug, Default)]
pub struct Faults {
    /// The name and the description of each.
    declared: Vec<(String, String)>,
    hunks: Vec<Hunk>,
}

#[derive(Debug, Default)]
struct Hunk {
    /// File and line of the patch.
    origin: String,
    before: Vec<String>,
    after: Vec<String>,
}

impl Faults {
    /// Reads one more patch.
    ///
    /// # Errors
    /// Says which line of the patch is wrong, and why.
    pub fn read(&mut self, name: &str, patch: &str) -> Result<(), String> {
        let mut open = false;
        for (number, line) in (1..).zip(patch.lines()) {
            let origin = format!("{name}:{number}");
            let continues = std::mem::take(&mut open);
            if let Some(declared) = line.strip_prefix("# ") {
                let (fault, what) = declared.split_once(": ").ok_or(format!("{origin}: no `# Name: what`"))?;
                if self.declared.iter().any(|(known, _)| known == fault) {
                    return Err(format!("{origin}: {fault} is declared twice"));
                }
                self.declared.push((fault.to_owned(), what.to_owned()));
            } else if let Some((mark @ (' ' | '-' | '+'), text)) =
                line.chars().next().map(|mark| (mark, line[mark.len_utf8()..].to_owned()))
            {
                if !continues {
                    self.hunks.push(Hunk { origin, ..Hunk::default() });
                }
                let hunk = self.hunks.last_mut().expect("there is one now");
                if mark != '+' {
                    hunk.before.push(text.clone());
                }
                if mark != '-' {
                    hunk.after.push(text);
                }
                open = true;
            } else if !line.is_empty() && line != "@@" {
                return Err(format!("{origin}: neither a fault nor a hunk"));
            }
        }
        Ok(())
    }

    /// Plants all faults into the core's sources, given by path, and the module `planted` into its root.
    ///
    /// # Errors
    /// Says which hunk does not fit, or which fault is planted nowhere.
    pub fn plant(&self, sources: &mut BTreeMap<String, String>) -> Result<(), String> {
        let mut edits: BTreeMap<String, Vec<(usize, &Hunk)>> = BTreeMap::new();
        for hunk in &self.hunks {
            let (file, at) = hunk.place(sources)?;
            edits.entry(file).or_default().push((at, hunk));
        }
        for (file, mut edits) in edits {
            edits.sort_by_key(|(at, _)| *at);
            if let Some(pair) = edits.windows(2).find(|pair| pair[0].0 + pair[0].1.before.len() > pair[1].0) {
                return Err(format!("{} and {} overlap: make them one hunk", pair[0].1.origin, pair[1].1.origin));
            }
            let text = sources.get_mut(&file).expect("a hunk was found in it");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for (at, hunk) in edits.into_iter().rev() {
                let after =
                    hunk.after.iter().map(|line| self.switched(line, &hunk.origin)).collect::<Result<Vec<_>, _>>()?;
                lines.splice(at..at + hunk.before.len(), after);
            }
            *text = lines.join("\n") + "\n";
        }
        let somewhere = |number: &usize| sources.values().any(|text| text.contains(&switch(*number)));
        if let Some(number) = (0..self.declared.len()).find(|number| !somewhere(number)) {
            return Err(format!("{} is declared, but no patch plants it", self.declared[number].0));
        }
        let root = sources.get_mut(ROOT).ok_or(format!("no {ROOT}"))?;
        *root = format!("#![allow(warnings)]\n{root}{}", self.module());
        Ok(())
    }

    /// `planted!(Name)` becomes a check of the switch.
    fn switched(&self, line: &str, origin: &str) -> Result<String, String> {
        let mut parts = line.split("planted!(");
        let mut switched = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once(')').ok_or(format!("{origin}: planted! without an end"))?;
            let number = self.declared.iter().position(|(fault, _)| fault == name);
            let number = number.ok_or(format!("{origin}: {name} is not declared"))?;
            switched.push_str(&switch(number));
            switched.push_str(rest);
        }
        Ok(switched)
    }

    /// The switch, and the names of all faults.
    fn module(&self) -> String {
        let all: String = self.declared.iter().map(|fault| format!("        {fault:?},\n")).collect();
        format!(
            "
pub mod planted {{
    pub const ALL: &[(&str, &str)] = &[
{all}    ];

    thread_local! {{
        static ON: std::cell::Cell<Option<usize>> = const {{ std::cell::Cell::new(None) }};
    }}

    pub fn set(fault: Option<usize>) {{
        ON.set(fault);
    }}

    pub(crate) fn on(fault: usize) -> bool {{
        ON.get() == Some(fault)
    }}
}}
"
        )
    }
}

impl Hunk {
    /// The file and the line at which the hunk's text begins.
    fn place(&self, sources: &BTreeMap<String, String>) -> Result<(String, usize), String> {
        let wanted: Vec<&str> = self.before.iter().map(|line| line.trim()).collect();
        let mut found = Vec::new();
        for (file, text) in sources {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            found.extend((0..lines.len()).filter(|at| lines[*at..].starts_with(&wanted)).map(|at| (file.clone(), at)));
        }
        match found.as_slice() {
            [_] if !wanted.is_empty() => Ok(found.remove(0)),
            [] => Err(format!("{}: its text is nowhere in the core", self.origin)),
            all => Err(format!("{}: its text is there {} times: give it more lines", self.origin, all.len())),
        }
    }
}

fn switch(number: usize) -> String {
    format!("crate::planted::on({number})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
# Deaf: Nothing is heard.
# Mute: Nothing is said.
 fn hear() {
-    listen();
+    if !planted!(Deaf) {
+        listen();
+    }
@@
-    say();
+    if !planted!(Mute) { say(); }
";

    fn planted(patch: &str, ear: &str) -> Result<String, String> {
        let mut faults = Faults::default();
        faults.read("test", patch)?;
        let files = [(ROOT, "mod ear;\n"), ("ear.rs", ear)];
        let mut sources = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        faults.plant(&mut sources)?;
        Ok(sources["ear.rs"].clone())
    }

    #[test]
    fn a_hunk_is_found_by_its_text_at_any_line_and_indentation() {
        let text = planted(PATCH, "\n\n  fn hear() {\n  listen();\n  }\nfn speak() {\n  say();\n}\n").expect("it fits");
        assert!(text.contains("if !crate::planted::on(0) {\n        listen();\n    }\n  }"), "{text}");
        assert!(text.contains("if !crate::planted::on(1) { say(); }\n}"), "{text}");
    }

    #[test]
    fn a_text_that_is_missing_or_found_twice_is_an_error() {
        let gone = planted(PATCH, "fn hear() {\n    listen_well();\n}\n    say();\n").expect_err("gone");
        assert_eq!(gone, "test:3: its text is nowhere in the core");
        let twice = planted(PATCH, "fn hear() {\nlisten();\n}\nsay();\nsay();\n").expect_err("twice");
        assert_eq!(twice, "test:9: its text is there 2 times: give it more lines");
    }

    #[test]
    fn a_fault_that_is_undeclared_not_planted_or_in_conflict_with_another_is_an_error() {
        let ear = "fn hear() {\nlisten();\n}\nsay();\n";
        let undeclared = planted(&PATCH.replace("# Mute: Nothing is said.\n", ""), ear).expect_err("undeclared");
        assert!(undeclared.contains("Mute is not declared"), "{undeclared}");
        let nowhere = planted(&PATCH.replace("planted!(Mute)", "true"), ear).expect_err("nowhere");
        assert!(nowhere.contains("Mute is declared, but no patch plants it"), "{nowhere}");
        let overlap = planted(&PATCH.replace("-    say();", "-    listen();"), ear).expect_err("overlap");
        assert!(overlap.contains("overlap"), "{overlap}");
    }
}
