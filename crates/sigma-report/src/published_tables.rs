//! Measured beside published: the points of both series and of their buckets, and the scalars that both have. A
//! difference is measured minus published. Where the published runs observed every row, Track II with every row
//! observed is what compares; it stands beside.

use crate::condition::Condition;
use crate::paper_tables::{GENERATION, column};
use crate::published::{Published, PublishedBucket, PublishedPoint, PublishedSurface};
use crate::record::SigmaNumbers;
use crate::series::{RunSeries, SeriesPoint};
use crate::summary::{ProxySummary, RunSummary, slope};
use crate::table::{Cell, Column, Digits, Table};

/// Drifts are against this generation.
const BASE: u32 = 0;
const NATS: Digits = Digits::Decimals(6);
const DU: Column =
    column("delta_u_cov", "ΔU_cov measured", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\measured}", NATS);
const DU_PUBLISHED: Column =
    column("delta_u_cov_published", "ΔU_cov published", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\published}", NATS);
const DU_DIFFERENCE: Column = column("delta_u_cov_difference", "difference", "difference", NATS);

/// Both tracks of `condition` and of the paper, at every generation that either has, with the rows behind them: n and
/// n_A of the run (a mean over seeds), and the n_t that the published drifts imply.
pub(crate) fn points(condition: &Condition, published: &[PublishedPoint]) -> Table {
    let measured = &condition.mean;
    let count = |name, heading, latex| column(name, heading, latex, Digits::Decimals(0));
    let columns = vec![
        GENERATION,
        DU,
        DU_PUBLISHED,
        DU_DIFFERENCE,
        column("delta_u_cov_full", "ΔU_cov full", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\all rows}", NATS),
        column("delta_u_cov_full_difference", "full − published", "difference", NATS),
        column("delta_g_kf", "ΔG_KF measured", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\measured}", NATS),
        column("delta_g_kf_published", "ΔG_KF published", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\published}", NATS),
        column("delta_g_kf_difference", "difference", "difference", NATS),
        count("n", "n measured", r"\shortstack[r]{$n$\\measured}"),
        count("n_a", "n_A measured", r"\shortstack[r]{$n_A$\\measured}"),
        column("n_published", "n = n_A published", r"\shortstack[r]{$n = n_A$\\published}", Digits::Exact),
    ];
    let row = |generation: u32| {
        let here = measured.points.iter().find(|point| point.generation == generation);
        let there = published.iter().find(|point| point.generation == generation);
        let du = (here.and_then(|point| point.du_cov), there.map(|point| point.du_cov));
        let dg = (here.and_then(|point| point.dg_kf), there.map(|point| point.dg_kf));
        let full = here.and_then(|point| point.du_cov_full);
        let mut row = vec![Cell::Count(generation.into())];
        row.extend(Pair::of(du.0, du.1).cells());
        row.extend([full.into(), difference(full, du.1).into()]);
        let stepped = |observed: &dyn Fn(u32) -> bool| observed(generation) != observed(BASE);
        let alike = stepped(&|t| every_row_observed(condition, t)) == stepped(&|t| every_row_printed(published, t));
        row.extend(Pair::of(dg.0, dg.1).only_if(alike).cells());
        row.extend([
            measured_rows(condition, generation, |sigma| sigma.n).into(),
            measured_rows(condition, generation, |sigma| sigma.n_a).into(),
            there.and_then(|point| point.rows).map_or(Cell::Missing, |rows| Cell::Count(rows.into())),
        ]);
        row
    };
    let generations = measured.points.iter().map(|point| point.generation);
    Table { columns, rows: each(generations.chain(published.iter().map(|point| point.generation)), row) }
}

/// Track II of `condition` and of the paper within every published bucket; a bucket that the run lacks has no measured
/// values.
pub(crate) fn bucket_points(condition: &Condition, published: &[PublishedBucket]) -> Table {
    let columns =
        vec![GENERATION, column("bucket", "bucket", "Bucket", Digits::Exact), DU, DU_PUBLISHED, DU_DIFFERENCE];
    let row = |generation: u32| -> Vec<Vec<Cell>> {
        let of_bucket = |bucket: &PublishedBucket| {
            let here = measured_bucket(condition, bucket).and_then(|series| {
                series.points.iter().find(|point| point.generation == generation).and_then(|point| point.du_cov)
            });
            let there = bucket.du_cov.iter().find(|(at, _)| *at == generation).map(|(_, du)| *du);
            let mut row = vec![Cell::Count(generation.into()), Cell::text(&bucket.bucket)];
            row.extend(Pair::of(here, there).cells());
            row
        };
        published.iter().map(of_bucket).collect()
    };
    let generations = condition.mean.points.iter().map(|point| point.generation);
    let printed = published.iter().flat_map(|bucket| &bucket.du_cov).map(|(generation, _)| *generation);
    Table { columns, rows: each(generations.chain(printed), row).concat() }
}

/// What `condition` measured within a published bucket.
pub(crate) fn measured_bucket<'a>(condition: &'a Condition, published: &PublishedBucket) -> Option<&'a RunSeries> {
    condition.buckets.iter().find(|series| series.name == published.bucket)
}

/// A number of rows of `condition` at `generation`, a mean over its seeds; `None` where one of them has none.
pub(crate) fn measured_rows(condition: &Condition, generation: u32, rows: fn(&SigmaNumbers) -> usize) -> Option<f64> {
    let of_run = |records: &[crate::Record]| {
        let record = records.iter().find(|record| record.generation == generation)?;
        record.sigma.as_ref().map(|sigma| rows(sigma) as f64)
    };
    let counts: Option<Vec<f64>> = condition.members.iter().map(|member| of_run(&member.run.records)).collect();
    sigma_metrics::statistics::mean(&counts?)
}

/// One value of `make` for each generation, in their order.
fn each<T>(generations: impl Iterator<Item = u32>, make: impl Fn(u32) -> T) -> Vec<T> {
    let mut generations: Vec<u32> = generations.collect();
    generations.sort_unstable();
    generations.dedup();
    generations.into_iter().map(make).collect()
}

/// Whether no row was left out at `generation`, so that the tail budget was 0.
pub(crate) fn every_row_observed(condition: &Condition, generation: u32) -> bool {
    let n = measured_rows(condition, generation, |sigma| sigma.n);
    n.is_some() && n == measured_rows(condition, generation, |sigma| sigma.n_a)
}

/// The same of the published run.
fn every_row_printed(published: &[PublishedPoint], generation: u32) -> bool {
    published.iter().any(|point| point.generation == generation && point.rows.is_some())
}

/// One quantity of a run and of the paper.
struct Pair {
    measured: Option<f64>,
    published: Option<f64>,
    /// Without it no difference is shown: a drift of Track I across a step of the tail budget compares with none that
    /// has no step.
    comparable: bool,
}

impl Pair {
    fn of(measured: Option<f64>, published: Option<f64>) -> Pair {
        Pair { measured, published, comparable: true }
    }

    fn only_if(self, comparable: bool) -> Pair {
        Pair { comparable, ..self }
    }

    fn cells(self) -> [Cell; 3] {
        let difference = difference(self.measured, self.published).filter(|_| self.comparable);
        [self.measured.into(), self.published.into(), difference.into()]
    }
}

/// The scalars of every condition beside those printed for its setting: where the runs ended, and, where one is
/// shorter, both at its end.
pub(crate) fn scalars(conditions: &[Condition], published: &Published) -> Table {
    let text = |name, heading| column(name, heading, heading, Digits::Exact);
    let columns = vec![
        text("condition", "condition"),
        text("quantity", "quantity"),
        column("generations", "T measured", r"\shortstack[r]{$T$\\measured}", Digits::Exact),
        column("generations_published", "T published", r"\shortstack[r]{$T$\\published}", Digits::Exact),
        column("measured", "measured", "measured", NATS),
        column("published", "published", "published", NATS),
        column("difference", "difference", "difference", NATS),
    ];
    Table { columns, rows: conditions.iter().flat_map(|condition| condition_rows(condition, published)).collect() }
}

fn condition_rows(condition: &Condition, published: &Published) -> Vec<Vec<Cell>> {
    let series = &condition.mean;
    let (Some(here), Some(there)) = (RunSummary::of(series), published.summary(condition.setting)) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    let mut row = |quantity: &str, generations: [u32; 2], pair: Pair| {
        let mut row = vec![Cell::text(&condition.label), Cell::text(quantity)];
        row.extend(generations.map(|last| Cell::Count(last.into())));
        row.extend(pair.cells());
        rows.push(row);
    };
    let ends = [here.generations, there.generations];
    let printed = published.points(condition.setting);
    let as_base = |last| every_row_printed(printed, last) == every_row_printed(printed, BASE);
    let steps = |last| printed.iter().any(|point| point.generation <= last && !as_base(point.generation));
    let full = |series: &RunSeries| (series.points.last().and_then(|point| point.du_cov_full), full_slope(series));
    row("delta_u_cov_final", ends, Pair::of(here.final_du, Some(there.final_du)));
    row("slope_u_cov", ends, Pair::of(here.slope_u, Some(there.slope_u)));
    row("delta_u_cov_full_final", ends, Pair::of(full(series).0, Some(there.final_du)));
    row("slope_u_cov_full", ends, Pair::of(full(series).1, Some(there.slope_u)));
    row("delta_g_kf_final", ends, Pair::of(here.final_dg, Some(there.final_dg)).only_if(as_base(there.generations)));
    row("slope_g_kf", ends, Pair::of(here.slope_g, Some(there.slope_g)).only_if(!steps(there.generations)));
    if let Some((cut, here, there)) = common(series, published).filter(|_| ends[0] != ends[1]) {
        let ends = [here.generations, there.generations];
        row("delta_u_cov_common", ends, Pair::of(here.final_du, there.final_du));
        row("slope_u_cov_common", ends, Pair::of(here.slope_u, there.slope_u));
        row("delta_u_cov_full_common", ends, Pair::of(full(&cut).0, there.final_du));
        row("slope_u_cov_full_common", ends, Pair::of(full(&cut).1, there.slope_u));
        row("delta_g_kf_common", ends, Pair::of(here.final_dg, there.final_dg).only_if(as_base(there.generations)));
        row("slope_g_kf_common", ends, Pair::of(here.slope_g, there.slope_g).only_if(!steps(there.generations)));
    }
    if let Some(surface) = published.surface(condition.setting) {
        surface_rows(series, surface, ends, row);
    }
    rows
}

/// Ends of the proxies, and the three correlations that the paper names, each over the run's own generations.
fn surface_rows(
    series: &RunSeries,
    published: &PublishedSurface,
    ends: [u32; 2],
    mut row: impl FnMut(&str, [u32; 2], Pair),
) {
    let distinct_2 = ProxySummary::of(series, |point: &SeriesPoint| point.distinct_2);
    let hhi = ProxySummary::of(series, |point: &SeriesPoint| point.hhi);
    row("distinct_2_first", [0, 0], Pair::of(distinct_2.first, Some(published.distinct_2_first)));
    row("distinct_2_last", ends, Pair::of(distinct_2.last, Some(published.distinct_2_last)));
    row("hhi_first", [0, 0], Pair::of(hhi.first, Some(published.hhi_first)));
    row("hhi_last", ends, Pair::of(hhi.last, Some(published.hhi_last)));
    row("pearson_distinct_2", ends, Pair::of(distinct_2.pearson, Some(published.pearson_distinct_2)));
    row("pearson_hhi", ends, Pair::of(hhi.pearson, Some(published.pearson_hhi)));
    row("spearman_hhi", ends, Pair::of(hhi.spearman, Some(published.spearman_hhi)));
}

fn full_slope(series: &RunSeries) -> Option<f64> {
    slope(series, |point| point.du_cov_full)
}

/// Both series cut to the generations that both have: the measured one, and both in scalars.
fn common(measured: &RunSeries, published: &Published) -> Option<(RunSeries, RunSummary, RunSummary)> {
    let (mut here, mut there) = (measured.clone(), published.series(measured.setting)?);
    let length = here.points.len().min(there.points.len());
    here.points.truncate(length);
    there.points.truncate(length);
    let summary = RunSummary::of(&here)?;
    Some((here, summary, RunSummary::of(&there)?))
}

fn difference(measured: Option<f64>, published: Option<f64>) -> Option<f64> {
    Some(measured? - published?)
}
