//! Every column of metrics.csv over generations, one at a time, with the noise of the base where the replicates have
//! it. Values are those of the tables; what a column means is not known here.

use sigma_metrics::NoiseFloor;

use super::chart::{Chart, Line};
use crate::condition::{Condition, Member};
use crate::floors::LEVEL;
use crate::metrics_csv::{metrics_table, noise_table};
use crate::table::Table;

/// What readers ask for first; the other columns follow in the order of the file.
const FIRST: [&str; 12] = [
    "mean_tokens",
    "stop_rate",
    "n",
    "n_a",
    "empty_answers",
    "read_share",
    "mean_loss_last_epoch",
    "weight_distance",
    "distinct_2",
    "hhi",
    "vendi_1",
    "self_bleu",
];
/// The x axis itself, and the columns of intervals, which are drawn elsewhere around what they belong to.
const LEFT_OUT: [&str; 7] =
    ["generation", "du_lower", "du_upper", "dg_lower", "dg_upper", "theorem3_s", "theorem3_half_width"];

/// A line for each condition and column, and one for the noise of its base where there is any.
pub(super) fn chart(conditions: &[Condition]) -> Chart {
    let tables: Vec<Vec<Table>> = conditions.iter().map(|condition| members(condition, metrics_table)).collect();
    let noise: Vec<Vec<Table>> = conditions.iter().map(|condition| members(condition, noise_table)).collect();
    let columns = columns(&tables);
    let mut names: Vec<(String, bool)> = conditions.iter().map(|condition| (condition.label.clone(), false)).collect();
    let mut lines = Vec::new();
    for (at, condition) in conditions.iter().enumerate() {
        let noisy = condition.members.iter().all(|member| base_noise(member) > 1);
        let group_of_noise = names.len();
        names.extend(noisy.then(|| (format!("{}, noise of the base", condition.label), true)));
        for (signal, name) in columns.iter().enumerate() {
            let values = mean(&tables[at], name, condition.mean.points.len());
            let floor = noisy.then(|| floor(&tables[at], &noise[at], name)).flatten();
            lines.push(Line::of_values(at, signal, &values));
            lines.extend(floor.map(|floor| Line::of_floor(group_of_noise, signal, &floor, values.len())));
        }
    }
    Chart::of_columns("metrics", names, columns.iter().map(|name| (*name).to_owned()).collect(), lines)
}

fn members(condition: &Condition, table: fn(&[crate::Record]) -> Table) -> Vec<Table> {
    condition.members.iter().map(|member| table(&member.run.records)).collect()
}

fn base_noise(member: &Member) -> usize {
    member.run.records.first().map_or(0, |base| base.noise.len())
}

/// The names of all columns that hold a number somewhere.
fn columns(tables: &[Vec<Table>]) -> Vec<&str> {
    let all = || tables.iter().flatten();
    let Some(first) = all().next() else { return Vec::new() };
    let names = || first.columns.iter().map(|column| column.name.as_ref());
    let rest = names().filter(|name| !FIRST.contains(name) && !LEFT_OUT.contains(name));
    let measured = |name: &str| all().any(|table| table.numbers_of(name).iter().any(Option::is_some));
    FIRST.into_iter().chain(rest).filter(|name| measured(name)).collect()
}

/// The mean over seeds at every checkpoint that all have; missing where one seed has no value.
fn mean(tables: &[Table], name: &str, length: usize) -> Vec<Option<f64>> {
    let seeds: Vec<Vec<Option<f64>>> = tables.iter().map(|table| table.numbers_of(name)).collect();
    let at = |t: usize| {
        let values: Option<Vec<f64>> = seeds.iter().map(|seed| seed.get(t).copied().flatten()).collect();
        sigma_metrics::statistics::mean(&values?)
    };
    (0..length).map(at).collect()
}

/// The band around the base's values of a column; `None` where replicates lack it.
fn floor(tables: &[Table], noise: &[Table], name: &str) -> Option<NoiseFloor> {
    let of_seed = |(table, noise): (&Table, &Table)| {
        let base = table.numbers_of(name).first().copied().flatten()?;
        NoiseFloor::of(&noise.numbers_of(name).into_iter().collect::<Option<Vec<f64>>>()?, base, LEVEL)
    };
    let floors: Vec<NoiseFloor> = tables.iter().zip(noise).map(of_seed).collect::<Option<_>>()?;
    if let [only] = floors[..] { Some(only) } else { NoiseFloor::of_mean(&floors, LEVEL) }
}
