//! Products of whole matrices, cut into tasks for threads. A task rearranges the part of a matrix that it alone needs,
//! and keeps it in the second-level cache; how the tasks are cut changes no bit (see `crate::tile`).

use std::cell::Cell;

use rayon::prelude::*;
use sigma_amx::Source;

use crate::bf16::rounded;
use crate::linear::{Factors, Threads};
use crate::matrix_unit;
use crate::panels::{Right, pack_blocks};
use crate::shared::Shared;
use crate::tile::{GROUP, INNER, Left, PANEL, Piece, ROWS, Then};

/// Panels that a task keeps near: six times 64 KB.
const PANELS_PER_TASK: usize = 6;
/// Tasks that each thread should find, so that one which was held up does not hold up the others.
const TASKS_PER_THREAD: usize = 4;

/// Rows or columns of one task of rearranging a whole matrix.
const SHARED_TASK: usize = 2 * PANEL;

/// Up to this stride a matrix is read column by column as it lies; with longer ones every element is on a page of its
/// own.
const NARROW: usize = 512;

/// Where a result goes.
pub(crate) struct Target<'a> {
    pub(crate) values: &'a mut [f32],
    /// From row to row.
    pub(crate) stride: usize,
    /// Whether the result is added to what is there.
    pub(crate) add: bool,
}

/// What a product is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// The fastest that the CPU has.
    Best(Factors),
    /// Vector instructions on f32, for the bits of [`crate::packed`].
    Vectors,
}

/// Sizes of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
}

/// target (+)= left right, for left `[rows, inner]` with rows `left_stride` apart and right `[inner, columns]`.
pub(crate) fn multiply(
    target: Target<'_>,
    (left, left_stride): (&[f32], usize),
    right: Right<'_>,
    sizes: Sizes,
    then: Then<'_>,
    (arithmetic, threads): (Arithmetic, Threads),
) {
    if sizes.rows == 0 || sizes.columns == 0 {
        return;
    }
    assert!(sizes.inner > 0 && left.len() >= (sizes.rows - 1) * left_stride + sizes.inner);
    let vectors = |left: &[f32], right: Right<'_>, target: Target<'_>| {
        by_columns(target, (left, Left::Rows(left_stride)), right, (sizes, INNER), then, threads);
    };
    let Arithmetic::Best(factors) = arithmetic else { return vectors(left, right, target) };
    match (matrix_unit::for_right(sizes.columns, sizes.inner, factors), factors) {
        (Some(unit), _) => {
            let sources = (Source::Vectors(left, left_stride), right.source());
            matrix_unit::multiply((unit, factors), target, sources, sizes, then, threads);
        }
        (None, Factors::Bf16) => vectors(&rounded(left), right.with(&rounded(right.values())), target),
        (None, Factors::F32) => vectors(left, right, target),
    }
}

thread_local! {
    /// A matrix rearranged for a product, kept for the next one.
    static REARRANGED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// target (+)= left^T right, for left `[inner, rows]` with rows `left_stride` apart and right `[inner, columns]`.
/// Unless the left matrix is narrow, the smaller matrix is rearranged first, for all tasks together. Sums are cut into
/// pieces of `cut`, at most `INNER`.
pub(crate) fn multiply_transposed(
    target: Target<'_>,
    (left, left_stride): (&[f32], usize),
    right: &[f32],
    sizes: Sizes,
    cut: usize,
    (factors, threads): (Factors, Threads),
) {
    let Sizes { rows, columns, inner } = sizes;
    if rows == 0 || columns == 0 {
        return;
    }
    if inner == 0 {
        if !target.add {
            target.values.chunks_mut(target.stride).for_each(|row| row[..columns].fill(0.0));
        }
        return;
    }
    assert!(left.len() >= (inner - 1) * left_stride + rows && right.len() >= inner * columns);
    if let Some(unit) = matrix_unit::for_right(columns, inner, factors) {
        let sources = (Source::Elements(left, left_stride), Source::Elements(right, columns));
        return matrix_unit::multiply((unit, factors), target, sources, sizes, Then::Nothing, threads);
    }
    if factors == Factors::Bf16 {
        let (left, right, how) = (rounded(left), rounded(right), (Factors::F32, threads));
        return multiply_transposed(target, (&left, left_stride), &right, sizes, cut, how);
    }
    if left_stride <= NARROW {
        let left = (left, Left::Columns(left_stride));
        by_columns(target, left, Right::AsIs(right, columns), (sizes, cut), Then::Nothing, threads);
        return;
    }
    let mut shared = REARRANGED.take();
    if rows <= columns {
        shared.resize(rows.div_ceil(ROWS) * ROWS * inner, 0.0);
        for_each_chunk(&mut shared, SHARED_TASK * inner, threads, |chunk, packed| {
            let first = chunk * SHARED_TASK;
            pack_blocks(packed, (left, left_stride), (0, inner), (first, SHARED_TASK.min(rows - first)));
        });
        let left = (&shared[..], Left::Blocks(inner * ROWS));
        by_columns(target, left, Right::AsIs(right, columns), (sizes, cut), Then::Nothing, threads);
    } else {
        shared.resize(columns.div_ceil(PANEL) * PANEL * inner, 0.0);
        for_each_chunk(&mut shared, SHARED_TASK * inner, threads, |chunk, packed| {
            let first = chunk * SHARED_TASK;
            Right::AsIs(right, columns).pack(packed, (0, inner), (first, SHARED_TASK.min(columns - first)));
        });
        by_rows(target, (left, left_stride), &shared, (sizes, cut), threads);
    }
    REARRANGED.set(shared);
}

/// Tasks of a few panels each, which they rearrange, times all rows (or a part of them, where panels are few).
fn by_columns(
    target: Target<'_>,
    (left, layout): (&[f32], Left),
    right: Right<'_>,
    (Sizes { rows, columns, inner }, cut): (Sizes, usize),
    then: Then<'_>,
    threads: Threads,
) {
    assert!(target.values.len() >= (rows - 1) * target.stride + columns);
    then.check(columns);
    let workers = threads.count();
    let panels = columns.div_ceil(PANEL);
    let wide = (panels / (TASKS_PER_THREAD * workers)).clamp(1, PANELS_PER_TASK);
    let strips = panels.div_ceil(wide);
    let parts = (2 * workers).div_ceil(strips).min(rows.div_ceil(GROUP));
    let high = rows.div_ceil(parts).next_multiple_of(ROWS);
    let (stride, add) = (target.stride, target.add);
    let out = Shared::new(target.values);
    run(strips * parts, threads, |scratch, task| {
        let (first, row) = (task % strips * wide * PANEL, task / strips * high);
        if row >= rows {
            return;
        }
        let columns = columns.min(first + wide * PANEL) - first;
        scratch.resize(wide * cut.min(inner) * PANEL, 0.0);
        for from in (0..inner).step_by(cut) {
            let piece = cut.min(inner - from);
            right.pack(scratch, (from, piece), (first, columns));
            // SAFETY: the callers have checked the sizes of left and this function those of the target, of which this
            // block belongs to this task alone
            unsafe {
                Piece {
                    left: left[layout.offset(row, from)..].as_ptr(),
                    layout,
                    rows: high.min(rows - row),
                    inner: piece,
                    panels: scratch,
                    panel_stride: piece * PANEL,
                    out: out.at(row * stride + first),
                    out_stride: stride,
                    columns,
                    add: add || from > 0,
                    then: if from + piece == inner { then.from(first) } else { Then::Nothing },
                    streamed: false,
                }
                .run();
            }
        }
    });
}

/// Tasks of a few rows of left^T each, which they rearrange, times all panels.
fn by_rows(
    target: Target<'_>,
    (left, left_stride): (&[f32], usize),
    panels: &[f32],
    (Sizes { rows, columns, inner }, cut): (Sizes, usize),
    threads: Threads,
) {
    assert!(target.values.len() >= (rows - 1) * target.stride + columns);
    let high = (rows / (TASKS_PER_THREAD * threads.count())).next_multiple_of(ROWS).clamp(ROWS, GROUP);
    let (stride, add) = (target.stride, target.add);
    let out = Shared::new(target.values);
    run(rows.div_ceil(high), threads, |scratch, task| {
        let first = task * high;
        let rows = high.min(rows - first);
        scratch.resize(high * cut.min(inner), 0.0);
        for from in (0..inner).step_by(cut) {
            let piece = cut.min(inner - from);
            pack_blocks(scratch, (left, left_stride), (from, piece), (first, rows));
            // SAFETY: as above; these rows of the target belong to this task alone
            unsafe {
                Piece {
                    left: scratch.as_ptr(),
                    layout: Left::Blocks(piece * ROWS),
                    rows,
                    inner: piece,
                    panels: &panels[from * PANEL..],
                    panel_stride: inner * PANEL,
                    out: out.at(first * stride),
                    out_stride: stride,
                    columns,
                    add: add || from > 0,
                    then: Then::Nothing,
                    streamed: false,
                }
                .run();
            }
        }
    });
}

/// Calls `f` with the number of each chunk and the chunk.
fn for_each_chunk(values: &mut [f32], size: usize, threads: Threads, f: impl Fn(usize, &mut [f32]) + Sync) {
    match threads {
        Threads::One => values.chunks_mut(size).enumerate().for_each(|(i, chunk)| f(i, chunk)),
        Threads::All => values.par_chunks_mut(size).enumerate().for_each(|(i, chunk)| f(i, chunk)),
    }
}

/// Runs tasks, each with space that the tasks of a thread share.
fn run(tasks: usize, threads: Threads, task: impl Fn(&mut Vec<f32>, usize) + Sync) {
    match threads {
        Threads::One => {
            let mut scratch = Vec::new();
            (0..tasks).for_each(|number| task(&mut scratch, number));
        }
        Threads::All => {
            (0..tasks).into_par_iter().with_max_len(1).for_each_init(Vec::new, |scratch, number| task(scratch, number));
        }
    }
}
