//! JSON as Python's json module writes it: `NaN`, `Infinity` and `-Infinity` may stand where a number may. They become
//! texts of the same spelling, so that a setting that is used refuses them by name. What a file means is not known
//! here.

use serde::de::DeserializeOwned;

/// Of each, and longer before shorter.
const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// As `serde_json::from_str`.
pub fn from_str<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    // an ordinary file keeps its lines and columns in messages
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) => match quoted(text) {
            Some(text) => serde_json::from_str(&text),
            None => Err(error),
        },
    }
}

/// The text with quotes around the words outside of strings; `None` if it has none.
fn quoted(text: &str) -> Option<String> {
    let (mut out, mut rest, mut found) = (String::with_capacity(text.len() + 16), text, false);
    let mut inside = false;
    while let Some(first) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !inside && rest.starts_with(**word));
        let taken = match (word, first) {
            (Some(word), _) => {
                found = true;
                out.push_str(&format!("\"{word}\""));
                word.len()
            }
            (None, '\\') if inside => {
                let escape = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..escape]);
                escape
            }
            (None, first) => {
                inside ^= first == '"';
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn words_of_python_outside_of_strings_become_texts() {
        let text = r#"{"a": Infinity, "b": [-Infinity, NaN], "NaN \" Infinity": "NaN", "c\\": NaN}"#;
        let value: Value = super::from_str(text).unwrap_or_default();
        let expected = json!({
            "a": "Infinity", "b": ["-Infinity", "NaN"], "NaN \" Infinity": "NaN", "c\\": "NaN"
        });
        assert_eq!(value, expected);
        assert!(super::from_str::<Value>("{\"a\": Infinite}").is_err());
        assert!(super::from_str::<Value>("{\"a\": \"\\").is_err());
    }
}
