//! Matrices rearranged for the products of `crate::tile`: right ones in panels of 32 columns, left ones in blocks of 8
//! rows.

use sigma_amx::Source;

use crate::lanes;
use crate::tile::{PANEL, ROWS, prefetch};
use crate::transpose;

/// A right matrix B `[inner, columns]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// As it is: `[inner, columns]`, rows this far apart.
    AsIs(&'a [f32], usize),
    /// As its transpose: `[columns, inner]`, rows this far apart.
    Transposed(&'a [f32], usize),
}

/// Rows that are asked for ahead of the one that is copied: they lie too far apart for the CPU to guess.
const AHEAD: usize = 8;

impl<'a> Right<'a> {
    /// What holds the matrix.
    pub(crate) fn values(self) -> &'a [f32] {
        let (Right::AsIs(values, _) | Right::Transposed(values, _)) = self;
        values
    }

    /// The same for other values in the same order.
    pub(crate) fn with<'b>(self, values: &'b [f32]) -> Right<'b> {
        match self {
            Right::AsIs(_, stride) => Right::AsIs(values, stride),
            Right::Transposed(_, stride) => Right::Transposed(values, stride),
        }
    }

    /// The same for the matrix unit.
    pub(crate) fn source(self) -> Source<'a> {
        match self {
            Right::AsIs(values, stride) => Source::Elements(values, stride),
            Right::Transposed(values, stride) => Source::Vectors(values, stride),
        }
    }

    /// The inner elements `from..from + inner` of the columns `first..first + columns`, panel after panel: each inner
    /// element's numbers side by side, and the last panel filled up with zeros to 32.
    pub(crate) fn pack(self, panels: &mut [f32], (from, inner): (usize, usize), (first, columns): (usize, usize)) {
        match self {
            Right::AsIs(values, stride) => lanes::vectorized(
                #[inline(always)]
                || pack_as_is(panels, (values, stride), (from, inner), (first, columns)),
            ),
            Right::Transposed(values, stride) => {
                let panels = panels.chunks_exact_mut(inner * PANEL).zip((0..columns).step_by(PANEL));
                for (panel, skipped) in panels {
                    let (rows, width) = (panel.as_chunks_mut::<PANEL>().0, PANEL.min(columns - skipped));
                    let source = |column: usize| &values[(first + skipped + column) * stride + from..][..inner];
                    for lane in (0..PANEL).step_by(8) {
                        if lane + 8 <= width {
                            transpose::eight(rows, lane, std::array::from_fn(|column| source(lane + column)));
                            continue;
                        }
                        for column in lane..lane + 8 {
                            let source = if column < width { source(column) } else { &[] };
                            for (i, row) in rows.iter_mut().enumerate() {
                                row[column] = source.get(i).copied().unwrap_or(0.0);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn pack_as_is(
    panels: &mut [f32],
    (values, stride): (&[f32], usize),
    (from, inner): (usize, usize),
    (first, columns): (usize, usize),
) {
    for (i, row) in values[from * stride..].chunks(stride).take(inner).enumerate() {
        let row = &row[first..][..columns];
        for line in (0..columns).step_by(16) {
            prefetch::<1>(row.as_ptr().wrapping_add(AHEAD * stride + line));
        }
        let (whole, rest) = row.as_chunks::<PANEL>();
        for (panel, values) in whole.iter().enumerate() {
            if let Some(target) = panels[(panel * inner + i) * PANEL..].first_chunk_mut() {
                *target = *values;
            }
        }
        if !rest.is_empty() {
            let target = &mut panels[(whole.len() * inner + i) * PANEL..][..PANEL];
            target[..rest.len()].copy_from_slice(rest);
            target[rest.len()..].fill(0.0);
        }
    }
}

/// Rows `first..first + rows` of the transpose of a matrix `[inner, stride]`, its rows from `from` on, in blocks of 8
/// rows: element after element the numbers of 8 rows side by side, filled up with zeros.
pub(crate) fn pack_blocks(
    blocks: &mut [f32],
    (transposed, stride): (&[f32], usize),
    (from, inner): (usize, usize),
    (first, rows): (usize, usize),
) {
    let (whole, rest) = (rows / ROWS, rows % ROWS);
    lanes::vectorized(
        #[inline(always)]
        || {
            for (i, values) in transposed[from * stride..].chunks(stride).take(inner).enumerate() {
                let values = &values[first..][..rows];
                for line in (0..rows).step_by(16) {
                    prefetch::<1>(values.as_ptr().wrapping_add(AHEAD * stride + line));
                }
                for (block, values) in values.as_chunks::<ROWS>().0.iter().enumerate() {
                    if let Some(target) = blocks[(block * inner + i) * ROWS..].first_chunk_mut() {
                        *target = *values;
                    }
                }
                if rest > 0 {
                    let target = &mut blocks[(whole * inner + i) * ROWS..][..ROWS];
                    target[..rest].copy_from_slice(&values[whole * ROWS..]);
                    target[rest..].fill(0.0);
                }
            }
        },
    );
}
