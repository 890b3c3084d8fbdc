//! Rotary position embeddings in place, forward and backward: in each head, element j of the first `2 half` is turned
//! with element j + half by the angle position * frequency j; elements beyond stay as they are. Which frequencies a
//! model has (base, stretching) the caller knows.

use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

use crate::lanes;

/// Rows that one task handles.
const ROWS: usize = 16;

/// Cosines and sines of every position.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Table {
    /// For positions from 0. Angles are products in float32, as in Hugging Face's code, and everything is scaled by
    /// `factor` (1 but for YaRN).
    pub fn new(frequencies: &[f32], positions: usize, factor: f32) -> Self {
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |frequency| p as f32 * frequency));
        let (sin, cos) = angles.map(|angle| f64::from(angle).sin_cos()).map(|(s, c)| (s as f32, c as f32)).unzip();
        let scaled = |values: Vec<f32>| values.into_iter().map(|value| value * factor).collect();
        Self { half: frequencies.len(), cos: scaled(cos), sin: scaled(sin) }
    }

    /// Pairs of a head that are turned.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Positions that there are.
    pub fn positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(usize::MAX)
    }

    /// What `values`, of cosines or sines, has for a position.
    #[inline(always)]
    fn at<'a>(&self, values: &'a [f32], position: u32) -> &'a [f32] {
        &values[position as usize * self.half..][..self.half]
    }
}

/// Where the heads to be turned are in rows of `width` elements: `count` heads of `dim` elements from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    pub width: usize,
    pub start: usize,
    pub count: usize,
    pub dim: usize,
}

/// Turns the heads of every row by the angles of its position.
pub fn forward(x: &mut [f32], heads: Heads, positions: &[u32], table: &Table) {
    turn(x, heads, positions, table, 1.0);
}

/// Turns the gradient of the result into that of the input: the same angles backwards.
pub fn backward(dx: &mut [f32], heads: Heads, positions: &[u32], table: &Table) {
    turn(dx, heads, positions, table, -1.0);
}

fn turn(x: &mut [f32], heads: Heads, positions: &[u32], table: &Table, direction: f32) {
    let Heads { width, start, count, dim } = heads;
    let (half, end) = (table.half, start + count * dim);
    assert!(x.len() == positions.len() * width && end <= width && 2 * half <= dim);
    assert!(positions.iter().all(|position| (*position as usize) < table.positions()));
    x.par_chunks_mut(ROWS * width).zip(positions.par_chunks(ROWS)).for_each(|(x, positions)| {
        lanes::vectorized(
            #[inline(always)]
            || {
                for (row, position) in x.chunks_exact_mut(width).zip(positions) {
                    let (cos, sin) = (table.at(&table.cos, *position), table.at(&table.sin, *position));
                    for head in row[start..end].chunks_exact_mut(dim) {
                        let (first, second) = head[..2 * half].split_at_mut(half);
                        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                            let (x, y, sin) = (*a, *b, sin * direction);
                            *a = x * cos - y * sin;
                            *b = y * cos + x * sin;
                        }
                    }
                }
            },
        );
    });
}

/// The same by candle's differentiable operations, for x `[rows, heads, dim]`.
pub fn reference(x: &Tensor, positions: &[u32], table: &Table) -> Result<Tensor> {
    let (rows, half) = (positions.len(), table.half);
    let take = |of: &[f32]| {
        let values: Vec<f32> = positions.iter().flat_map(|position| table.at(of, *position)).copied().collect();
        Tensor::from_vec(values, (rows, 1, half), x.device())?.to_dtype(x.dtype())
    };
    let (cos, sin) = (take(&table.cos)?, take(&table.sin)?);
    let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    let rest = x.dim(D::Minus1)? - 2 * half;
    match rest {
        0 => Tensor::cat(&[first, second], D::Minus1),
        _ => Tensor::cat(&[first, second, x.narrow(D::Minus1, 2 * half, rest)?], D::Minus1),
    }
}
