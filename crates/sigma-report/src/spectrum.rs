//! `gen-NNN/spectrum.csv`: the eigenvalues of G_A, and a run's spectra over generations, thinned to what a picture can
//! show. Where an eigenvalue comes from is not known here.

use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use crate::condition::Condition;
use crate::error::{ReportError, Result};
use crate::run::{Run, generation_dir_name};
use crate::run_files;
use crate::table::CsvTable;

const FILE_NAME: &str = "spectrum.csv";
/// Generations and eigenvalues of a picture at most.
const GENERATIONS: usize = 26;
const EIGENVALUES: usize = 64;

/// Spectra of one run: the eigenvalues at some places of the descending order, at some generations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Spectrum {
    /// Of the condition that the run stands for.
    pub(crate) label: String,
    pub(crate) slug: String,
    /// How many eigenvalues there are.
    pub(crate) dimension: usize,
    /// Generations that have the file.
    pub(crate) generations_found: usize,
    /// Places in the descending order, the largest eigenvalue at 1.
    pub(crate) places: Vec<usize>,
    pub(crate) curves: Vec<Curve>,
}

/// The eigenvalues of one generation at the places.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Curve {
    pub(crate) generation: u32,
    pub(crate) eigenvalues: Vec<f64>,
    /// log10(lambda_i(t) / lambda_i(0)); `None` where either is zero up to rounding, everywhere if t = 0 has no
    /// spectrum.
    pub(crate) log_ratios: Vec<Option<f64>>,
}

impl Spectrum {
    /// Whether there is anything to set beside t = 0.
    pub(crate) fn has_ratios(&self) -> bool {
        self.curves.iter().skip(1).any(|curve| curve.log_ratios.iter().any(Option::is_some))
    }

    /// What is shown of what there is.
    pub(crate) fn note(&self) -> String {
        format!(
            "{} of {} generations and {} of {} eigenvalues are shown, the first and the last of both among them; eigenvalues are \
             taken more densely towards both ends of the spectrum.",
            self.curves.len(),
            self.generations_found,
            self.places.len(),
            self.dimension
        )
    }
}

/// The spectra of the first seed of every condition whose folder holds them.
///
/// # Errors
/// A file that is no spectrum, or whose length differs from that of the first generation.
pub(crate) fn spectra(conditions: &[Condition]) -> Result<Vec<Spectrum>> {
    let mut found = Vec::new();
    for condition in conditions {
        let Some(member) = condition.members.first() else { continue };
        let Some((places, dimension, generations_found, curves)) = of_run(member.run)? else { continue };
        let (label, slug) = (member.label.clone(), condition.slug.clone());
        found.push(Spectrum { label, slug, dimension, generations_found, places, curves });
    }
    Ok(found)
}

type Found = (Vec<usize>, usize, usize, Vec<Curve>);

fn of_run(run: &Run) -> Result<Option<Found>> {
    let mut all: Vec<(u32, Vec<f64>)> = Vec::new();
    let mut rows = 0;
    for record in &run.records {
        let path = run.dir.join(generation_dir_name(record.generation)).join(FILE_NAME);
        let Some(eigenvalues) = read(&path)? else { continue };
        let dimension = all.first().map_or(eigenvalues.len(), |(_, first)| first.len());
        if eigenvalues.len() != dimension {
            return Err(ReportError::Inconsistent {
                path,
                field: "i",
                expected: format!("1 to {dimension} as in the first generation"),
                got: format!("1 to {}", eigenvalues.len()),
            });
        }
        rows = record.sigma.as_ref().map_or(rows, |sigma| rows.max(sigma.n_a));
        all.push((record.generation, eigenvalues));
    }
    let Some(dimension) = all.first().map(|(_, first)| first.len()) else { return Ok(None) };
    let places = dense_at_both_ends(dimension, EIGENVALUES);
    let found = all.len();
    let base = all.first().filter(|(generation, _)| *generation == 0).map(|(_, eigenvalues)| eigenvalues);
    let zero = |eigenvalues: &[f64]| rounding(eigenvalues, rows);
    let curve = |at: usize| {
        let (generation, eigenvalues) = &all[at];
        let ratio = |place: &usize| {
            let [now, before] = [eigenvalues, base?].map(|all| (all[place - 1], zero(all)));
            let both = now.0 > now.1 && before.0 > before.1;
            // As a difference: the ratio of two finite numbers can be infinite.
            both.then(|| now.0.log10() - before.0.log10())
        };
        Curve {
            generation: *generation,
            eigenvalues: places.iter().map(|place| eigenvalues[place - 1]).collect(),
            log_ratios: places.iter().map(ratio).collect(),
        }
    };
    let curves = evenly(found, GENERATIONS).into_iter().map(curve).collect();
    Ok(Some((places, dimension, found, curves)))
}

/// Up to here an eigenvalue is zero, as for the rank of `metrics.csv`.
fn rounding(eigenvalues: &[f64], rows: usize) -> f64 {
    let largest = eigenvalues.first().copied().unwrap_or(0.0).max(0.0);
    eigenvalues.len().max(rows) as f64 * f64::EPSILON * largest
}

/// `None` where there is no such file: older runs have none.
fn read(path: &Path) -> Result<Option<Vec<f64>>> {
    let bytes = match run_files::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReportError::read(path)(error)),
    };
    let table = CsvTable::parse(path, &bytes)?.expect_header(["i", "lambda"])?;
    let eigenvalues =
        table.parsed("lambda", "finite number", |cell| cell.parse().ok().filter(|value: &f64| value.is_finite()))?;
    let places = table.all_numbers("i")?;
    let wrong = |row: usize, column: &str, expected: &'static str, got: f64| ReportError::CsvCell {
        path: path.to_path_buf(),
        line: row as u64 + 2,
        column: column.to_owned(),
        expected,
        got: got.to_string(),
    };
    if eigenvalues.is_empty() {
        return Err(ReportError::CsvCell {
            path: path.to_path_buf(),
            line: 2,
            column: "lambda".to_owned(),
            expected: "eigenvalue",
            got: String::new(),
        });
    }
    for (row, place) in places.iter().enumerate() {
        // Counted from 0 or from 1.
        let first = if places[0] == 0.0 { 0.0 } else { 1.0 };
        if *place != first + row as f64 {
            return Err(wrong(row, "i", "next place in the order", *place));
        }
        if row > 0 && eigenvalues[row] > eigenvalues[row - 1] {
            return Err(wrong(row, "lambda", "number up to the one before", eigenvalues[row]));
        }
    }
    Ok(Some(eigenvalues))
}

/// At most `count` of the numbers 0..`all`, evenly spaced, the first and the last among them.
fn evenly(all: usize, count: usize) -> Vec<usize> {
    let stride = all.saturating_sub(1).div_ceil(count.saturating_sub(1).max(1)).max(1);
    let mut chosen: Vec<usize> = (0..all).step_by(stride).collect();
    let last = all.saturating_sub(1);
    if all > 0 && chosen.last() != Some(&last) {
        match chosen.len() == count {
            true => chosen[count - 1] = last,
            false => chosen.push(last),
        }
    }
    chosen
}

/// At most `count` of the numbers 1..=`all`, spaced as the zeros of a Chebyshev polynomial: a spectrum bends at its
/// ends.
fn dense_at_both_ends(all: usize, count: usize) -> Vec<usize> {
    if all <= count {
        return (1..=all).collect();
    }
    let place = |k: usize| {
        let angle = std::f64::consts::PI * k as f64 / (count - 1) as f64;
        1 + ((1.0 - angle.cos()) / 2.0 * (all - 1) as f64).round() as usize
    };
    let mut places: Vec<usize> = (0..count).map(place).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_series_keep_both_ends_and_stay_short() {
        for all in [1, 2, 25, 26, 27, 50, 51, 52, 101, 768, 5000] {
            let generations = evenly(all, GENERATIONS);
            assert_eq!((generations.first(), generations.last()), (Some(&0), Some(&(all - 1))));
            let places = dense_at_both_ends(all, EIGENVALUES);
            assert_eq!((places.first(), places.last()), (Some(&1), Some(&all)));
            assert!(generations.len() <= GENERATIONS && places.len() <= EIGENVALUES, "{all}");
            assert!(generations.is_sorted_by(|a, b| a < b) && places.is_sorted_by(|a, b| a < b), "{all}");
        }
        assert_eq!(evenly(51, GENERATIONS), (0..=50).step_by(2).collect::<Vec<_>>());
        assert_eq!(evenly(0, GENERATIONS), Vec::<usize>::new());
    }
}
