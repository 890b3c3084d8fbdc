//! Track II of a run within prompt buckets, measured beside published, one panel for each published bucket.

use super::line::{Line, Marker};
use super::panel::Panel;
use super::style::{BLUE, INK};
use crate::condition::Condition;
use crate::published::PublishedBucket;
use crate::published_tables::measured_bucket;

/// A bucket that the run lacks has its published line alone.
pub(super) fn panels(condition: &Condition, published: &[PublishedBucket]) -> Vec<Panel> {
    let last = condition.mean.points.last().map_or(0, |point| point.generation);
    let printed = published.iter().flat_map(|bucket| &bucket.du_cov).map(|(generation, _)| *generation);
    let last = printed.fold(last, u32::max);
    published.iter().map(|bucket| panel(condition, bucket, last)).collect()
}

fn panel(condition: &Condition, published: &PublishedBucket, last: u32) -> Panel {
    let measured = measured_bucket(condition, published);
    let measured = measured.into_iter().flat_map(|series| &series.points);
    let measured = measured.map(|point| (point.generation, point.du_cov)).collect();
    let printed = published.du_cov.iter().map(|(generation, du)| (*generation, Some(*du))).collect();
    let lines = vec![
        Line::plain("measured", BLUE, Marker::Circle, measured),
        Line::plain("published", INK, Marker::OpenSquare, printed),
    ];
    Panel::of_drifts(Some(published.bucket.clone()), "ΔU from generation 0", last, lines)
}
