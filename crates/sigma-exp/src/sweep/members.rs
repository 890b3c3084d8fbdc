//! From a sweep file to its runs: every combination of the varied keys, a name for each, and its complete, checked
//! config.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::spec::SweepSpec;
use crate::experiment_key;
use crate::spec::Experiment;
use crate::yaml::{Entry, Kind, Node, Setting};

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Names its folder below `runs/`, and the run: `s2_a0.25_seed42`.
    pub name: String,
    pub experiment: Experiment,
}

/// Short names of keys that sweeps vary.
const ALIASES: [(&str, &str); 1] = [("alpha", "mixture.real_fraction")];

/// Each is a folder with a config, and its config is read and checked before the first run starts.
const MOST_RUNS: usize = 10_000;

/// Keys and the values they take in one run, in the order of the file.
type Point = Vec<Setting>;

/// All runs of `sweep`, in the order of the file: explicit runs first, then the grid with its last key fastest.
pub fn members(sweep: &SweepSpec) -> Result<Vec<Member>> {
    let common = point(&sweep.set).context("set")?;
    let explicit: Vec<Point> = if sweep.runs.is_empty() {
        vec![Vec::new()]
    } else {
        let of = |(i, run): (usize, &Vec<Entry>)| point(run).with_context(|| format!("entry {} of `runs`", i + 1));
        sweep.runs.iter().enumerate().map(of).collect::<Result<_>>()?
    };
    let grid = grid(&sweep.grid)?;

    let mut members: Vec<Member> = Vec::new();
    let mut names: HashMap<String, Point> = HashMap::new();
    let mut configs: HashMap<String, String> = HashMap::new();
    for run in &explicit {
        for cell in &grid {
            let varied: Point = run.iter().chain(cell).cloned().collect();
            let repeated =
                |(i, setting): &(usize, &Setting)| varied[..*i].iter().any(|other| other.path == setting.path);
            if let Some((_, Setting { path, .. })) = varied.iter().enumerate().find(repeated) {
                bail!("`{path}` is varied twice: by `runs` and by `grid`, or under two names");
            }
            let name = name(&varied);
            let named = Setting::text("the name of the run,", "name", &name);
            let settings: Vec<Setting> = common.iter().chain(&varied).chain([&named]).cloned().collect();
            let experiment = Experiment::load(&sweep.base, &settings).with_context(|| format!("run `{name}`"))?;
            if let Some(other) = configs.insert(experiment_key::what_counts(&experiment)?, name.clone()) {
                let both = if other == name { format!("`{name}`") } else { format!("`{other}` and `{name}`") };
                bail!("two runs of the sweep are the same experiment, {both}: the same values are listed twice");
            }
            if let Some(other) = names.insert(name.clone(), varied.clone()) {
                let values =
                    |point: &Point| point.iter().map(|s| format!("{} {}", s.path, s.value)).collect::<Vec<_>>();
                bail!(
                    "two runs of the sweep would both have the folder `{name}`: {} and {}; their values differ only in \
                     characters that a folder's name cannot have",
                    values(&other).join(", "),
                    values(&varied).join(", ")
                );
            }
            members.push(Member { name, experiment });
        }
    }
    Ok(members)
}

/// Every combination of the grid's values; a single empty one for an empty grid.
fn grid(grid: &[Entry]) -> Result<Vec<Point>> {
    let mut points = vec![Point::new()];
    for Entry { key, value, .. } in grid {
        let keys = names_of(key).context("grid")?;
        let title = keys.join(", ");
        let Kind::List(values) = &value.kind else {
            bail!("{}: grid: `{title}` must be a list of values, as in `{title}: [1, 2]`", value.at);
        };
        if values.is_empty() {
            bail!("grid: the list of `{title}` is empty");
        }
        if points.len().saturating_mul(values.len()) > MOST_RUNS {
            bail!(
                "grid: its values make more than {MOST_RUNS} runs; a sweep has at most that many, so vary fewer keys or values"
            );
        }
        let mut next = Vec::with_capacity(points.len() * values.len());
        for point in &points {
            for value in values {
                let together: Vec<Node> = match (&keys[..], &value.kind) {
                    ([_], _) => vec![value.clone()],
                    (_, Kind::List(list)) if list.len() == keys.len() => list.clone(),
                    _ => bail!("grid: each value of `{title}` must be a list of {} values, one per key", keys.len()),
                };
                let mut longer = point.clone();
                longer.extend(keys.iter().cloned().zip(together).map(|(path, value)| Setting { path, value }));
                next.push(longer);
            }
        }
        points = next;
    }
    Ok(points)
}

/// The keys and values of one mapping.
fn point(entries: &[Entry]) -> Result<Point> {
    let mut point = Point::new();
    for Entry { key, value, .. } in entries {
        match &names_of(key)?[..] {
            [name] => point.push(Setting { path: name.clone(), value: value.clone() }),
            several => bail!("`{}`: here every key stands for itself", several.join(", ")),
        }
    }
    Ok(point)
}

/// `a.b` or `a.b, c.d`, with short names spelled out.
fn names_of(text: &str) -> Result<Vec<String>> {
    let full = |name: &str| ALIASES.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long).to_string();
    let names: Vec<String> = text.split(',').map(|name| full(name.trim())).collect();
    if let Some(broken) = names.iter().find(|name| name.is_empty() || name.contains('=')) {
        bail!("`{text}`: `{broken}` is not the name of a key");
    }
    if names.iter().any(|name| name == "name") {
        bail!("`name` cannot be varied: every run is named after its values");
    }
    Ok(names)
}

/// `s2_a0.25_seed42`: what a folder can be called, from the values that make the run.
fn name(varied: &[Setting]) -> String {
    let part = |Setting { path, value }: &Setting| {
        let last = path.rsplit('.').next().unwrap_or(path);
        let text = match path.as_str() {
            "setting" | "domain" => value.to_string(),
            "mixture.real_fraction" => format!("a{value}"),
            _ => format!("{last}{value}"),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '-' };
        text.chars().map(plain).collect::<String>().trim_matches(['-', '.']).to_string()
    };
    varied.iter().map(part).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::yaml;
    use std::path::Path;

    fn expand(text: &str) -> Result<Vec<Member>> {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let root = yaml::parse(&format!("name: x\nbase: demo_s2.yaml\n{text}"), "sweep.yaml").unwrap();
        let mut sweep = SweepSpec::of(&root)?;
        sweep.base = configs.join(sweep.base);
        members(&sweep)
    }

    fn names(text: &str) -> Vec<String> {
        expand(text).unwrap().into_iter().map(|member| member.name).collect()
    }

    fn error(text: &str) -> String {
        format!("{:#}", expand(text).expect_err("broken"))
    }

    #[test]
    fn a_grid_is_every_combination_with_the_last_key_fastest() {
        assert_eq!(
            names("grid: { setting: [s1, s2], alpha: [0, 0.5], seed: [42] }"),
            ["s1_a0_seed42", "s1_a0.5_seed42", "s2_a0_seed42", "s2_a0.5_seed42"]
        );
        let members = expand("set: { generations: 3 }\ngrid: { alpha: [0.25], training.epochs: [2] }").unwrap();
        let experiment = &members[0].experiment;
        assert_eq!(
            (experiment.mixture.real_fraction, experiment.training.epochs, experiment.generations),
            (0.25, 2, 3)
        );
        assert_eq!(experiment.name, "a0.25_epochs2");
    }

    #[test]
    fn keys_that_are_named_together_vary_together_and_explicit_runs_meet_every_cell() {
        let members = expand("grid: { 'setting, alpha': [[s1, 0], [s2, 1]], seed: [1, 2] }").unwrap();
        assert_eq!(
            members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
            ["s1_a0_seed1", "s1_a0_seed2", "s2_a1_seed1", "s2_a1_seed2"]
        );
        assert_eq!(
            names("runs: [{ setting: s1, alpha: 0 }, { setting: s2, alpha: 1 }]\ngrid: { seed: [1, 2] }"),
            ["s1_a0_seed1", "s1_a0_seed2", "s2_a1_seed1", "s2_a1_seed2"]
        );
    }

    #[test]
    fn what_can_not_be_a_run_is_named_before_anything_starts() {
        for (text, words) in [
            ("grid: { alpha: 0.5 }", &["mixture.real_fraction", "list"][..]),
            ("grid: { alpha: [] }", &["empty"]),
            ("grid: { alpha: [0, 1.5] }", &["a1.5", "real_fraction"]),
            ("grid: { alpha: [0, 0] }", &["a0", "twice"]),
            ("grid: { alpha: [1, 1.0] }", &["`a1`", "`a1.0`", "same experiment"]),
            ("grid: { alpha: [0, -0.0] }", &["`a0`", "same experiment"]),
            ("grid: { seed: [16, 0x10] }", &["`seed16`", "`seed0x10`", "same experiment"]),
            ("grid: { training.learning_rate: [1e-4, 0.0001] }", &["same experiment"]),
            ("grid: { mixture.mode: [replace, ~] }", &["same experiment"]),
            ("grid: { encoder.batch_size: [16, 32] }", &["same experiment"]),
            ("runs: [{ seed: 42 }, { setting: s2 }]", &["`seed42` and `s2`", "same experiment"]),
            ("grid: { corpus.id_column: [a/b, a-b] }", &["a/b", "a-b", "characters"]),
            ("grid: { alpha: [0], mixture.real_fraction: [1] }", &["real_fraction", "twice"]),
            ("grid: { training.epoch: [1] }", &["epoch1", "did you mean `epochs`"]),
            ("grid: { 'domain, seed': [[fin, 1], [law]] }", &["2 values"]),
            ("grid: { name: [a, b] }", &["name", "varied"]),
            ("grid: { 'a=b': [1] }", &["a=b"]),
            ("runs: [{ 'seed, alpha': 1 }]", &["entry 1", "itself"]),
        ] {
            let error = error(text);
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }
}
