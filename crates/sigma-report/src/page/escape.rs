//! Text from runs inside a page: as HTML, and as JSON inside a `script` element, whose end a browser looks for before
//! it looks for strings. Nothing else of a page is known here.

/// `text` as HTML that shows it, between tags or in a quoted attribute.
pub(crate) fn html(text: &str) -> String {
    let mut source = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => source.push_str("&amp;"),
            '<' => source.push_str("&lt;"),
            '>' => source.push_str("&gt;"),
            '"' => source.push_str("&quot;"),
            '\'' => source.push_str("&#39;"),
            // A parser replaces or refuses these.
            character if character.is_control() && !"\n\t".contains(character) => source.push('\u{fffd}'),
            character => source.push(character),
        }
    }
    source
}

/// JSON text as the same JSON without a character that could end or comment out a `script` element. Those characters
/// stand in JSON only within strings, where each has an escape.
pub(crate) fn script_json(json: &str) -> String {
    let mut source = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => source.push_str(&format!("\\u{:04x}", u32::from(character))),
            character => source.push(character),
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_its_element_or_attribute() {
        assert_eq!(
            html("<b a=\"1\" b='2'>&amp;\u{0}\r\n"),
            "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;amp;\u{fffd}\u{fffd}\n"
        );
    }

    #[test]
    fn json_for_a_script_is_the_same_value_without_markup() {
        let hostile = "</script><!--<script> & \u{2028}\u{2029} \\u003c \"quoted\"";
        let json = serde_json::to_string(hostile).expect("a string is JSON");
        let escaped = script_json(&json);
        assert!(!escaped.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("still JSON"), hostile);
    }
}
