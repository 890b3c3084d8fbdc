//! Prompt buckets as series: what a run measured over the prompts of one bucket, with drifts against the same bucket at
//! t = 0. A bucket series is a run series without a loss, so that all that is known about runs applies to it. Layout is
//! not known here.

use crate::record::{BucketNumbers, Record};
use crate::run::Run;
use crate::series::{RunSeries, SeriesPoint, with_breaks};

/// How the whole prompt bank is called where it stands beside its buckets.
pub(crate) const BANK: &str = "(all prompts)";

/// The buckets of `run` in the order in which they first appear; `name` is the bucket's. A checkpoint that lacks a
/// bucket leaves a gap.
pub(crate) fn bucket_series(run: &Run) -> Vec<RunSeries> {
    let series = |bucket: String| RunSeries {
        points: with_breaks(run.records.iter().map(|record| point(record, &bucket, run.records.first())).collect()),
        name: bucket,
        domain: run.manifest.domain.clone(),
        setting: run.manifest.setting,
    };
    bucket_names(&run.records).into_iter().map(series).collect()
}

/// The numbers of `bucket` in `record`.
pub(crate) fn find<'a>(record: &'a Record, bucket: &str) -> Option<&'a BucketNumbers> {
    record.buckets.iter().find(|numbers| numbers.bucket == bucket)
}

fn bucket_names(records: &[Record]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for numbers in records.iter().flat_map(|record| &record.buckets) {
        if !names.contains(&numbers.bucket) {
            names.push(numbers.bucket.clone());
        }
    }
    names
}

fn point(record: &Record, bucket: &str, first: Option<&Record>) -> SeriesPoint {
    let numbers = find(record, bucket);
    let sigma = numbers.and_then(|numbers| numbers.sigma.as_ref());
    let base = first.and_then(|first| find(first, bucket)?.sigma.as_ref());
    SeriesPoint {
        distinct_2: numbers.and_then(|numbers| numbers.distinct_2),
        hhi: numbers.and_then(|numbers| numbers.hhi),
        ..SeriesPoint::of_tracks(record.generation, sigma, base)
    }
}
