//! What a scalar means where a number, a truth value or text is wanted: the core schema of YAML 1.2, and for the
//! spellings that YAML 1.1 read in another way a message instead of a guess.

use std::ops::RangeInclusive;

/// A whole number: digits, or `0x`, `0o` and `0b` with theirs, each with a sign before it.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match digits.get(..2) {
        Some("0x") => (&digits[2..], 16),
        Some("0o") => (&digits[2..], 8),
        Some("0b") => (&digits[2..], 2),
        _ => (digits, 10),
    };
    // octal in YAML 1.1, decimal in 1.2
    let ambiguous = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if ambiguous || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// A number: what [`integer`] takes, decimals with a point or an exponent, `.inf` and `.nan`. There is one zero.
pub fn number(text: &str) -> Option<f64> {
    if let Some(integer) = integer(text) {
        return Some(integer as f64);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let whole = unsigned.chars().all(|c| c.is_ascii_digit());
    if !decimal || whole && leading_zero(text) {
        return None;
    }
    // -0 would be another point of a sweep than 0
    text.parse::<f64>().ok().map(|value| value + 0.0)
}

/// `true` or `false`.
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Why `text` is no whole number within `range`.
pub fn no_integer(text: &str, range: &RangeInclusive<i128>) -> String {
    match integer(text) {
        Some(value) if value < *range.start() => format!("{text} is too small; it must be at least {}", range.start()),
        Some(_) => format!("{text} is too large; it must be at most {}", range.end()),
        // more digits than even an i128 has
        None if !leading_zero(text) && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{text} is too large; it must be at most {}", range.end())
        }
        None if number(text).is_some() => {
            format!("`{text}` is not a whole number; write its digits without point or exponent")
        }
        None => format!("`{text}` is not a whole number{}", advice(text)),
    }
}

/// Why `text` is no number.
pub fn no_number(text: &str) -> String {
    format!("`{text}` is not a number{}", advice(text))
}

fn leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit())
}

fn advice(text: &str) -> String {
    if leading_zero(text) {
        let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        return format!("; a zero in front means octal to some readers of YAML: write {digits}, or 0o{digits}");
    }
    let plain = text.replace(['_', ','], "");
    if plain != text && number(&plain).is_some() {
        return format!("; write {plain}");
    }
    String::new()
}
