//! What the unit computes, in plain Rust: the slow twin of [`crate::block`] and [`crate::pack`]. Numbers below 2^-126
//! count as 0.

use crate::block::{Block, Start};
use crate::pack::{Packing, Side};
use crate::tile::{CHUNK, HALF, PANEL, Parts, Tile};

/// x, or 0 of its sign where x is subnormal.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

/// x rounded to bf16, ties to even.
fn rounded(x: f32) -> u16 {
    let bits = flushed(x).to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16
}

pub(crate) fn value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The parts whose sum is x; the first alone is x rounded to bf16.
pub(crate) fn split(x: f32) -> [u16; Parts::Three.count()] {
    let mut rest = x;
    std::array::from_fn(|_| {
        let part = rounded(rest);
        rest -= value(part);
        part
    })
}

impl Packing<'_> {
    pub(crate) fn emulated(self, tiles: &mut [Tile], side: Side) {
        let Self { source, first, vectors, from, inner, parts } = self;
        let chunks = inner.div_ceil(CHUNK);
        tiles.fill(Tile::ZERO);
        for v in 0..vectors {
            for i in 0..inner {
                for (part, bits) in split(source.at(first + v, from + i)).into_iter().take(parts.count()).enumerate() {
                    let tile = (v / PANEL * chunks + i / CHUNK) * parts.tiles() + part * 2 + v % PANEL / HALF;
                    let (v, i) = (v % HALF, i % CHUNK);
                    match side {
                        Side::Left => tiles[tile].0[v][i] = bits,
                        Side::Right => tiles[tile].0[i / 2][2 * v + i % 2] = bits,
                    }
                }
            }
        }
    }
}

impl Block<'_> {
    /// # Safety
    /// 32 rows of 32 numbers must lie at `out`.
    pub(crate) unsafe fn emulated(self) {
        let (left, right, parts) = (self.pair.left, self.pair.right, self.pair.parts);
        let at = |row: usize, column: usize| self.out.wrapping_add(row * self.stride + column);
        for row in 0..PANEL {
            for column in 0..PANEL {
                // SAFETY: the caller's promise
                let before = unsafe { *at(row, column) };
                let mut sum = match self.start {
                    Start::Zero => 0.0,
                    Start::Out => before,
                };
                for (left, right) in left.chunks_exact(parts.tiles()).zip(right.chunks_exact(parts.tiles())) {
                    for &(p, q) in parts.products() {
                        let (a, b) = (&left[2 * p + row / HALF], &right[2 * q + column / HALF]);
                        sum = flushed(flushed(sum) + dot(&a.0[row % HALF], &b.0, column % HALF));
                    }
                }
                // SAFETY: the caller's promise
                unsafe { *at(row, column) = sum };
            }
        }
    }
}

/// Even and odd inner elements are summed apart, each product fused with its sum.
fn dot(row: &[u16; CHUNK], pairs: &[[u16; CHUNK]; HALF], column: usize) -> f32 {
    let mut sums = [0f32; 2];
    for (k, pair) in pairs.iter().enumerate() {
        for (odd, sum) in sums.iter_mut().enumerate() {
            let (a, b) = (flushed(value(row[2 * k + odd])), flushed(value(pair[2 * column + odd])));
            *sum = flushed(a.mul_add(b, *sum));
        }
    }
    flushed(sums[0] + sums[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_exactly_the_sum_of_its_three_parts() {
        let mut bits = 1u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = f32::from_bits(bits);
            // below 2^-103 a last part may underflow, and the largest numbers round to infinity
            if x.is_finite() && (1e-30..3.38e38).contains(&x.abs()) {
                let [a, b, c] = split(x).map(|part| f64::from(value(part)));
                assert!(a + b + c == f64::from(x), "{x:e} = {a:e} + {b:e} + {c:e}");
                assert!(b.abs() <= a.abs() / 256.0 && c.abs() <= a.abs() / 65536.0, "{x:e} = {a:e} + {b:e} + {c:e}");
            }
        }
    }
}
