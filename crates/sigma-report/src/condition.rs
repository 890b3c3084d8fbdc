//! Runs sorted into conditions: runs whose `condition_hash` is the same differ in nothing but the seed and are
//! repetitions of one experiment, and a condition is their mean with an interval. It decides what is a repetition and
//! how a condition is called; it does not know files or layout.

use std::collections::BTreeMap;

use serde_yaml::Value;
use sigma_metrics::{Interval, mean_interval};

use crate::buckets::bucket_series;
use crate::error::{ReportError, Result};
use crate::floors::Floors;
use crate::names;
use crate::record::Setting;
use crate::run::{CONFIG_FILE_NAME, Run};
use crate::series::{Behind, RunSeries, SeriesPoint};

/// Probability that an interval over seeds aims at.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// One experiment: all its seeds.
#[derive(Debug)]
pub(crate) struct Condition<'a> {
    pub(crate) setting: Setting,
    /// alpha as configured; `None` if the config does not say.
    pub(crate) real_fraction: Option<f64>,
    /// For people: `S2`, or `S2, α = 0.1` where that tells conditions apart.
    pub(crate) label: String,
    /// For file names: `s2`, `s2_a0.1`.
    pub(crate) slug: String,
    /// All that makes the experiment but its setting and its real fraction: what curves over the real fraction have in
    /// common.
    pub(crate) family: String,
    /// Of the first seed.
    pub(crate) config: Value,
    /// In the order of seeds, at least one.
    pub(crate) members: Vec<Member<'a>>,
    /// The mean over the members at every checkpoint that all of them have, its intervals those over seeds; the series
    /// itself for a single one.
    pub(crate) mean: RunSeries,
    /// Noise of `mean`.
    pub(crate) floors: Floors,
    /// Means of the buckets, each named after its bucket.
    pub(crate) buckets: Vec<RunSeries>,
}

impl Condition<'_> {
    /// Probability that an interval over prompts aims at, as the config states it.
    pub(crate) fn confidence(&self) -> Option<f64> {
        self.config.get("sigma")?.get("confidence")?.as_f64()
    }
}

/// A probability in words, behind what it belongs to: `, 95 %`, or nothing where it is not known.
pub(crate) fn aimed_at(confidence: Option<f64>) -> String {
    confidence.map_or_else(String::new, |confidence| format!(", {} %", (confidence * 1e5).round() / 1e3))
}

/// One run of a condition.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) run: &'a Run,
    /// Over the checkpoints that all members have.
    pub(crate) series: RunSeries,
    pub(crate) floors: Floors,
    pub(crate) label: String,
    pub(crate) slug: String,
}

/// What one run has to do with others.
struct Key<'a> {
    run: &'a Run,
    config: Value,
    real_fraction: Option<f64>,
    mode: Option<String>,
}

/// The conditions of `runs`: S1 before S2, then by real fraction.
///
/// # Errors
/// A config that is no YAML, or the same seed of one condition twice: its numbers would count double.
pub(crate) fn conditions(runs: &[Run]) -> Result<Vec<Condition<'_>>> {
    let mut keys = runs.iter().map(key).collect::<Result<Vec<Key>>>()?;
    keys.sort_by(|a, b| {
        let fraction = |key: &Key| key.real_fraction.unwrap_or(f64::NEG_INFINITY);
        let (one, two) = (&a.run.manifest, &b.run.manifest);
        (one.setting, &one.domain)
            .cmp(&(two.setting, &two.domain))
            .then(fraction(a).total_cmp(&fraction(b)))
            .then_with(|| (&one.name, one.seed).cmp(&(&two.name, two.seed)))
    });
    let mut groups: Vec<Vec<Key>> = Vec::new();
    for key in keys {
        match groups.iter_mut().find(|group| group[0].run.manifest.condition_hash == key.run.manifest.condition_hash) {
            Some(group) => group.push(key),
            None => groups.push(vec![key]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|key| key.run.manifest.seed);
        if let Some(pair) = group.windows(2).find(|pair| pair[0].run.manifest.seed == pair[1].run.manifest.seed) {
            return Err(ReportError::RunTwice {
                seed: pair[0].run.manifest.seed,
                first: pair[0].run.dir.clone(),
                second: pair[1].run.dir.clone(),
            });
        }
        for (i, one) in group.iter().enumerate() {
            if let Some(two) = group[i + 1..].iter().find(|two| same_answers(one.run, two.run)) {
                return Err(ReportError::SameAnswers { first: one.run.dir.clone(), second: two.run.dir.clone() });
            }
        }
    }
    let names = names::of_conditions(&groups.iter().map(|group| parts(&group[0])).collect::<Vec<_>>());
    Ok(groups.into_iter().zip(names).map(|(group, (label, slug))| condition(&group, label, slug)).collect())
}

/// Whether some generation of both runs has the same answers, which no two seeds give: each answer holds its random
/// stream.
pub(crate) fn same_answers(one: &Run, two: &Run) -> bool {
    one.records.iter().zip(&two.records).any(|(one, two)| one.has_answers_of(two))
}

fn parts<'a>(key: &Key<'a>) -> names::Parts<'a> {
    names::Parts {
        setting: key.run.manifest.setting,
        domain: &key.run.manifest.domain,
        real_fraction: key.real_fraction,
        mode: key.mode.clone(),
        name: &key.run.manifest.name,
    }
}

fn key(run: &Run) -> Result<Key<'_>> {
    let config: Value = serde_yaml::from_str(&run.config)
        .map_err(|source| ReportError::Config { path: run.dir.join(CONFIG_FILE_NAME), source })?;
    let mixture = config.get("mixture");
    let real_fraction = mixture.and_then(|mixture| mixture.get("real_fraction")?.as_f64());
    let mode = mixture.and_then(|mixture| Some(mixture.get("mode")?.as_str()?.to_owned()));
    Ok(Key { run, config, real_fraction, mode })
}

fn condition<'a>(group: &[Key<'a>], label: String, slug: String) -> Condition<'a> {
    let checkpoints = group.iter().map(|key| key.run.records.len()).min().unwrap_or(0);
    let several = group.len() > 1;
    let member = |key: &Key<'a>| {
        let seed = key.run.manifest.seed;
        let mut series = key.run.series();
        series.points.truncate(checkpoints);
        Member {
            run: key.run,
            series,
            floors: Floors::of(&key.run.records),
            label: if several { format!("{label}, seed {seed}") } else { label.clone() },
            slug: if several { format!("{slug}_seed{seed}") } else { slug.clone() },
        }
    };
    let members: Vec<Member> = group.iter().map(member).collect();
    let series: Vec<&RunSeries> = members.iter().map(|member| &member.series).collect();
    Condition {
        setting: group[0].run.manifest.setting,
        real_fraction: group[0].real_fraction,
        family: group[0].run.manifest.family_hash.clone(),
        config: group[0].config.clone(),
        mean: mean(&series),
        floors: Floors::of_mean(&members.iter().map(|member| member.floors).collect::<Vec<_>>()),
        buckets: mean_buckets(&members, checkpoints),
        label,
        slug,
        members,
    }
}

/// The mean of every measurement at every checkpoint. One that any run lacks is missing: a mean over some of the seeds
/// would pass for one over all.
fn mean(series: &[&RunSeries]) -> RunSeries {
    let first = series[0];
    if series.len() == 1 {
        return first.clone();
    }
    let all = |t: usize, value: fn(&SeriesPoint) -> Option<f64>| -> Option<Vec<f64>> {
        series.iter().map(|series| value(series.points.get(t)?)).collect()
    };
    let at = |t: usize, value| sigma_metrics::statistics::mean(&all(t, value)?);
    let over_seeds = |t: usize, value| mean_interval(&all(t, value)?, CONFIDENCE);
    let any = |t: usize, holds: fn(Behind) -> bool| {
        series.iter().any(|series| series.points.get(t).is_some_and(|point| holds(point.behind)))
    };
    let point = |t: usize| SeriesPoint {
        generation: first.points[t].generation,
        u_cov: at(t, |point| point.u_cov),
        g_kf: at(t, |point| point.g_kf),
        u_cov_full: at(t, |point| point.u_cov_full),
        du_cov: at(t, |point| point.du_cov),
        dg_kf: at(t, |point| point.dg_kf),
        dg_kf_fixed_beta: at(t, |point| point.dg_kf_fixed_beta),
        du_cov_full: at(t, |point| point.du_cov_full),
        du_interval: over_seeds(t, |point| point.du_cov),
        dg_interval: over_seeds(t, |point| point.dg_kf),
        distinct_2: at(t, |point| point.distinct_2),
        hhi: at(t, |point| point.hhi),
        loss: at(t, |point| point.loss),
        mean_tokens: at(t, |point| point.mean_tokens),
        stop_rate: at(t, |point| point.stop_rate),
        behind: Behind {
            n: at(t, |point| point.behind.n),
            n_a: at(t, |point| point.behind.n_a),
            beta: at(t, |point| point.behind.beta),
            empty: at(t, |point| point.behind.empty),
            differs: any(t, |behind| behind.differs),
            broken: any(t, |behind| behind.broken),
        },
    };
    RunSeries { points: (0..first.points.len()).map(point).collect(), ..first.clone() }
}

fn mean_buckets(members: &[Member], checkpoints: usize) -> Vec<RunSeries> {
    let mut by_name: BTreeMap<String, Vec<RunSeries>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for mut bucket in members.iter().flat_map(|member| bucket_series(member.run)) {
        bucket.points.truncate(checkpoints);
        if !order.contains(&bucket.name) {
            order.push(bucket.name.clone());
        }
        by_name.entry(bucket.name.clone()).or_default().push(bucket);
    }
    // A bucket that a run lacks altogether is nowhere measured by all seeds, and has no mean.
    let complete = order.iter().filter_map(|name| by_name.get(name).filter(|found| found.len() == members.len()));
    complete.map(|found| mean(&found.iter().collect::<Vec<_>>())).collect()
}

/// The interval of the mean of `values`, one per seed; `None` if one is missing, or for fewer than three.
pub(crate) fn interval(values: impl Iterator<Item = Option<f64>>) -> Option<Interval> {
    mean_interval(&values.collect::<Option<Vec<f64>>>()?, CONFIDENCE)
}
