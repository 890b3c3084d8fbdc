//! A typed value from a YAML file and `path=value` overrides, with errors that name file, line, key, and the nearest
//! valid key where one was mistyped.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

/// Reads `path` as a `T` after setting each `a.b.c=value` of `overrides`; values are YAML.
pub fn load<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("config {} can not be read", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        anyhow!("{}: line {line} is not UTF-8 text", path.display())
    })?;
    if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')) {
        bail!("{}: the config is empty", path.display());
    }
    if overrides.is_empty() {
        return serde_yaml::from_str(&text).map_err(|e| explain(&path.display().to_string(), &e));
    }
    let mut value: Value = serde_yaml::from_str(&text).map_err(|e| explain(&path.display().to_string(), &e))?;
    for text in overrides {
        set(&mut value, text)?;
    }
    // line numbers are gone after an override, the path of the key is not
    serde_yaml::from_value(value)
        .map_err(|e| explain(&format!("{} with --set {}", path.display(), overrides.join(" --set ")), &e))
}

fn set(root: &mut Value, text: &str) -> Result<()> {
    let Some((path, value)) = text.split_once('=') else {
        bail!("--set {text}: expected path=value, for example training.epochs=2");
    };
    let value: Value = serde_yaml::from_str(value).with_context(|| format!("--set {text}: `{value}` is not YAML"))?;
    let mut node = root;
    for key in path.split('.') {
        if key.is_empty() {
            bail!("--set {text}: `{path}` has an empty key");
        }
        if node.is_null() {
            *node = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(mapping) = node else {
            bail!("--set {text}: what stands above `{key}` is a value, not a section");
        };
        node = mapping.entry(Value::String(key.to_string())).or_insert(Value::Null);
    }
    *node = value;
    Ok(())
}

/// serde's message, with the nearest of the keys that it lists as expected.
fn explain(place: &str, error: &serde_yaml::Error) -> anyhow::Error {
    let message = error.to_string();
    // "unknown field `x`, expected one of `a`, `b`": the names stand between backticks
    let mut names = message.split('`').skip(1).step_by(2);
    let (unknown_field, unknown_variant) = (message.contains("unknown field"), message.contains("unknown variant"));
    let nearest = (unknown_field || unknown_variant).then(|| names.next()).flatten().and_then(|unknown| {
        let closest = names.map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
        closest.filter(|(distance, name)| *distance <= 1 + name.len() / 3)
    });
    match nearest {
        Some((_, name)) => anyhow!("{place}: {message}; did you mean `{name}`?"),
        None => anyhow!("{place}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, overrides: &[&str]) -> Result<Value> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        load(file.path(), &overrides.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn overrides_set_nested_keys_and_make_missing_sections() {
        let value = with("a: { b: 1 }\n", &["a.b=2", "c.d.e=[1, 2]", "f=x"]).expect("valid");
        assert_eq!(value["a"]["b"], 2);
        assert_eq!(value["c"]["d"]["e"][1], 2);
        assert_eq!(value["f"], "x");
    }

    #[test]
    fn broken_overrides_say_what_is_expected() {
        for (text, word) in
            [("a", "path=value"), ("a..b=1", "empty key"), ("a.b.c=1", "not a section"), ("a=[", "YAML")]
        {
            let error = format!("{:#}", with("a: { b: 1 }\n", &[text]).expect_err("broken"));
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
