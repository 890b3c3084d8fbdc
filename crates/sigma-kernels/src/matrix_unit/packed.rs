//! A weight that is used many times on few rows, as at every step of decoding in bf16: there it is packed once, in 2
//! bytes a number.

use rayon::prelude::*;
use sigma_amx::{PANEL, Pair, Parts, Side, Source, Tile, Unit, tiles};

use super::block::Block;
use super::{SHARED, at_least};
use crate::linear::Threads;
use crate::product::Target;
use crate::shared::Shared;
use crate::tile::Then;

/// Panels of one task for a thread.
const PANELS_PER_TASK: usize = 4;

/// The right matrix of products with few rows, rounded to bf16 and packed once.
#[derive(Debug)]
pub(crate) struct Packed {
    unit: Unit,
    tiles: Vec<Tile>,
    columns: usize,
    inner: usize,
}

impl Packed {
    /// Packs the transpose of `weight` `[columns, inner]`.
    pub(crate) fn new(unit: Unit, weight: &[f32], inner: usize) -> Self {
        let columns = weight.len() / inner;
        let panel = tiles(PANEL, inner, Parts::One);
        let mut packed = vec![Tile::ZERO; tiles(columns, inner, Parts::One)];
        packed.par_chunks_mut(panel).zip((0..columns).into_par_iter().step_by(PANEL)).for_each(|(panel, first)| {
            let (source, present) = (Source::Vectors(weight, inner), (first, PANEL.min(columns - first)));
            unit.pack(panel, Side::Right, source, present, (0, inner), Parts::One);
        });
        Self { unit, tiles: packed, columns, inner }
    }

    /// target = left right, for left `[rows, inner]`, to the bits of [`super::multiply`].
    pub(crate) fn multiply(&self, target: Target<'_>, left: &[f32], then: Then<'_>, threads: Threads) {
        let Self { unit, columns, inner, .. } = *self;
        let (parts, rows, Target { values, stride, add }) = (Parts::One, left.len() / inner, target);
        assert!(values.len() >= (rows - 1) * stride + columns && stride >= columns && left.len() == rows * inner);
        let mut space = SHARED.take();
        let packed = at_least(&mut space, tiles(rows, inner, parts));
        unit.pack(packed, Side::Left, Source::Vectors(left, inner), (0, rows), (0, inner), parts);
        let (packed, panel, out) = (&*packed, tiles(PANEL, inner, parts), Shared::new(values));
        let task = |(number, strip): (usize, &[Tile])| {
            let session = unit.begin();
            for (q, right) in strip.chunks_exact(panel).enumerate() {
                let column = (number * PANELS_PER_TASK + q) * PANEL;
                for (p, left) in packed.chunks_exact(panel).enumerate() {
                    let row = p * PANEL;
                    let (rows, width) = (PANEL.min(rows - row), PANEL.min(columns - column));
                    let block = Block { rows, width, add, then: then.from(column) };
                    // SAFETY: these rows and columns are the target's by the assertion, and belong to this task alone
                    unsafe { block.make(out.at(row * stride + column), stride, &session, Pair { left, right, parts }) };
                }
            }
        };
        match threads {
            Threads::One => self.tiles.chunks(PANELS_PER_TASK * panel).enumerate().for_each(task),
            Threads::All => self.tiles.par_chunks(PANELS_PER_TASK * panel).enumerate().for_each(task),
        }
        SHARED.set(space);
    }
}
