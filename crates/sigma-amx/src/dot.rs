//! The same blocks by vectors: `vdpbf16ps` of AVX512-BF16 multiplies 32 pairs of bf16 numbers and adds two products to
//! each of 16 sums, where a multiply-add of f32 adds one.

use std::arch::x86_64::*;

use crate::block::{Block, Start};
use crate::tile::{HALF, PANEL, Tile};

/// Rows whose sums over a panel fill half of the vector registers.
const ROWS: usize = 8;

type Sums = [[__m512; 2]; ROWS];

impl Block<'_> {
    /// # Safety
    /// The CPU must have the instructions; 32 rows of 32 numbers must lie at `out`.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(crate) unsafe fn dot(self) {
        let parts = self.pair.parts;
        for first in (0..PANEL).step_by(ROWS) {
            // SAFETY: the caller's promise: two vectors of a row
            let place = |row: usize, half: usize| unsafe { self.out.add((first + row) * self.stride + half * HALF) };
            let mut sums: Sums = [[_mm512_setzero_ps(); 2]; ROWS];
            if let Start::Out = self.start {
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above
                    *sums = unsafe { [_mm512_loadu_ps(place(row, 0)), _mm512_loadu_ps(place(row, 1))] };
                }
            }
            let chunks = self.pair.left.chunks_exact(parts.tiles()).zip(self.pair.right.chunks_exact(parts.tiles()));
            for (left, right) in chunks {
                for &(p, q) in parts.products() {
                    sums = chunk(sums, (&left[2 * p + first / HALF], first % HALF), [&right[2 * q], &right[2 * q + 1]]);
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                // SAFETY: as above
                unsafe {
                    _mm512_storeu_ps(place(row, 0), sums[0]);
                    _mm512_storeu_ps(place(row, 1), sums[1]);
                }
            }
        }
    }
}

/// The sums and the products of eight rows of `left`, from number `first` on, with the columns of both halves of
/// `right`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn chunk(mut sums: Sums, (left, first): (&Tile, usize), right: [&Tile; 2]) -> Sums {
    for pair in 0..HALF {
        // SAFETY: a row of a tile is 64 bytes, and bits without meaning become bf16
        let columns = right.map(|tile| unsafe { bf16(_mm512_loadu_si512(tile.0[pair].as_ptr().cast())) });
        for (row, sums) in sums.iter_mut().enumerate() {
            let [even, odd] = [0, 1].map(|i| u32::from(left.0[first + row][2 * pair + i]));
            // SAFETY: as above
            let numbers = unsafe { bf16(_mm512_set1_epi32((even | odd << 16) as i32)) };
            for (sum, columns) in sums.iter_mut().zip(columns) {
                *sum = _mm512_dpbf16_ps(*sum, numbers, columns);
            }
        }
    }
    sums
}

/// # Safety
/// The CPU must have 512-bit vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn bf16(bits: __m512i) -> __m512bh {
    // SAFETY: both types are 512 bits without meaning
    unsafe { std::mem::transmute(bits) }
}
