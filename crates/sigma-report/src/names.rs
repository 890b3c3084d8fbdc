//! How conditions are called in tables and file names: the setting, and of the rest only what tells the conditions of
//! this report apart. It also judges which names may become part of a file name.

use crate::error::{ReportError, Result};
use crate::record::Setting;

/// What a name can be made of.
pub(crate) struct Parts<'a> {
    pub(crate) setting: Setting,
    pub(crate) domain: &'a str,
    pub(crate) real_fraction: Option<f64>,
    pub(crate) mode: Option<String>,
    pub(crate) name: &'a str,
}

/// A label and a part of file names for each, all labels different and all file names different. A label says all that
/// differs in the report; a file name only what differs between conditions of its setting, so that a setting of one
/// condition keeps the paper's names.
pub(crate) fn of_conditions(conditions: &[Parts]) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = conditions
        .iter()
        .map(|parts| {
            let (mut label, mut slug) = (parts.setting.title().to_owned(), parts.setting.name().to_owned());
            let others = || conditions.iter().filter(|other| other.setting == parts.setting);
            let mut add = |differs: fn(&Parts, &Parts) -> bool, in_label: String, in_slug: String| {
                if conditions.iter().any(|other| differs(parts, other)) {
                    label.push_str(&format!(", {in_label}"));
                }
                if others().any(|other| differs(parts, other)) {
                    slug.push_str(&format!("_{in_slug}"));
                }
            };
            add(|a, b| a.domain != b.domain, parts.domain.to_owned(), plain(parts.domain));
            if let Some(fraction) = parts.real_fraction {
                add(|a, b| a.real_fraction != b.real_fraction, format!("α = {fraction}"), format!("a{fraction}"));
            }
            if let Some(mode) = &parts.mode {
                add(|a, b| a.mode != b.mode, mode.clone(), plain(mode));
            }
            (label, slug)
        })
        .collect();
    // What is still alike differs in some other key of the config, which only the name given by its author can tell.
    let alike = |names: &[(String, String)], at: usize| names.iter().filter(|name| name.1 == names[at].1).count() > 1;
    let ambiguous: Vec<usize> = (0..names.len()).filter(|&at| alike(&names, at)).collect();
    for &at in &ambiguous {
        names[at].0.push_str(&format!(", {}", conditions[at].name));
        names[at].1.push_str(&format!("_{}", plain(conditions[at].name)));
    }
    let ambiguous: Vec<usize> = (0..names.len()).filter(|&at| alike(&names, at)).collect();
    for (number, &at) in (1..).zip(&ambiguous) {
        names[at].0.push_str(&format!(" ({number})"));
        names[at].1.push_str(&format!("-{number}"));
    }
    names
}

/// A name from a config must not lead out of the report's folder.
pub(crate) fn check_file_name_part(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(ReportError::Name { what, got: name.to_owned() });
    }
    Ok(())
}

fn plain(name: &str) -> String {
    name.chars().map(|character| if is_plain(character) { character } else { '-' }).collect()
}

fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || "-_.".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(setting: Setting, real_fraction: f64, name: &str) -> Parts<'_> {
        Parts { setting, domain: "fin", real_fraction: Some(real_fraction), mode: Some("replace".to_owned()), name }
    }

    fn slugs(conditions: &[Parts]) -> Vec<String> {
        of_conditions(conditions).into_iter().map(|(_, slug)| slug).collect()
    }

    #[test]
    fn names_hold_only_what_tells_conditions_apart() {
        let (one, two) = (Setting::S1, Setting::S2);
        assert_eq!(slugs(&[parts(one, 0.0, "a"), parts(two, 0.0, "b")]), ["s1", "s2"]);
        assert_eq!(slugs(&[parts(two, 0.0, "a"), parts(two, 0.25, "b")]), ["s2_a0", "s2_a0.25"]);
        assert_eq!(slugs(&[parts(two, 0.0, "slow"), parts(two, 0.0, "../x")]), ["s2_slow", "s2_..-x"]);
        let three = [parts(one, 0.0, "a"), parts(two, 0.0, "b"), parts(two, 0.1, "c")];
        assert_eq!(slugs(&three), ["s1", "s2_a0", "s2_a0.1"]);
        let labels: Vec<String> = of_conditions(&three).into_iter().map(|(label, _)| label).collect();
        assert_eq!(labels, ["S1, α = 0", "S2, α = 0", "S2, α = 0.1"]);
    }

    #[test]
    fn file_names_never_collide() {
        let two = Setting::S2;
        let mut names = slugs(&[parts(two, 0.0, "a b"), parts(two, 0.0, "a/b"), parts(two, 0.0, "c")]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3, "{names:?}");
    }
}
