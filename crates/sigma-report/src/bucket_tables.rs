//! Tables of localisation by prompt bucket (appendix C.5): the points of the figure, and one line for each bucket.

use crate::buckets::{BANK, find};
use crate::condition::Condition;
use crate::paper_tables::{CONDITION, GENERATION, SETTING, column, differs, differs_note, names_needed};
use crate::record::SigmaNumbers;
use crate::series::RunSeries;
use crate::summary::RunSummary;
use crate::table::{Cell, Digits, Table};

/// The points of a condition in the bucket figure, with the proxies of the same answers.
pub(crate) fn points(condition: &Condition) -> Table {
    let nats = |name, heading, latex| column(name, heading, latex, Digits::Decimals(6));
    let columns = vec![
        GENERATION,
        column("bucket", "bucket", "Bucket", Digits::Exact),
        nats("delta_u_cov", "ΔU_cov (Track II)", r"$\Delta U_{\mathrm{cov}}$"),
        nats("delta_g_kf", "ΔG_KF (Track I)", r"$\Delta G_{\mathrm{KF}}$"),
        column("distinct_2", "distinct-2", "distinct-2", Digits::Decimals(4)),
        column("hhi", "HHI", "HHI", Digits::Decimals(6)),
        column("n", "n", "$n$", Digits::Decimals(0)),
        column("n_a", "n_A", "$n_A$", Digits::Decimals(0)),
        column("differs", "*", "*", Digits::Exact),
    ];
    let row = |bucket: &str, series: &RunSeries, t: usize| {
        let point = &series.points[t];
        vec![
            Cell::Count(point.generation.into()),
            Cell::text(bucket),
            point.du_cov.into(),
            point.dg_kf.into(),
            point.distinct_2.into(),
            point.hhi.into(),
            point.behind.n.into(),
            point.behind.n_a.into(),
            differs(point),
        ]
    };
    let checkpoint = |t: usize| {
        let bank = row(BANK, &condition.mean, t);
        let buckets = condition.buckets.iter().map(move |bucket| row(&bucket.name, bucket, t));
        std::iter::once(bank).chain(buckets)
    };
    Table { columns, rows: (0..condition.mean.points.len()).flat_map(checkpoint).collect() }
}

/// Where both tracks of every bucket ended and how they moved, the whole bank first. `excess` is how much further than
/// the bank a bucket's Track II fell, in nats; a bucket is measured on fewer blocks than the bank, so its level is
/// another one and only drifts compare.
pub(crate) fn summary(conditions: &[Condition]) -> Table {
    let nats = |name, heading, latex| column(name, heading, latex, Digits::Decimals(3));
    let count = |name, heading, latex| column(name, heading, latex, Digits::Decimals(0));
    let several = names_needed(conditions);
    let mut columns = vec![SETTING];
    columns.extend(several.then_some(CONDITION));
    columns.extend([
        column("bucket", "bucket", "Bucket", Digits::Exact),
        count("answers", "answers", "answers"),
        count("blocks", "n (t = T)", r"\shortstack[r]{$n$\\$t = T$}"),
        count("observed", "n_A (t = T)", r"\shortstack[r]{$n_A$\\$t = T$}"),
        nats("delta_u_cov_final", "ΔU_cov (final)", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\final}"),
        nats("slope_u_cov", "slope ΔU_cov", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\slope}"),
        nats("delta_u_cov_excess", "ΔU_cov excess", r"\shortstack[r]{$\Delta U_{\mathrm{cov}}$\\excess}"),
        nats("delta_g_kf_final", "ΔG_KF (final)", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\final}"),
        nats("slope_g_kf", "slope ΔG_KF", r"\shortstack[r]{$\Delta G_{\mathrm{KF}}$\\slope}"),
    ]);
    let row = |condition: &Condition, bucket: &str, series: &RunSeries| -> Option<Vec<Cell>> {
        let (bank, numbers) = (RunSummary::of(&condition.mean)?, RunSummary::of(series)?);
        let excess = numbers.final_du.zip(bank.final_du).map(|(bucket, bank)| bucket - bank);
        let mut cells = vec![Cell::text(condition.setting.title())];
        cells.extend(several.then(|| Cell::text(&condition.label)));
        let last = series.points.len() - 1;
        cells.extend([
            Cell::text(bucket),
            answers(condition, bucket, last).into(),
            blocks(condition, bucket, last, |sigma| sigma.n).into(),
            blocks(condition, bucket, last, |sigma| sigma.n_a).into(),
            numbers.final_du.into(),
            numbers.slope_u.into(),
            excess.into(),
            numbers.final_dg.into(),
            numbers.slope_g.into(),
        ]);
        Some(cells)
    };
    let rows = conditions.iter().flat_map(|condition| {
        let bank = row(condition, BANK, &condition.mean);
        bank.into_iter().chain(condition.buckets.iter().filter_map(|bucket| row(condition, &bucket.name, bucket)))
    });
    Table { rows: rows.collect(), columns }
}

/// What a reader of the drifts must know: a bucket observed on fewer blocks than there are dimensions has directions
/// that nothing reached, and those do not drift.
pub(crate) fn notes(conditions: &[Condition]) -> Vec<String> {
    let sigmas = conditions.iter().flat_map(|condition| &condition.members).flat_map(|member| &member.run.records);
    let mut of_buckets = sigmas.flat_map(|record| &record.buckets).filter_map(|bucket| bucket.sigma.as_ref());
    let short = of_buckets.find(|sigma| sigma.n_a < sigma.d);
    let note = |sigma: &SigmaNumbers| {
        format!(
            "Some buckets are observed on fewer blocks than the embedding has dimensions (n_A < d = {}): their Gram matrices have at \
             most rank n_A, so their drifts are smaller by construction than those of all prompts; compare buckets with each other.",
            sigma.d
        )
    };
    let marked = differs_note(conditions.iter().flat_map(|condition| &condition.buckets));
    short.map(note).into_iter().chain(marked).collect()
}

/// Answers to the prompts of a bucket, a mean over seeds.
fn answers(condition: &Condition, bucket: &str, t: usize) -> Option<f64> {
    let of_run = |records: &[crate::Record]| match bucket {
        BANK => Some(records.get(t)?.evaluation.answers as f64),
        _ => Some(find(records.get(t)?, bucket)?.answers as f64),
    };
    over_seeds(condition, of_run)
}

/// Blocks behind the numbers of a bucket, a mean over seeds.
fn blocks(condition: &Condition, bucket: &str, t: usize, count: fn(&SigmaNumbers) -> usize) -> Option<f64> {
    let of_run = |records: &[crate::Record]| {
        let sigma = match bucket {
            BANK => records.get(t)?.sigma.as_ref(),
            _ => find(records.get(t)?, bucket)?.sigma.as_ref(),
        };
        sigma.map(|sigma| count(sigma) as f64)
    };
    over_seeds(condition, of_run)
}

fn over_seeds(condition: &Condition, value: impl Fn(&[crate::Record]) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = condition.members.iter().map(|member| value(&member.run.records)).collect();
    sigma_metrics::statistics::mean(&values?)
}
