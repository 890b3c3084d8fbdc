//! Products of whole matrices on the CPU's matrix unit, or by its vectors of bf16 (`sigma_amx`), cut into tasks for
//! threads. The smaller matrix is packed for all tasks together, a window of the inner dimension at a time; each task
//! packs a strip of the other one and keeps it in the second-level cache. Sums run over the inner dimension in pieces,
//! whatever the tasks, so how they are cut changes no bit.

mod block;
mod packed;

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;
use sigma_amx::{CHUNK, PANEL, Pair, Parts, Side, Source, Tile, Unit, tiles};

use block::Block;
pub(crate) use packed::Packed;

use crate::linear::{Factors, Threads};
use crate::product::{Sizes, Target};
use crate::shared::Shared;
use crate::tile::Then;

/// Longest piece of the inner dimension.
const PIECE: usize = 1024;
/// Tiles of a task's strip at most, 768 KB: of f32, 128 vectors of a whole piece.
const STRIP: usize = tiles(128, PIECE, Parts::Three);
/// Tasks that each thread should find, so that one which was held up does not hold up the others.
const TASKS_PER_THREAD: usize = 4;
/// Tiles of a window that is packed for all tasks: 16 MB.
const WINDOW: usize = 16 << 10;

thread_local! {
    /// The window, kept from product to product.
    static SHARED: Cell<Vec<Tile>> = const { Cell::new(Vec::new()) };
    /// A task's strip, likewise.
    static OWN: Cell<Vec<Tile>> = const { Cell::new(Vec::new()) };
}

/// What multiplies where a right matrix is large enough for it. The number of rows does not count, so that a row has
/// the same bits in every batch.
pub(crate) fn for_right(columns: usize, inner: usize, factors: Factors) -> Option<Unit> {
    if columns < PANEL || inner < CHUNK { None } else { Unit::for_parts(parts(factors)) }
}

fn parts(factors: Factors) -> Parts {
    match factors {
        Factors::F32 => Parts::Three,
        Factors::Bf16 => Parts::One,
    }
}

/// One matrix of the product.
#[derive(Clone, Copy)]
struct Operand<'a> {
    side: Side,
    source: Source<'a>,
    vectors: usize,
}

/// A product and how it is cut.
struct Plan<'a> {
    unit: Unit,
    parts: Parts,
    sizes: Sizes,
    /// What is packed for all tasks.
    common: Operand<'a>,
    /// What each task packs a strip of.
    cut_up: Operand<'a>,
    /// Length of a piece of the inner dimension.
    piece: usize,
    add: bool,
    then: Then<'a>,
}

/// target (+)= left right, for the rows of left and the columns of right.
pub(crate) fn multiply(
    (unit, factors): (Unit, Factors),
    target: Target<'_>,
    (left, right): (Source<'_>, Source<'_>),
    sizes: Sizes,
    then: Then<'_>,
    threads: Threads,
) {
    let (Sizes { rows, columns, inner }, Target { values, stride, add }) = (sizes, target);
    assert!(values.len() >= (rows - 1) * stride + columns && stride >= columns);
    then.check(columns);
    let left = Operand { side: Side::Left, source: left, vectors: rows };
    let right = Operand { side: Side::Right, source: right, vectors: columns };
    let (common, cut_up) = if rows <= columns { (left, right) } else { (right, left) };
    let plan = Plan { unit, parts: parts(factors), sizes, common, cut_up, piece: PIECE.min(inner), add, then };
    let tasks = TASKS_PER_THREAD * threads.count();
    let widest = STRIP / plan.tiles(PANEL, plan.piece) * PANEL;
    let strip = cut_up.vectors.div_ceil(tasks).next_multiple_of(PANEL).min(widest);
    let window = (WINDOW / plan.tiles(common.vectors, plan.piece)).max(1) * plan.piece;
    let mut packed = SHARED.take();
    let out = Shared::new(values);
    for start in (0..inner).step_by(window) {
        let window = start..inner.min(start + window);
        let packed = plan.pack_common(&mut packed, window.clone(), threads);
        for_each((0..cut_up.vectors).step_by(strip).collect(), threads, |first| {
            let strip = first..cut_up.vectors.min(first + strip);
            // SAFETY: the target has all rows and columns by the assertion above, and those of a strip belong to one
            // task alone
            unsafe { plan.multiply_strip(strip, window.clone(), packed, out, stride) };
        });
    }
    SHARED.set(packed);
}

impl Plan<'_> {
    fn tiles(&self, vectors: usize, inner: usize) -> usize {
        tiles(vectors, inner, self.parts)
    }

    /// Start and length of the pieces of a window.
    fn pieces(&self, window: Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (piece, end) = (self.piece, window.end);
        window.step_by(piece).map(move |start| (start, piece.min(end - start)))
    }

    /// Packs a window of the common matrix: piece after piece, and in a piece panel after panel.
    fn pack_common<'p>(&self, packed: &'p mut Vec<Tile>, window: Range<usize>, threads: Threads) -> &'p [Tile] {
        let Operand { side, source, vectors } = self.common;
        let total: usize = self.pieces(window.clone()).map(|(_, length)| self.tiles(vectors, length)).sum();
        let packed = at_least(packed, total);
        let (mut rest, mut panels) = (&mut *packed, Vec::new());
        for (start, length) in self.pieces(window) {
            let (piece, after) = rest.split_at_mut(self.tiles(vectors, length));
            let firsts = (0..vectors).step_by(PANEL);
            panels.extend(piece.chunks_mut(self.tiles(PANEL, length)).zip(firsts).map(|panel| (start, length, panel)));
            rest = after;
        }
        for_each(panels, threads, |(start, length, (panel, first))| {
            let present = (first, PANEL.min(vectors - first));
            self.unit.pack(panel, side, source, present, (start, length), self.parts);
        });
        packed
    }

    /// All that a window contributes to the results of a strip: rows or columns `strip` of the target, with all that
    /// cross them.
    ///
    /// # Safety
    /// The target must have the product's rows and columns, `stride` apart, and nobody else may use those of the strip
    /// meanwhile.
    unsafe fn multiply_strip(
        &self,
        strip: Range<usize>,
        window: Range<usize>,
        packed: &[Tile],
        out: Shared,
        stride: usize,
    ) {
        let Self { unit, parts, sizes: Sizes { rows, columns, inner }, common, cut_up, .. } = *self;
        let mut space = OWN.take();
        let session = unit.begin();
        let mut rest = packed;
        for (start, length) in self.pieces(window) {
            let own = at_least(&mut space, self.tiles(strip.len(), length));
            unit.pack(own, cut_up.side, cut_up.source, (strip.start, strip.len()), (start, length), parts);
            let (piece, after) = rest.split_at(self.tiles(common.vectors, length));
            rest = after;
            let panel = self.tiles(PANEL, length);
            for (p, common_panel) in piece.chunks_exact(panel).enumerate() {
                for (q, own_panel) in own.chunks_exact(panel).enumerate() {
                    let (common_first, own_first) = (p * PANEL, strip.start + q * PANEL);
                    let ((row, left), (column, right)) = match common.side {
                        Side::Left => ((common_first, common_panel), (own_first, own_panel)),
                        Side::Right => ((own_first, own_panel), (common_first, common_panel)),
                    };
                    let block = Block {
                        rows: PANEL.min(rows - row),
                        width: PANEL.min(columns - column),
                        add: self.add || start > 0,
                        then: if start + length == inner { self.then.from(column) } else { Then::Nothing },
                    };
                    // SAFETY: these rows and columns are the target's, and the caller's promise
                    unsafe { block.make(out.at(row * stride + column), stride, &session, Pair { left, right, parts }) };
                }
            }
        }
        drop(session);
        OWN.set(space);
    }
}

/// The first `count` tiles, which are made where they are not there yet.
fn at_least(tiles: &mut Vec<Tile>, count: usize) -> &mut [Tile] {
    if tiles.len() < count {
        tiles.resize(count, Tile::ZERO);
    }
    &mut tiles[..count]
}

fn for_each<T: Send>(items: Vec<T>, threads: Threads, f: impl Fn(T) + Sync + Send) {
    match threads {
        Threads::One => items.into_iter().for_each(f),
        Threads::All => items.into_par_iter().with_max_len(1).for_each(f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::rounded;

    fn values(n: usize) -> Vec<f32> {
        (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
    }

    /// left `[rows, inner]`, right `[inner, columns]`.
    fn obvious(left: &[f32], right: &[f32], Sizes { rows, columns, inner }: Sizes) -> Vec<f64> {
        let entry = |i: usize, j: usize| {
            (0..inner).map(|k| f64::from(left[i * inner + k]) * f64::from(right[k * columns + j])).sum()
        };
        (0..rows * columns).map(|at| entry(at / columns, at % columns)).collect()
    }

    #[test]
    fn the_emulated_unit_gives_the_product_for_any_sizes_layouts_and_threads() {
        let sizes = [(1, 1, 1), (5, 40, 33), (70, 33, 64), (32, 32, 32), (100, 260, 40), (3, 50, 2100)];
        let both = [Factors::F32, Factors::Bf16];
        for ((rows, columns, inner), factors) in
            sizes.into_iter().flat_map(|sizes| both.map(|factors| (sizes, factors)))
        {
            let sizes = Sizes { rows, columns, inner };
            let (left, right, bias) = (values(rows * inner), values(inner * columns), values(columns));
            let turned = |values: &[f32], height: usize, width: usize| -> Vec<f32> {
                (0..width * height).map(|at| values[at % height * width + at / height]).collect()
            };
            let (left_turned, right_turned) = (turned(&left, rows, inner), turned(&right, inner, columns));
            let layouts = [
                (Source::Vectors(&left, inner), Source::Vectors(&right_turned, inner)),
                (Source::Vectors(&left, inner), Source::Elements(&right, columns)),
                (Source::Elements(&left_turned, rows), Source::Elements(&right, columns)),
            ];
            let expected = match factors {
                Factors::F32 => obvious(&left, &right, sizes),
                Factors::Bf16 => obvious(&rounded(&left), &rounded(&right), sizes),
            };
            for (then, add) in [
                (Then::Nothing, false),
                (Then::Nothing, true),
                (Then::Bias(&bias), false),
                (Then::BiasRelu(&bias), true),
            ] {
                let results =
                    layouts.iter().flat_map(|layout| [Threads::One, Threads::All].map(|threads| (layout, threads)));
                let mut first: Option<Vec<f32>> = None;
                let stride = columns + 3;
                for ((left, right), threads) in results {
                    let mut out = vec![2f32; rows * stride];
                    multiply(
                        (Unit::Emulated, factors),
                        Target { values: &mut out, stride, add },
                        (*left, *right),
                        sizes,
                        then,
                        threads,
                    );
                    for (i, row) in out.chunks(stride).enumerate() {
                        assert!(row[columns..] == [2.0; 3], "nothing is written beside the columns");
                        for (j, y) in row[..columns].iter().enumerate() {
                            let mut exact = expected[i * columns + j] + if add { 2.0 } else { 0.0 };
                            if let Then::Bias(bias) | Then::BiasRelu(bias) = then {
                                exact += f64::from(bias[j]);
                            }
                            if let Then::BiasRelu(_) = then {
                                exact = exact.max(0.0);
                            }
                            assert!(
                                (f64::from(*y) - exact).abs() < 1e-5 * (inner as f64).sqrt(),
                                "{sizes:?} {then:?} {i} {j}: {y} {exact}"
                            );
                        }
                    }
                    assert!(
                        first.get_or_insert_with(|| out.clone()) == &out,
                        "{sizes:?}: other layouts or threads, other bits"
                    );
                }
                if factors == Factors::Bf16 {
                    let packed = Packed::new(Unit::Emulated, &right_turned, inner);
                    for threads in [Threads::One, Threads::All] {
                        let mut out = vec![2f32; rows * stride];
                        packed.multiply(Target { values: &mut out, stride, add }, &left, then, threads);
                        assert!(first.as_ref() == Some(&out), "{sizes:?}: a matrix packed once, other bits");
                    }
                }
            }
        }
    }
}
