//! Conditions over the real fraction alpha: curves of conditions that differ in alpha and their seeds alone, one for
//! each setting, all read at the same generation. It takes numbers from conditions and knows neither tables nor
//! figures.

use crate::condition::{Condition, Member};
use crate::config_keys;
use crate::record::Setting;
use crate::series::SeriesPoint;

/// More differing keys than this make no name that anybody reads.
const KEYS_IN_A_NAME: usize = 2;

/// Everything that is drawn over alpha.
pub(crate) struct AlphaSweep<'a> {
    pub(crate) curves: Vec<AlphaCurve<'a>>,
    /// The last generation that all conditions have: what is called final here.
    pub(crate) generation: u32,
    /// Whether some condition goes on beyond it.
    pub(crate) cut: bool,
}

/// The conditions of one setting that differ in alpha, ascending.
pub(crate) struct AlphaCurve<'a> {
    pub(crate) setting: Setting,
    /// What tells curves of one setting apart; `None` where nothing has to.
    pub(crate) group: Option<String>,
    /// At least one, and at least two in some curve of the same family.
    pub(crate) points: Vec<AlphaPoint<'a>>,
}

/// A condition on a curve.
pub(crate) struct AlphaPoint<'a> {
    pub(crate) alpha: f64,
    pub(crate) condition: &'a Condition<'a>,
}

impl AlphaCurve<'_> {
    /// As in a legend: `S1`, or `S1, mixture.mode = accumulate`.
    pub(crate) fn label(&self) -> String {
        match &self.group {
            Some(group) => format!("{}, {group}", self.setting.title()),
            None => self.setting.title().to_owned(),
        }
    }
}

impl<'a> AlphaPoint<'a> {
    /// The mean over seeds at `generation`.
    pub(crate) fn mean(&self, generation: u32) -> Option<&SeriesPoint> {
        at(&self.condition.mean.points, generation)
    }

    /// Every seed and its measurements at `generation`; empty for a single seed, which is the mean.
    pub(crate) fn seeds(&self, generation: u32) -> Vec<(u64, &'a SeriesPoint)> {
        let members = &self.condition.members[..];
        let several = if members.len() > 1 { members } else { &[] };
        let of = |member: &'a Member<'a>| Some((member.run.manifest.seed, at(&member.series.points, generation)?));
        several.iter().filter_map(of).collect()
    }
}

impl<'a> AlphaSweep<'a> {
    /// `None` where no two conditions differ in alpha and seeds alone.
    pub(crate) fn of(conditions: &'a [Condition<'a>]) -> Option<AlphaSweep<'a>> {
        let mut curves: Vec<(&Condition, AlphaCurve)> = Vec::new();
        for condition in conditions {
            let Some(alpha) = condition.real_fraction else { continue };
            let point = AlphaPoint { alpha, condition };
            let known = curves
                .iter_mut()
                .find(|(first, curve)| first.family == condition.family && curve.setting == condition.setting);
            match known {
                Some((_, curve)) => curve.points.push(point),
                None => {
                    let curve = AlphaCurve { setting: condition.setting, group: None, points: vec![point] };
                    curves.push((condition, curve));
                }
            }
        }
        let varied: Vec<&str> =
            curves.iter().filter(|(_, curve)| curve.points.len() > 1).map(|(first, _)| first.family.as_str()).collect();
        curves.retain(|(first, _)| varied.contains(&first.family.as_str()));
        if curves.is_empty() {
            return None;
        }
        name_groups(&mut curves);
        let mut curves: Vec<AlphaCurve> = curves.into_iter().map(|(_, curve)| curve).collect();
        for curve in &mut curves {
            curve.points.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
        }
        let last = |point: &AlphaPoint| point.condition.mean.points.last().map_or(0, |last| last.generation);
        let lasts: Vec<u32> = curves.iter().flat_map(|curve| &curve.points).map(last).collect();
        let generation = lasts.iter().copied().min().unwrap_or(0);
        // A condition itself ends where the shortest of its seeds ends.
        let of_runs = curves.iter().flat_map(|curve| &curve.points).flat_map(|point| &point.condition.members);
        let cut = of_runs.filter_map(|member| member.run.records.last()).any(|record| record.generation > generation);
        Some(AlphaSweep { curves, generation, cut })
    }

    /// What a reader of the numbers must know.
    pub(crate) fn notes(&self) -> Vec<String> {
        let cut = || {
            format!(
                "The runs end at different generations; everything here is taken at t = {}, the last generation that all of them have.",
                self.generation
            )
        };
        self.cut.then(cut).into_iter().collect()
    }
}

/// Curves of several families get what differs between these as a name.
fn name_groups(curves: &mut [(&Condition, AlphaCurve)]) {
    let mut families: Vec<&Condition> = Vec::new();
    for (first, _) in curves.iter() {
        if !families.iter().any(|known| known.family == first.family) {
            families.push(first);
        }
    }
    if families.len() < 2 {
        return;
    }
    let flat: Vec<Vec<(String, String)>> = families.iter().map(|first| named_keys(first)).collect();
    let of =
        |family: usize, key: &str| flat[family].iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
    let mut differing: Vec<&str> = Vec::new();
    for (key, _) in flat.iter().flatten() {
        if !differing.contains(&key.as_str()) && (1..flat.len()).any(|other| of(other, key) != of(0, key)) {
            differing.push(key);
        }
    }
    let name = |family: usize| {
        let parts: Vec<String> =
            differing.iter().map(|key| format!("{key} = {}", of(family, key).unwrap_or("absent"))).collect();
        match parts.len() {
            1..=KEYS_IN_A_NAME => parts.join(", "),
            _ => format!("group {}", family + 1),
        }
    };
    let names: Vec<String> = (0..families.len()).map(name).collect();
    for (first, curve) in curves {
        curve.group = families.iter().position(|known| known.family == first.family).map(|at| names[at].clone());
    }
}

/// The keys of a config that can name a family: not those in which its own runs differ.
fn named_keys(condition: &Condition) -> Vec<(String, String)> {
    const OF_RUNS: [&str; 5] = ["name", "seed", "setting", "mixture.real_fraction", "domain"];
    let mut keys = config_keys::leaves(&condition.config);
    keys.retain(|(key, _)| !OF_RUNS.contains(&key.as_str()));
    let domain = condition.members.first().map_or("", |member| member.run.manifest.domain.as_str());
    keys.push(("domain".to_owned(), domain.to_owned()));
    keys
}

fn at(points: &[SeriesPoint], generation: u32) -> Option<&SeriesPoint> {
    points.iter().find(|point| point.generation == generation)
}
