//! The product y = x W^T of [`mod@crate::linear`] for a weight that is used many times on few rows, as at every step of
//! decoding. There the time goes into reading the weight, which a product would otherwise rearrange each time; here it
//! is rearranged once. It multiplies f32 with vectors alone, because for the matrix unit a number of f32 would be 6
//! bytes; one of bf16 is 2. It gives the same bits for any number of rows and threads, packed or not.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::bf16::rounded;
use crate::linear::{Factors, Threads};
use crate::matrix_unit;
use crate::panels::Right;
use crate::product::{Arithmetic, Sizes, Target, multiply};
use crate::shared::Shared;
use crate::tile::{GROUP, INNER, Left, PANEL, Piece, Then};

/// Panels of one task for a thread.
const PANELS_PER_TASK: usize = 4;

/// y = x W^T in f32 for a weight as it is, to the bits of [`Packed::forward_then`]: x `[rows, inputs]`, W `[outputs,
/// inputs]`, y `[rows, outputs]`. (In bf16 [`crate::linear::forward_then`] has these bits.)
pub fn forward_once(y: &mut [f32], x: &[f32], weight: &[f32], inputs: usize, then: Then<'_>, threads: Threads) {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    assert!(x.len() == rows * inputs && weight.len() == outputs * inputs && y.len() == rows * outputs);
    multiply(
        Target { values: y, stride: outputs, add: false },
        (x, inputs),
        Right::Transposed(weight, inputs),
        Sizes { rows, columns: outputs, inner: inputs },
        then,
        (Arithmetic::Vectors, threads),
    );
}

/// A weight `[outputs, inputs]`.
#[derive(Debug)]
pub struct Packed {
    arranged: Arranged,
    inputs: usize,
    outputs: usize,
}

/// How its numbers lie in memory.
#[derive(Debug)]
enum Arranged {
    /// In panels of 32 outputs: within a panel, input after input, the 32 numbers that it is multiplied with.
    Panels(Vec<f32>, Factors),
    /// Rounded to bf16, for the matrix unit or vectors of bf16.
    Tiles(matrix_unit::Packed),
}

impl Packed {
    /// Rearranges a weight of PyTorch's layout.
    pub fn new(weight: &[f32], inputs: usize, factors: Factors) -> Self {
        let outputs = weight.len() / inputs.max(1);
        assert!(weight.len() == outputs * inputs);
        let arranged = match (factors, matrix_unit::for_right(outputs, inputs, factors)) {
            (Factors::Bf16, Some(unit)) => Arranged::Tiles(matrix_unit::Packed::new(unit, weight, inputs)),
            (Factors::Bf16, None) => Arranged::Panels(panels(&rounded(weight), inputs), factors),
            (Factors::F32, _) => Arranged::Panels(panels(weight, inputs), factors),
        };
        Self { arranged, inputs, outputs }
    }

    /// y = x W^T: x `[rows, inputs]`, y `[rows, outputs]`.
    pub fn forward(&self, y: &mut [f32], x: &[f32], threads: Threads) {
        self.forward_then(y, x, Then::Nothing, threads);
    }

    /// The same with a bias, or a bias and ReLU, in the same pass.
    pub fn forward_then(&self, y: &mut [f32], x: &[f32], then: Then<'_>, threads: Threads) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let rows = x.len() / inputs.max(1);
        assert!(x.len() == rows * inputs && y.len() == rows * outputs);
        then.check(outputs);
        if rows == 0 || outputs == 0 || inputs == 0 {
            y.fill(0.0);
            return;
        }
        let (panels, x) = match &self.arranged {
            Arranged::Tiles(tiles) => {
                let target = Target { values: y, stride: outputs, add: false };
                return tiles.multiply(target, x, then, threads);
            }
            Arranged::Panels(panels, Factors::F32) => (panels, Cow::Borrowed(x)),
            Arranged::Panels(panels, Factors::Bf16) => (panels, Cow::Owned(rounded(x))),
        };
        let y = Shared::new(y);
        let size = PANEL * inputs;
        let task = |(number, panels): (usize, &[f32])| {
            let first = number * PANELS_PER_TASK * PANEL;
            let columns = outputs.min(first + PANELS_PER_TASK * PANEL) - first;
            let piece = |panels: &[f32], from: usize, (skipped, columns): (usize, usize)| {
                let inner = INNER.min(inputs - from);
                let first = first + skipped;
                // SAFETY: x has `rows` rows of `inputs`, and these columns of y belong to this task alone
                unsafe {
                    Piece {
                        left: x[from..].as_ptr(),
                        layout: Left::Rows(inputs),
                        rows,
                        inner,
                        panels: &panels[from * PANEL..],
                        panel_stride: size,
                        out: y.at(first),
                        out_stride: outputs,
                        columns,
                        add: from > 0,
                        then: if from + inner == inputs { then.from(first) } else { Then::Nothing },
                        streamed: rows <= GROUP,
                    }
                    .run();
                }
            };
            if rows > GROUP {
                for from in (0..inputs).step_by(INNER) {
                    piece(panels, from, (0, columns));
                }
            } else {
                // few rows: the panels pass once, from front to back
                for (number, panel) in panels.chunks_exact(size).enumerate() {
                    let skipped = number * PANEL;
                    for from in (0..inputs).step_by(INNER) {
                        piece(panel, from, (skipped, PANEL.min(columns - skipped)));
                    }
                }
            }
        };
        match threads {
            Threads::One => panels.chunks(PANELS_PER_TASK * size).enumerate().for_each(task),
            Threads::All => panels.par_chunks(PANELS_PER_TASK * size).enumerate().for_each(task),
        }
    }
}

/// Outputs are filled up with zeros to whole panels.
fn panels(weight: &[f32], inputs: usize) -> Vec<f32> {
    let outputs = weight.len() / inputs.max(1);
    let mut panels = vec![0f32; outputs.div_ceil(PANEL) * PANEL * inputs];
    panels.par_chunks_mut((PANEL * inputs).max(1)).enumerate().for_each(|(panel, values)| {
        let first = panel * PANEL;
        Right::Transposed(weight, inputs).pack(values, (0, inputs), (first, PANEL.min(outputs - first)));
    });
    panels
}
