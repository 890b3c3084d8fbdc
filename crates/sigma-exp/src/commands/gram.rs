//! `sigma-exp gram`: the Gram matrix of shards of embeddings, however many rows they have.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sigma_data::regular_file;
use sigma_metrics::{GramAccumulator, MetricsError, Precision, QuadraticMoments};

use super::output::Output;
use crate::progress::Stage;
use crate::shard_stream::ShardStream;
use crate::{cli, matrix_file};

pub fn execute(arguments: &cli::Gram) -> Result<()> {
    let started = Instant::now();
    let output = Output::new(&arguments.out, arguments.force)?;
    let stream = ShardStream::open(&arguments.shards, arguments.column.as_deref())?;
    stream.check_memory()?;
    let precision = if arguments.float64 { Precision::Double } else { Precision::Single };
    let mut gram = GramAccumulator::with_precision(stream.width(), precision)
        .with_context(|| arguments.shards[0].display().to_string())?;
    let mut computing = Duration::ZERO;
    let mut progress = Stage::start(None, "gram", usize::try_from(stream.rows())?, "rows");
    stream.for_each(|block| {
        let begin = Instant::now();
        gram.push(block).map_err(|error| matrix_file::at(&|row| stream.place(row), error))?;
        computing += begin.elapsed();
        progress.update(usize::try_from(gram.n())?, 0);
        Ok(())
    })?;
    drop(progress);
    output.write(|path| gram.save(path))?;
    tracing::info!(
        "{}: {} rows of {} from {} shards in {:.3} s, of which {:.3} s in products",
        arguments.out.display(),
        gram.n(),
        gram.d(),
        arguments.shards.len(),
        started.elapsed().as_secs_f64(),
        computing.as_secs_f64()
    );
    Ok(())
}

/// All of the files, merged in the order given.
pub(super) fn load_all(paths: &[PathBuf]) -> Result<GramAccumulator> {
    let mut merged: Option<GramAccumulator> = None;
    for path in paths {
        regular_file::check(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let gram = GramAccumulator::load(path)?;
        match &mut merged {
            None => merged = Some(gram),
            Some(merged) => merged.merge(&gram).with_context(|| path.display().to_string())?,
        }
    }
    merged.context("no Gram matrix was given")
}

/// The second pass: the same shards once more.
pub(super) fn second_pass(
    gram: &GramAccumulator,
    shards: &[PathBuf],
    column: Option<&str>,
    delta: f64,
) -> Result<QuadraticMoments> {
    let stream = ShardStream::open(shards, column)?;
    if stream.width() != gram.d() {
        return Err(MetricsError::Width { left: gram.d(), right: stream.width() }.into());
    }
    let mut moments = QuadraticMoments::new(gram, delta)?;
    stream.for_each(|block| Ok(moments.push(block)?))?;
    Ok(moments)
}
