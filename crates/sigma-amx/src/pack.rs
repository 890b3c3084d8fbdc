//! From rows or columns of f32 to tiles of bf16.

use crate::cpu::Unit;
use crate::tile::{Parts, Tile, tiles};

/// Where the vectors are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// One vector after another, this far apart, its elements side by side.
    Vectors(&'a [f32], usize),
    /// One inner element after another, this far apart, those of all vectors side by side.
    Elements(&'a [f32], usize),
}

/// The side of the product that a matrix stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// What is to be packed: elements `from..from + inner` of the vectors `first..first + vectors`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) first: usize,
    pub(crate) vectors: usize,
    pub(crate) from: usize,
    pub(crate) inner: usize,
    pub(crate) parts: Parts,
}

impl Source<'_> {
    pub(crate) fn at(&self, vector: usize, element: usize) -> f32 {
        match self {
            Source::Vectors(values, stride) => values[vector * stride + element],
            Source::Elements(values, stride) => values[element * stride + vector],
        }
    }
}

impl Unit {
    /// Packs the elements `from..from + inner` of the vectors `first..first + vectors` into `tiles(vectors, inner,
    /// parts)` tiles.
    pub fn pack(
        self,
        out: &mut [Tile],
        side: Side,
        source: Source<'_>,
        (first, vectors): (usize, usize),
        (from, inner): (usize, usize),
        parts: Parts,
    ) {
        assert!(out.len() == tiles(vectors, inner, parts));
        if out.is_empty() {
            return;
        }
        let (last_vector, last_element) = (first + vectors - 1, from + inner - 1);
        let last = match source {
            Source::Vectors(values, stride) => (last_vector * stride + last_element, values.len()),
            Source::Elements(values, stride) => (last_element * stride + last_vector, values.len()),
        };
        assert!(last.0 < last.1);
        let packing = Packing { source, first, vectors, from, inner, parts };
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Amx(_) | Unit::Dot(_) => match parts {
                // SAFETY: a CPU with either has these vector instructions (see `cpu`), and the last element lies in the
                // source
                Parts::One => unsafe { vectorized::pack::<1, 2>(packing, out, side) },
                // SAFETY: as above
                Parts::Three => unsafe { vectorized::pack::<3, 6>(packing, out, side) },
            },
            #[cfg(not(target_arch = "x86_64"))]
            Unit::Amx(_) | Unit::Dot(_) => {}
            Unit::Emulated => packing.emulated(out, side),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vectorized {
    use std::arch::x86_64::*;

    use super::{Packing, Side, Source};
    use crate::tile::{CHUNK, HALF, PANEL, Tile};

    /// 16 vectors of 16 numbers.
    type Square = [__m512; 16];

    /// `P` parts of each number, in the `T` tiles that they make of a panel's chunk.
    ///
    /// # Safety
    /// The CPU must have the features, and the source all the elements.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn pack<const P: usize, const T: usize>(packing: Packing<'_>, out: &mut [Tile], side: Side) {
        let Packing { source, first, vectors, from, inner, .. } = packing;
        let chunks = inner.div_ceil(CHUNK);
        for (panel, tiles) in out.chunks_exact_mut(chunks * T).enumerate() {
            for (chunk, tiles) in tiles.as_chunks_mut::<T>().0.iter_mut().enumerate() {
                for half in 0..PANEL / HALF {
                    let v = panel * PANEL + half * HALF;
                    let (high, long) = (vectors.saturating_sub(v).min(HALF), (inner - chunk * CHUNK).min(CHUNK));
                    let (v, i) = (first + v, from + chunk * CHUNK);
                    // rows of the squares: vectors, of which one square has the first 16 elements and the other the
                    // last; or elements
                    let (at, step, [rows, late_rows], [width, late_width]) = match source {
                        Source::Vectors(values, stride) => {
                            let at = values.as_ptr().wrapping_add(v * stride + i);
                            (at, stride, [high, high], [long.min(16), long.saturating_sub(16)])
                        }
                        Source::Elements(values, stride) => {
                            let at = values.as_ptr().wrapping_add(i * stride + v);
                            (at, stride, [long.min(16), long.saturating_sub(16)], [high, high])
                        }
                    };
                    let (late_at, next) = match source {
                        Source::Vectors(..) => (at.wrapping_add(16), CHUNK),
                        Source::Elements(..) => (at.wrapping_add(16 * step), CHUNK * step),
                    };
                    // SAFETY: the caller's promise; beyond these rows and widths nothing is read
                    let (low, late) = unsafe {
                        (square(at, step, rows, width, next), square(late_at, step, late_rows, late_width, next))
                    };
                    let by_vector = matches!(source, Source::Vectors(..));
                    let turned = by_vector != (side == Side::Left);
                    let (low, late) = if turned { (transposed(low), transposed(late)) } else { (low, late) };
                    match side {
                        Side::Left => {
                            for row in 0..HALF {
                                store::<P, T>(tiles, half, row, split(low[row], late[row]));
                            }
                        }
                        Side::Right => {
                            for pair in 0..8 {
                                store::<P, T>(tiles, half, pair, interleaved(split(low[2 * pair], low[2 * pair + 1])));
                                let parts = interleaved(split(late[2 * pair], late[2 * pair + 1]));
                                store::<P, T>(tiles, half, pair + 8, parts);
                            }
                        }
                    }
                }
            }
        }
    }

    /// `rows` rows, `step` apart, of `width` numbers, filled up with zeros. What lies `next` behind them is asked for.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn square(from: *const f32, step: usize, rows: usize, width: usize, next: usize) -> Square {
        let row = |row: usize| from.wrapping_add(row * step);
        if rows == 16 && width == 16 {
            return std::array::from_fn(|r| {
                _mm_prefetch::<_MM_HINT_T0>(row(r).wrapping_add(next).cast());
                // SAFETY: the whole square is there
                unsafe { _mm512_loadu_ps(row(r)) }
            });
        }
        let mask = ((1u32 << width) - 1) as __mmask16;
        std::array::from_fn(|r| {
            // SAFETY: the row is there, and the mask hides what is beyond its end
            if r < rows { unsafe { _mm512_maskz_loadu_ps(mask, row(r)) } } else { _mm512_setzero_ps() }
        })
    }

    /// The parts of 32 numbers in the order low, late.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn split<const P: usize>(mut low: __m512, mut late: __m512) -> [__m512i; P] {
        let mut parts = [_mm512_setzero_si512(); P];
        for part in &mut parts {
            // SAFETY: both types are 512 bits without meaning
            *part = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(late, low)) };
            low = _mm512_sub_ps(low, widened::<0>(*part));
            late = _mm512_sub_ps(late, widened::<16>(*part));
        }
        parts
    }

    /// 16 numbers of bf16, from number `FIRST` on, as f32: each in the upper half of 32 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn widened<const FIRST: u16>(bits: __m512i) -> __m512 {
        let order = const {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 32 {
                order[i] = FIRST + i as u16 / 2;
                i += 1;
            }
            order
        };
        // SAFETY: both types are 512 bits without meaning
        let order = unsafe { std::mem::transmute::<[u16; 32], __m512i>(order) };
        _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xAAAA_AAAA, order, bits))
    }

    /// Number i of the first 16 and number i of the last 16 side by side.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn interleaved<const P: usize>(parts: [__m512i; P]) -> [__m512i; P] {
        const ORDER: [u16; 32] = {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 32 {
                order[i] = (i / 2 + i % 2 * 16) as u16;
                i += 1;
            }
            order
        };
        // SAFETY: both types are 512 bits without meaning
        let order = unsafe { std::mem::transmute::<[u16; 32], __m512i>(ORDER) };
        parts.map(|part| _mm512_permutexvar_epi16(order, part))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store<const P: usize, const T: usize>(tiles: &mut [Tile; T], half: usize, row: usize, parts: [__m512i; P]) {
        for (part, bits) in parts.into_iter().enumerate() {
            let target = &mut tiles[2 * part + half].0[row];
            // SAFETY: a row is 64 bytes
            unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), bits) };
        }
    }

    /// Rows as columns.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(rows: Square) -> Square {
        // pairs, then fours of rows, within each 128 bits; then the four parts of 128 bits
        let mut pairs = rows;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for i in 0..4 {
            let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
            fours[4 * i] = _mm512_shuffle_ps::<0x44>(a, c);
            fours[4 * i + 1] = _mm512_shuffle_ps::<0xEE>(a, c);
            fours[4 * i + 2] = _mm512_shuffle_ps::<0x44>(b, d);
            fours[4 * i + 3] = _mm512_shuffle_ps::<0xEE>(b, d);
        }
        let mut out = fours;
        for i in 0..4 {
            let [a, b, c, d] = [fours[i], fours[4 + i], fours[8 + i], fours[12 + i]];
            let (ab_low, ab_high) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
            let (cd_low, cd_high) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
            out[i] = _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low);
            out[4 + i] = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
            out[8 + i] = _mm512_shuffle_f32x4::<0xDD>(ab_low, cd_low);
            out[12 + i] = _mm512_shuffle_f32x4::<0xDD>(ab_high, cd_high);
        }
        out
    }
}
