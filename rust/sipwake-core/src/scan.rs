//! Looks through texts that every message is full of, eight bytes at once: built for size, the compiler does not.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether there is a control character, DEL included, other than a tab.
pub(crate) fn has_control(text: &str) -> bool {
    let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    has_below(text.as_bytes(), b' ') && text.bytes().any(|byte| control(&byte))
}

/// Whether there is a space, a control character or a DEL.
pub(crate) fn has_blank(text: &str) -> bool {
    has_below(text.as_bytes(), b' ' + 1)
}

/// Whether it is printable ASCII throughout.
pub(crate) fn is_printable(text: &str) -> bool {
    text.is_ascii() && !has_below(text.as_bytes(), b' ')
}

/// Whether there is a byte below this one, which is at most 0x80, or a DEL.
fn has_below(bytes: &[u8], limit: u8) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().any(|word| {
        let word = u64::from_ne_bytes(*word);
        let del = word ^ (0x7f * LOW);
        // The high bit of each byte that is below: exact as to whether there is one, which is all that is asked.
        let below = word.wrapping_sub(u64::from(limit) * LOW) & !word;
        (below | (del.wrapping_sub(LOW) & !del)) & HIGH != 0
    }) || rest.iter().any(|byte| *byte < limit || *byte == 0x7f)
}

/// Returns the text without the spaces and tabs around it.
pub(crate) fn trim(text: &str) -> &str {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let bytes = text.as_bytes();
    let begin = bytes.iter().take_while(|byte| blank(byte)).count();
    let behind = bytes[begin..].iter().rev().take_while(|byte| blank(byte)).count();
    &text[begin..bytes.len() - behind]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_at_once_find_what_one_by_one_would(text in "[\\x00-\\x7féß𝄞 \t]{0,40}") {
            prop_assert_eq!(has_control(&text), text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f));
            prop_assert_eq!(has_blank(&text), text.bytes().any(|b| b <= b' ' || b == 0x7f));
            prop_assert_eq!(is_printable(&text), text.bytes().all(|b| matches!(b, b' '..=b'~')));
        }

        #[test]
        fn each_byte_alone_is_found_wherever_it_stands(byte in 0u8..0x80, at in 0usize..24, clean in "[a-zé~!]{24}") {
            let mut text: Vec<char> = clean.chars().collect();
            text[at] = char::from(byte);
            let text: String = text.into_iter().collect();
            prop_assert_eq!(has_blank(&text), byte <= b' ' || byte == 0x7f);
            prop_assert_eq!(has_control(&text), (byte < b' ' && byte != b'\t') || byte == 0x7f);
        }

        #[test]
        fn trimmed_is_what_has_no_blank_around_it(text in "[ \ta é]{0,12}") {
            prop_assert_eq!(trim(&text), text.trim_matches([' ', '\t']));
        }
    }
}
