//! A config as flat lines, `training.learning_rate` and its value: to compare two configs, and to print one as a table.
//! What a key means is not known here.

use serde_yaml::Value;

/// Every leaf of `config` in the order of the file, under its path. A sequence is one value.
pub(crate) fn leaves(config: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect("", config, &mut found);
    found
}

fn collect(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Mapping(mapping) if !mapping.is_empty() => {
            for (key, inner) in mapping {
                let key = shown(key);
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                collect(&path, inner, found);
            }
        }
        _ => found.push((path.to_owned(), shown(value))),
    }
}

/// A value on one line.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Mapping(mapping) => {
            let pairs: Vec<String> =
                mapping.iter().map(|(key, value)| format!("{}: {}", shown(key), shown(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, shown(&tagged.value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_has_its_path_and_keeps_its_order() {
        let config = "b: 1e-8\na: { y: null, x: [p, q], z: {} }\n";
        let config = serde_yaml::from_str(config).expect("YAML");
        let pair = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        let expected = [pair("b", "1e-8"), pair("a.y", "null"), pair("a.x", "p, q"), pair("a.z", "{}")];
        assert_eq!(leaves(&config), expected);
    }
}
