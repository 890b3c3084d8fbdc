//! `metrics.csv`, `buckets.csv`, `timings.csv` and `noise_floor.csv` of a run folder. All are written whole from the
//! records, so they cannot disagree with them; a generation that could not be made has a last row in metrics.csv, which
//! holds nothing but its flag. Durations have a file of their own: metrics.csv and buckets.csv are byte-identical for
//! interrupted and uninterrupted runs, and anyone can check that with `cmp`; one clock reading among their columns
//! would end it.

use std::path::Path;

use crate::diagnostics::stop_rate;
use crate::error::Result;
use crate::record::{
    BucketNumbers, DiversityNumbers, DriftRecord, NoisePoint, Record, SigmaNumbers, SurfaceNumbers, TrainingRecord,
};
use crate::run_files;
use crate::series::{drift, fixed_beta_drift};
use crate::stopped::Stopped;
use crate::table::{Cell, Column, CsvTable, Table};

pub const METRICS_FILE_NAME: &str = "metrics.csv";
pub const BUCKETS_FILE_NAME: &str = "buckets.csv";
pub const TIMINGS_FILE_NAME: &str = "timings.csv";
pub const NOISE_FILE_NAME: &str = "noise_floor.csv";

/// The files of the run folder `dir` with `records` by name; the noise floor only where t = 0 has one.
fn tables(dir: &Path, records: &[Record]) -> Result<Vec<(&'static str, Table)>> {
    let mut metrics = metrics_table(records);
    if let Some(stopped) = Stopped::of(dir)?.filter(|stopped| stopped.generation as usize == records.len()) {
        let mut row = vec![Cell::Missing; metrics.columns.len()];
        row[0] = Cell::Count(stopped.generation.into());
        if let Some(flags) = row.last_mut() {
            *flags = Cell::Text(stopped.flag);
        }
        metrics.rows.push(row);
    }
    let mut tables = vec![
        (METRICS_FILE_NAME, metrics),
        (BUCKETS_FILE_NAME, buckets_table(records)),
        (TIMINGS_FILE_NAME, timings_table(records)),
    ];
    if records.first().is_some_and(|base| !base.noise.is_empty()) {
        tables.push((NOISE_FILE_NAME, noise_table(records)));
    }
    Ok(tables)
}

/// Writes the files of `records` into `dir`.
pub fn write_metrics(dir: &Path, records: &[Record]) -> Result<()> {
    let write = |(name, table): (&'static str, Table)| {
        let path = dir.join(name);
        run_files::replace(&path, &table.csv(&path)?)
    };
    tables(dir, records)?.into_iter().try_for_each(write)
}

/// The names of those files that are not, byte for byte, what [`write_metrics`] would write.
pub fn stale_metrics(dir: &Path, records: &[Record]) -> Result<Vec<&'static str>> {
    let mut stale = Vec::new();
    for (name, table) in tables(dir, records)? {
        let path = dir.join(name);
        if run_files::read(&path).ok() != Some(table.csv(&path)?) {
            stale.push(name);
        }
    }
    Ok(stale)
}

/// Reads a metrics.csv (or metrics_paper.csv, which has the same columns).
pub fn read_metrics(path: &Path) -> Result<CsvTable> {
    read(path, &metrics_table(&[]))
}

pub fn read_buckets(path: &Path) -> Result<CsvTable> {
    read(path, &buckets_table(&[]))
}

pub fn read_timings(path: &Path) -> Result<CsvTable> {
    read(path, &timings_table(&[]))
}

pub fn read_noise_floor(path: &Path) -> Result<CsvTable> {
    read(path, &noise_table(&[]))
}

fn read(path: &Path, expected: &Table) -> Result<CsvTable> {
    CsvTable::read(path)?.expect_header(expected.columns.iter().map(|column| column.name.as_ref()))
}

/// A column: its name, and its cell in the row of a `T`.
type Field<T> = (&'static str, fn(&T) -> Cell);

/// One set of embeddings beside its baseline, which is the same set at t = 0.
struct Measured<'a> {
    sigma: &'a SigmaNumbers,
    base: Option<&'a SigmaNumbers>,
}

type SigmaField = (&'static str, fn(&Measured) -> Cell);

const GENERATION: Field<Record> = ("generation", |record| Cell::Count(record.generation.into()));

/// What the bank and every bucket are measured by.
const SIGMA: &[SigmaField] = &[
    ("n", |m| Cell::count(m.sigma.n)),
    ("n_a", |m| Cell::count(m.sigma.n_a)),
    ("d", |m| Cell::count(m.sigma.d)),
    ("delta", |m| Cell::Number(m.sigma.delta)),
    ("rho", |m| Cell::Number(m.sigma.rho)),
    ("beta", |m| Cell::Number(m.sigma.beta)),
    ("s", |m| Cell::Number(m.sigma.s)),
    ("u_cov", |m| Cell::Number(m.sigma.u_cov)),
    ("du_cov", |m| drift(Some(m.sigma), m.base, |sigma| sigma.u_cov).into()),
    ("g_kf", |m| Cell::Number(m.sigma.g_kf)),
    ("dg_kf", |m| drift(Some(m.sigma), m.base, |sigma| sigma.g_kf).into()),
    ("g_kf_fixed_beta", |m| m.sigma.g_kf_fixed_beta.into()),
    ("dg_kf_fixed_beta", |m| fixed_beta_drift(Some(m.sigma), m.base).into()),
    ("u_cov_full", |m| Cell::Number(m.sigma.u_cov_full)),
    ("du_cov_full", |m| drift(Some(m.sigma), m.base, |sigma| sigma.u_cov_full).into()),
    ("full_estimate", |m| m.sigma.full_estimate.into()),
    ("full_lower", |m| m.sigma.full_lower.into()),
    ("full_upper", |m| m.sigma.full_upper.into()),
    ("rank", |m| Cell::count(m.sigma.rank)),
    ("condition", |m| Cell::Number(m.sigma.condition)),
    ("lambda_max", |m| Cell::Number(m.sigma.lambda_max)),
    ("lambda_min", |m| Cell::Number(m.sigma.lambda_min)),
    ("log_det_ga", |m| m.sigma.log_det_ga.into()),
    ("plugin", |m| m.sigma.plugin.into()),
    ("theorem1_log_lower", |m| Cell::Number(m.sigma.theorem1_log_lower)),
    ("theorem1_log_upper", |m| Cell::Number(m.sigma.theorem1_log_upper)),
    ("theorem3_s", |m| m.sigma.theorem3_s.into()),
    ("theorem3_half_width", |m| m.sigma.theorem3_half_width.into()),
    ("overestimation", |m| Cell::Number(m.sigma.overestimation)),
];

/// The texts of a checkpoint or of a replicate of the base.
const SURFACE: &[Field<SurfaceNumbers>] = &[
    ("distinct_2", |s| s.distinct_2.into()),
    ("hhi", |s| s.hhi.into()),
    ("distinct_1", |s| s.distinct_1.into()),
    ("distinct_3", |s| s.distinct_3.into()),
    ("distinct_4", |s| s.distinct_4.into()),
    ("repeated_4grams", |s| s.repeated_4grams.into()),
    ("compression_ratio", |s| s.compression_ratio.into()),
    ("self_bleu", |s| s.self_bleu.into()),
    ("words", |s| Cell::count(s.words)),
    ("mean_words", |s| Cell::Number(s.mean_words)),
];

/// The rest of metrics.csv.
const CHECKPOINT: &[Field<Record>] = &[
    ("du_lower", |r| interval(r, |drift| drift.du_lower)),
    ("du_upper", |r| interval(r, |drift| drift.du_upper)),
    ("dg_lower", |r| interval(r, |drift| drift.dg_lower)),
    ("dg_upper", |r| interval(r, |drift| drift.dg_upper)),
    ("effective_rank", |r| diversity(r, |diversity| Some(diversity.effective_rank))),
    ("rank_me", |r| diversity(r, |diversity| Some(diversity.rank_me))),
    ("vendi_1", |r| diversity(r, |diversity| Some(diversity.vendi_1))),
    ("vendi_2", |r| diversity(r, |diversity| Some(diversity.vendi_2))),
    ("vendi_inf", |r| diversity(r, |diversity| Some(diversity.vendi_inf))),
    ("mean_cosine", |r| diversity(r, |diversity| diversity.mean_cosine)),
    ("perplexity_held_out", |r| r.perplexity.as_ref().and_then(|perplexity| perplexity.held_out).into()),
    ("perplexity_answers_under_base", |r| {
        r.perplexity.as_ref().and_then(|perplexity| perplexity.answers_under_base).into()
    }),
    ("answers", |r| Cell::count(r.evaluation.answers)),
    ("empty_answers", |r| Cell::count(r.evaluation.empty)),
    ("truncated_answers", |r| Cell::count(r.evaluation.truncated)),
    ("read_share", |r| Cell::Number(r.evaluation.read_share)),
    ("stopped_at_eos", |r| Cell::count(r.evaluation.stopped_at_eos)),
    ("stop_rate", |r| stop_rate(r).into()),
    ("mean_tokens", |r| Cell::Number(r.evaluation.mean_tokens)),
    ("blocks", |r| Cell::count(r.evaluation.blocks)),
    ("real_blocks", |r| Cell::count(r.mixture.real)),
    ("synthetic_blocks", |r| Cell::count(r.mixture.synthetic)),
    ("steps", |r| training(r, |training| Cell::count(training.steps))),
    ("skipped_steps", |r| training(r, |training| Cell::count(training.skipped_steps))),
    ("first_loss", |r| training(r, |training| Cell::Number(training.first_loss))),
    ("last_loss", |r| training(r, |training| Cell::Number(training.last_loss))),
    ("mean_loss_last_epoch", |r| training(r, |training| Cell::Number(training.mean_loss_last_epoch))),
    ("grad_norm_max", |r| training(r, |training| Cell::Number(training.grad_norm_max))),
    ("weight_distance", |r| training(r, |training| Cell::Number(training.weight_distance))),
    ("flags", |r| Cell::Text(r.flags.join(";"))),
];

/// buckets.csv, before and after the Sigma columns.
const BUCKET: &[Field<BucketNumbers>] =
    &[("bucket", |b| Cell::text(&b.bucket)), ("answers", |b| Cell::count(b.answers))];
const BUCKET_SURFACE: &[Field<BucketNumbers>] = &[("distinct_2", |b| b.distinct_2.into()), ("hhi", |b| b.hhi.into())];

/// timings.csv: the columns that differ from run to run on one machine.
const TIMINGS: &[Field<Record>] = &[
    GENERATION,
    ("started", |r| Cell::text(&r.started)),
    ("finished", |r| Cell::text(&r.finished)),
    ("seconds", |r| Cell::Number(r.seconds)),
    ("seconds_training", |r| training(r, |training| Cell::Number(training.seconds))),
    ("seconds_regeneration", |r| r.regeneration.as_ref().map(|regeneration| regeneration.seconds).into()),
    ("seconds_evaluation", |r| Cell::Number(r.evaluation.seconds)),
    ("seconds_embedding", |r| Cell::Number(r.embedding.seconds)),
    ("training_tokens", |r| training(r, |training| Cell::Count(training.tokens))),
    ("training_tokens_per_second", |r| training(r, |training| Cell::Number(training.tokens_per_second))),
    ("regeneration_tokens", |r| {
        r.regeneration.as_ref().map_or(Cell::Missing, |regeneration| Cell::Count(regeneration.tokens))
    }),
];

pub(crate) fn metrics_table(records: &[Record]) -> Table {
    let columns = names(&[GENERATION]).chain(names(SIGMA)).chain(names(SURFACE)).chain(names(CHECKPOINT)).collect();
    let base = records.first().and_then(|record| record.sigma.as_ref());
    let row = |record: &Record| {
        let mut row = vec![GENERATION.1(record)];
        push_sigma(&mut row, record.sigma.as_ref(), base);
        row.extend(SURFACE.iter().map(|(_, cell)| cell(&record.surface)));
        row.extend(CHECKPOINT.iter().map(|(_, cell)| cell(record)));
        row
    };
    Table { columns, rows: records.iter().map(row).collect() }
}

pub(crate) fn buckets_table(records: &[Record]) -> Table {
    let columns = names(&[GENERATION]).chain(names(BUCKET)).chain(names(SIGMA)).chain(names(BUCKET_SURFACE)).collect();
    let base_of = |bucket: &str| {
        let base = records.first()?.buckets.iter().find(|base| base.bucket == bucket)?;
        base.sigma.as_ref()
    };
    let mut rows = Vec::new();
    for record in records {
        for bucket in &record.buckets {
            let mut row = vec![GENERATION.1(record)];
            row.extend(BUCKET.iter().map(|(_, cell)| cell(bucket)));
            push_sigma(&mut row, bucket.sigma.as_ref(), base_of(&bucket.bucket));
            row.extend(BUCKET_SURFACE.iter().map(|(_, cell)| cell(bucket)));
            rows.push(row);
        }
    }
    Table { columns, rows }
}

pub(crate) fn timings_table(records: &[Record]) -> Table {
    let row = |record| TIMINGS.iter().map(|(_, cell)| cell(record)).collect();
    Table { columns: names(TIMINGS).collect(), rows: records.iter().map(row).collect() }
}

/// One row for each replicate of the base, with its drifts against t = 0.
pub(crate) fn noise_table(records: &[Record]) -> Table {
    let replicate: Field<NoisePoint> = ("replicate", |noise| Cell::Count(noise.replicate.into()));
    let columns = names(&[replicate]).chain(names(SIGMA)).chain(names(SURFACE)).collect();
    let base = records.first().and_then(|record| record.sigma.as_ref());
    let row = |noise: &NoisePoint| {
        let mut row = vec![replicate.1(noise)];
        push_sigma(&mut row, noise.sigma.as_ref(), base);
        row.extend(SURFACE.iter().map(|(_, cell)| cell(&noise.surface)));
        row
    };
    Table { columns, rows: records.iter().take(1).flat_map(|record| &record.noise).map(row).collect() }
}

fn names<F>(fields: &[(&'static str, F)]) -> impl Iterator<Item = Column> {
    fields.iter().map(|(name, _)| Column::named(name))
}

fn push_sigma(row: &mut Vec<Cell>, sigma: Option<&SigmaNumbers>, base: Option<&SigmaNumbers>) {
    row.extend(SIGMA.iter().map(|(_, cell)| match sigma {
        Some(sigma) => cell(&Measured { sigma, base }),
        None => Cell::Missing,
    }));
}

fn diversity(record: &Record, value: impl Fn(&DiversityNumbers) -> Option<f64>) -> Cell {
    record.diversity.as_ref().and_then(value).into()
}

fn interval(record: &Record, end: impl Fn(&DriftRecord) -> Option<f64>) -> Cell {
    record.drift.as_ref().and_then(end).into()
}

fn training(record: &Record, cell: impl Fn(&TrainingRecord) -> Cell) -> Cell {
    record.training.as_ref().map_or(Cell::Missing, cell)
}
