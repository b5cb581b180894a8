//! Text on its way to a person: nothing in it may move the cursor, turn the reading direction or go on for ever.

use crate::error::is_bidirectional_control;
use crate::scan::is_printable;

/// The longest name that is shown, in characters.
pub(super) const MAX_NAME: usize = 256;

/// Returns `text` trimmed, without control and direction characters, cut to `max` characters; `None` if nothing is left.
///
/// White space that would break the line becomes a plain space.
pub(super) fn line(text: &str, max: usize) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.len() <= max && is_printable(text) {
        return Some(text.to_owned());
    }
    let shown = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_bidirectional_control(*c));
    let cut: String = shown.skip_while(|c| *c == ' ').take(max).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// Returns a caller's name or address as it may be shown.
pub(crate) fn name(text: &str) -> Option<String> {
    line(text, MAX_NAME)
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
}
