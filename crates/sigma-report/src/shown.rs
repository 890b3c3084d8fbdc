//! Text from files as people are shown it: what a terminal, a page or a figure would obey or cannot hold is spelled
//! out. It knows nothing of markup; each format escapes its own.

use std::borrow::Cow;

/// `text` with control characters, characters that turn the direction of writing, and code points that are no
/// characters as `\u{1b}`. Line feeds and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let spelled = |character: char| match is_hidden(character) {
        true => character.escape_unicode().to_string(),
        false => character.to_string(),
    };
    Cow::Owned(text.chars().map(spelled).collect())
}

/// The same where a line break would begin a line of somebody else's: of names.
pub fn shown_in_line(text: &str) -> String {
    shown(text).replace('\n', "\\n").replace('\t', "\\t")
}

fn is_hidden(character: char) -> bool {
    let code = u32::from(character);
    (character.is_control() && !matches!(character, '\n' | '\t'))
        // left-to-right and right-to-left marks, embeddings, overrides and isolates; separators of lines
        || matches!(code, 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff)
        // XML has no such characters
        || (code & 0xfffe) == 0xfffe
        || matches!(code, 0xfdd0..=0xfdef)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out_and_all_else_stays() {
        for (text, expected) in [
            ("\u{1b}[31mRED", "\\u{1b}[31mRED"),
            ("\u{1b}]52;c;aGk=\u{7}", "\\u{1b}]52;c;aGk=\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\rb\0", "a\\u{d}b\\u{0}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\u{ffff}\u{1fffe}", "\\u{ffff}\\u{1fffe}"),
            ("caf\u{e9} \u{6f22}\n\tok", "caf\u{e9} \u{6f22}\n\tok"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_in_line("name\nerror: no"), "name\\nerror: no");
    }
}
