//! Shards of embeddings as one stream of blocks: a thread reads the next block while the last one is computed with.
//! What is computed is not known here.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context, Result, bail};
use sigma_data::{Limits, Shard};
use sigma_metrics::MAX_WIDTH;

use crate::interrupt;

/// Rows that a thread should find in a block, so that none waits for the others for long.
const ROWS_PER_THREAD: usize = 16_384;

/// A block's largest size in bytes. Two are in memory: one read, one computed with.
const BLOCK_BYTES: usize = 128 << 20;

/// The shards of one pass, in order, all of the same width.
pub struct ShardStream<'a> {
    paths: &'a [PathBuf],
    column: Option<&'a str>,
    width: usize,
    /// Row number at which each shard begins.
    starts: Vec<u64>,
    rows: u64,
}

impl<'a> ShardStream<'a> {
    /// Reads every header; `column` chooses the tensor or column of each.
    pub fn open(paths: &'a [PathBuf], column: Option<&'a str>) -> Result<Self> {
        let (mut starts, mut rows, mut width) = (Vec::new(), 0, 0);
        for path in paths {
            let shard = Shard::open(path, column)?;
            if starts.is_empty() {
                width = shard.width();
            } else if shard.width() != width {
                bail!(
                    "{}: rows of width {}, but those of {} have width {width}; give shards of one encoder",
                    path.display(),
                    shard.width(),
                    paths[0].display()
                );
            }
            starts.push(rows);
            rows += shard.rows();
        }
        Ok(Self { paths, column, width, starts, rows })
    }

    /// Width of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of all shards.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Refuses rows whose Gram matrix is out of proportion to the shards. Widths of which none is made are refused
    /// where it would be.
    pub fn check_memory(&self) -> Result<()> {
        if let (Some(first), true) = (self.paths.first(), self.width <= MAX_WIDTH) {
            let sizes = self.paths.iter().map(|path| Ok(std::fs::metadata(path)?.len()));
            Limits::in_force().check_gram(first, sizes.sum::<std::io::Result<u64>>()?, self.width)?;
        }
        Ok(())
    }

    /// The file of a row of the stream, and its number in the file, from 1 as in the messages of the readers.
    pub fn place(&self, row: usize) -> String {
        let shard = self.starts.partition_point(|&start| start <= row as u64).saturating_sub(1);
        match (self.paths.get(shard), self.starts.get(shard)) {
            (Some(path), Some(start)) => format!("{}, row {}", path.display(), row as u64 - start + 1),
            _ => format!("row {row}"),
        }
    }

    /// Calls `take` with one block after another, in order. Stops at the first error, or when an interrupt is asked
    /// for.
    pub fn for_each(&self, mut take: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let rows = ROWS_PER_THREAD.saturating_mul(rayon::current_num_threads());
        let rows = rows.min(BLOCK_BYTES / (size_of::<f32>() * self.width)).max(1);
        // blocks go to and fro, so that two buffers serve the whole pass
        let (full_sender, full) = sync_channel::<Result<Vec<f32>>>(1);
        let (empty_sender, empty) = sync_channel::<Vec<f32>>(2);
        for _ in 0..2 {
            empty_sender.send(Vec::new()).context("no room for a block")?;
        }
        // moved in, so that both channels close when this side returns and the reader does not wait for it forever
        thread::scope(move |scope| {
            scope.spawn(move || {
                let read = || -> Result<()> {
                    for path in self.paths {
                        let mut shard = Shard::open(path, self.column)?;
                        while let Ok(mut block) = empty.recv() {
                            if shard.read(rows, &mut block)? == 0 {
                                // an empty block brings its buffer back
                                block.clear();
                            }
                            let end = block.is_empty();
                            if full_sender.send(Ok(block)).is_err() {
                                return Ok(());
                            }
                            if end {
                                break;
                            }
                        }
                    }
                    Ok(())
                };
                if let Err(error) = read() {
                    // the other side has gone away with an error of its own
                    let _ = full_sender.send(Err(error));
                }
            });
            for block in full {
                let block = block?;
                if interrupt::requested() {
                    return Err(interrupt::Interrupted.into());
                }
                take(&block)?;
                // the reader may be through
                let _ = empty_sender.send(block);
            }
            Ok(())
        })
    }
}
