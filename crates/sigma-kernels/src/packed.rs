//! The product y = x W^T of [`mod@crate::linear`] for a weight that is used many times on few rows, as at every step of decoding.
//! There the time goes into reading the weight, which a general product also rearranges each time; here it is rearranged
//! once. Every result is the sum over the inputs in their order, in pieces of `INNER`, so its bits depend neither on the
//! other rows nor on threads, and are those of [`crate::linear::forward`].

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::linear::{INNER, Threads};
use crate::shared::Shared;

/// Outputs that lie side by side in a panel: two vectors of the widest kind.
const PANEL: usize = 32;
/// Rows that lie side by side: with AVX-512, their sums over a panel fill half the vector registers.
const ROWS: usize = 8;
/// Panels of one task for a thread.
const PANELS_PER_TASK: usize = 4;

/// A weight `[outputs, inputs]` in panels of 32 outputs: within a panel, input after input, the 32 numbers that it is multiplied with.
#[derive(Debug)]
pub struct Packed {
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Packed {
    /// Rearranges a weight of PyTorch's layout; outputs are filled up with zeros to whole panels.
    pub fn new(weight: &[f32], inputs: usize) -> Self {
        let outputs = weight.len() / inputs.max(1);
        assert!(weight.len() == outputs * inputs);
        let mut panels = vec![0f32; outputs.div_ceil(PANEL) * PANEL * inputs];
        panels.par_chunks_mut((PANEL * inputs).max(1)).enumerate().for_each(|(panel, values)| {
            let rows = weight.chunks_exact(inputs.max(1)).skip(panel * PANEL).take(PANEL);
            for (lane, row) in rows.enumerate() {
                for (input, value) in row.iter().enumerate() {
                    values[input * PANEL + lane] = *value;
                }
            }
        });
        Self { panels, inputs, outputs }
    }

    /// y = x W^T: x `[rows, inputs]`, y `[rows, outputs]`.
    pub fn forward(&self, y: &mut [f32], x: &[f32], threads: Threads) {
        let Self { panels, inputs, outputs } = self;
        let (inputs, outputs) = (*inputs, *outputs);
        let rows = x.len() / inputs.max(1);
        assert!(x.len() == rows * inputs && y.len() == rows * outputs);
        if rows == 0 || outputs == 0 || inputs == 0 {
            y.fill(0.0);
            return;
        }
        let blocks = Blocks::new(x, rows, inputs);
        let y = Shared::new(y);
        let task = |(number, panels): (usize, &[f32])| {
            for (panel, first) in
                panels.chunks_exact(PANEL * inputs).zip((number * PANELS_PER_TASK * PANEL..).step_by(PANEL))
            {
                let width = (outputs - first).min(PANEL);
                let write = |row: usize, values: &[f32; PANEL]| {
                    // SAFETY: columns first..first + width of a row belong to this panel alone
                    let target = unsafe { y.at(row * outputs + first) };
                    // SAFETY: the row has `width` columns from there on, and `values` is a local array
                    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), target, width) };
                };
                pulp::Arch::new().dispatch(Panel { blocks: &blocks, inputs, values: panel, write });
            }
        };
        let size = PANELS_PER_TASK * PANEL * inputs;
        match threads {
            Threads::One => panels.chunks(size).enumerate().for_each(task),
            Threads::All => panels.par_chunks(size).enumerate().for_each(task),
        }
    }
}

/// Rows in blocks of up to eight, input after input the numbers of a block side by side.
struct Blocks {
    values: Vec<f32>,
    rows: usize,
}

impl Blocks {
    fn new(x: &[f32], rows: usize, inputs: usize) -> Self {
        let mut values = vec![0f32; rows * inputs];
        for (block, x) in values.chunks_mut(ROWS * inputs).zip(x.chunks(ROWS * inputs)) {
            let height = x.len() / inputs;
            for (r, row) in x.chunks_exact(inputs).enumerate() {
                for (input, value) in row.iter().enumerate() {
                    block[input * height + r] = *value;
                }
            }
        }
        Self { values, rows }
    }
}

/// One panel that every row is multiplied with; results go to `write` row by row.
struct Panel<'a, W> {
    blocks: &'a Blocks,
    inputs: usize,
    values: &'a [f32],
    write: W,
}

impl<W: Fn(usize, &[f32; PANEL])> WithSimd for Panel<'_, W> {
    type Output = ();

    /// Registers of a panel, and rows whose sums fit into registers beside it, by the width of a vector.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.rows::<S, 2, 8>(simd),
            8 => self.rows::<S, 4, 2>(simd),
            4 => self.rows::<S, 8, 2>(simd),
            _ => self.rows::<S, 32, 1>(simd),
        }
    }
}

impl<W: Fn(usize, &[f32; PANEL])> Panel<'_, W> {
    #[inline(always)]
    fn rows<S: Simd, const N: usize, const R: usize>(&self, simd: S) {
        let Self { blocks, inputs, .. } = self;
        for first in (0..blocks.rows).step_by(ROWS) {
            let height = ROWS.min(blocks.rows - first);
            let block = &blocks.values[first * inputs..][..height * inputs];
            let mut row = 0;
            while row + R <= height {
                self.some::<S, N, R>(simd, (block, height, row), first);
                row += R;
            }
            while row < height {
                self.some::<S, N, 1>(simd, (block, height, row), first);
                row += 1;
            }
        }
    }

    /// `R` rows of a block of `height`, from `row` on, times the panel.
    #[inline(always)]
    fn some<S: Simd, const N: usize, const R: usize>(
        &self,
        simd: S,
        (block, height, row): (&[f32], usize, usize),
        first: usize,
    ) {
        let panel = S::as_simd_f32s(self.values).0.as_chunks::<N>().0;
        let mut total = [[simd.splat_f32s(0.0); N]; R];
        for (x, panel) in block.chunks(INNER * height).zip(panel.chunks(INNER)) {
            let mut sums = [[simd.splat_f32s(0.0); N]; R];
            for (x, weights) in x.chunks_exact(height).zip(panel) {
                let x = &x[row..row + R];
                for r in 0..R {
                    let value = simd.splat_f32s(x[r]);
                    for n in 0..N {
                        sums[r][n] = simd.mul_add_e_f32s(value, weights[n], sums[r][n]);
                    }
                }
            }
            for r in 0..R {
                for n in 0..N {
                    total[r][n] = simd.add_f32s(total[r][n], sums[r][n]);
                }
            }
        }
        for (r, sums) in total.iter().enumerate() {
            let mut values = [0f32; PANEL];
            S::as_mut_simd_f32s(&mut values).0.copy_from_slice(sums);
            (self.write)(first + row + r, &values);
        }
    }
}
