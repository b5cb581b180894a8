//! Text that a person will see. It must not move the cursor, change the reading direction, or be endless.

use unicode_normalization::char::is_combining_mark;

use crate::error::is_bidirectional_control;

/// The longest name that is shown, in characters.
pub(super) const MAX_NAME: usize = 256;

/// The most marks on one letter. No script needs more, and they would cover the lines around it.
const MAX_MARKS: usize = 4;

/// Returns `text` trimmed and cut to `max` characters, without control characters, direction characters and invisible
/// ones. `None` if nothing is left.
///
/// White space that would break the line becomes a plain space. A joiner or variation selector stays after a letter or
/// emoji that needs it. At most four marks stay on one letter.
pub(super) fn line(text: &str, max: usize) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.len() <= max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Some(text.to_owned());
    }
    let (mut shown, mut count, mut marks) = (String::new(), 0, 0);
    let (mut after_visible, mut after_selector) = (false, false);
    for c in text.chars() {
        let c = if c.is_whitespace() || is_blank(c) { ' ' } else { c };
        if c.is_control() || is_bidirectional_control(c) {
            continue;
        }
        if c == ' ' && shown.is_empty() {
            continue;
        }
        if is_joiner(c) {
            // An emoji of several parts may have a selector before its joiner.
            if !(after_visible || after_selector && c == '\u{200d}') {
                continue;
            }
            (after_visible, after_selector) = (false, after_visible && c >= '\u{fe00}');
        } else if is_default_ignorable(c) || is_invisible(c) {
            continue;
        } else if is_combining_mark(c) {
            marks += 1;
            if marks > MAX_MARKS || shown.is_empty() {
                continue;
            }
        } else {
            (marks, after_visible, after_selector) = (0, c != ' ', false);
        }
        if count == max {
            break;
        }
        shown.push(c);
        count += 1;
    }
    let shown = shown.trim_end_matches(|c| c == ' ' || is_joiner(c));
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// A joiner or variation selector, which changes how its neighbours look.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// Looks like a space and is not one: fillers, blank signs, and the place of a missing object.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{fffc}' | '\u{13441}'
            ..='\u{13442}' | '\u{16fe4}' | '\u{1d159}'
    )
}

/// Shows nothing by itself, even where it is not a `Default_Ignorable_Code_Point`: annotations, joiners of hieroglyphs,
/// and code points that are not characters.
fn is_invisible(c: char) -> bool {
    let no_character = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    no_character || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}')
}

/// Unicode's `Default_Ignorable_Code_Point` property: shows nothing.
fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Returns a caller's name or address in a form that may be shown.
pub(crate) fn name(text: &str) -> Option<String> {
    line(text, MAX_NAME)
}

/// Returns what can be seen of a text, at its full length.
pub(crate) fn whole(text: &str) -> Option<String> {
    line(text, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_left_out() {
        assert_eq!(line("Bank\u{202e}knaB\u{0}\u{7f}", 64).as_deref(), Some("BankknaB"));
        assert_eq!(line("one\r\ntwo\u{2028}three", 64).as_deref(), Some("one  two three"));
        assert_eq!(line("\u{202e}\u{1}\t", 64), None);
    }

    #[test]
    fn names_in_any_script_are_kept_and_cut_between_characters() {
        assert_eq!(line("Łukasz 王小明 👩‍🚀", 64).as_deref(), Some("Łukasz 王小明 👩‍🚀"));
        assert_eq!(line("王小明", 2).as_deref(), Some("王小"));
        assert_eq!(line("ab cd", 3).as_deref(), Some("ab"));
    }

    #[test]
    fn invisible_characters_make_no_name_and_are_removed_from_names() {
        for empty in [
            "\u{200b}",
            "\u{2800}\u{2800}",
            "\u{3164}",
            "\u{ad}\u{feff}",
            "\u{200d}\u{fe0f}",
            "\u{e0041}",
            "\u{301}\u{301}",
            "\u{fffc}\u{1d159}",
            "\u{16fe4}\u{13441}",
            "\u{fff9}\u{fffb}\u{13430}",
            "\u{ffff}\u{fdd0}\u{10fffe}",
        ] {
            assert_eq!(line(empty, 64), None, "{empty:?}");
        }
        assert_eq!(line("Ba\u{200b}nk\u{2060}\u{ad}", 64).as_deref(), Some("Bank"));
        assert_eq!(line("\u{3164}Bank\u{2800}", 64).as_deref(), Some("Bank"));
        assert_eq!(line("Ba\u{fff9}nk\u{fffe}\u{fffc}", 64).as_deref(), Some("Bank"));
        assert_eq!(line("\u{645}\u{6cc}\u{200c}\u{200c}\u{62e}", 64).as_deref(), Some("\u{645}\u{6cc}\u{200c}\u{62e}"));
    }

    #[test]
    fn an_emoji_of_several_parts_stays_whole_with_only_the_joiners_that_it_needs() {
        for whole in ["\u{2764}\u{fe0f}\u{200d}\u{1f525}", "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}", "1\u{fe0f}\u{20e3}"] {
            assert_eq!(line(whole, 64).as_deref(), Some(whole));
        }
        let stuffed = "a\u{fe0f}\u{200d}\u{200d}\u{fe0f}\u{200c}\u{200d}b";
        assert_eq!(line(stuffed, 64).as_deref(), Some("a\u{fe0f}\u{200d}b"));
        assert_eq!(line("a\u{200d}\u{fe0f}\u{200d}b", 64).as_deref(), Some("a\u{200d}b"));
    }

    #[test]
    fn no_letter_carries_more_marks_than_a_script_needs() {
        let tower = format!("Z{}algo", "\u{301}".repeat(200));
        assert_eq!(line(&tower, 256), Some(format!("Z{}algo", "\u{301}".repeat(4))));
        assert_eq!(line("Nguyê\u{303}n ก็่", 64).as_deref(), Some("Nguyê\u{303}n ก็่"));
    }
}
