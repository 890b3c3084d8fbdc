//! A piece of rows, rearranged for products: coordinates in panels of 48, in a panel row after row the 48 numbers side
//! by side.

use std::ops::Range;

/// Coordinates of a panel: three of the widest vectors.
pub(super) const PANEL: usize = 48;

/// Rows of at most `PIECE` rows' coordinates `range`; the last panel is filled up with zeros.
pub(super) struct Panels<const PIECE: usize> {
    values: Vec<f32>,
    range: Range<usize>,
    rows: usize,
}

impl<const PIECE: usize> Panels<PIECE> {
    pub(super) fn new(range: Range<usize>) -> Self {
        Self { values: vec![0.0; range.len().div_ceil(PANEL) * PANEL * PIECE], range, rows: 0 }
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.rows = 0;
    }

    /// Appends rows of width `d`; no more than `PIECE` in all.
    pub(super) fn push(&mut self, rows: &[f32], d: usize) {
        pulp::Arch::new().dispatch(Push { panels: self, rows, d });
    }

    /// Coordinates of a row.
    pub(super) fn width(&self) -> usize {
        self.range.len()
    }

    /// The rows' numbers of each panel.
    pub(super) fn panels(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(PANEL * PIECE).map(|panel| &panel[..self.rows * PANEL])
    }

    /// The rows' numbers of one panel.
    pub(super) fn panel(&self, number: usize) -> &[f32] {
        &self.values[number * PANEL * PIECE..][..self.rows * PANEL]
    }
}

// A struct and not a closure, which the compiler may leave out of line, compiled for the oldest CPU.
struct Push<'a, const PIECE: usize> {
    panels: &'a mut Panels<PIECE>,
    rows: &'a [f32],
    d: usize,
}

impl<const PIECE: usize> pulp::NullaryFnOnce for Push<'_, PIECE> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Panels { values, range, rows: count } = self.panels;
        for row in self.rows.chunks_exact(self.d) {
            let (whole, rest) = row[range.clone()].as_chunks::<PANEL>();
            let at = |panel: usize| (panel * PIECE + *count) * PANEL;
            for (panel, part) in whole.iter().enumerate() {
                // an array's length is known to the compiler, so this is a few vectors and no call
                if let Some(target) = values[at(panel)..].first_chunk_mut::<PANEL>() {
                    *target = *part;
                }
            }
            if !rest.is_empty() {
                values[at(whole.len())..][..rest.len()].copy_from_slice(rest);
            }
            *count += 1;
        }
    }
}
