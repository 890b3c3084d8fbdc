//! One block of a product's results: made by the unit, also where it is cut off by the edge of the matrix, then
//! finished.

use sigma_amx::{PANEL, Pair, Session, Start};

use crate::lanes;
use crate::tile::{Then, prefetch};

/// Up to 32 x 32 results and what becomes of them.
pub(super) struct Block<'a> {
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Whether to add to what is there.
    pub(super) add: bool,
    pub(super) then: Then<'a>,
}

impl Block<'_> {
    /// # Safety
    /// `rows` rows of `width` numbers, `stride` apart, must lie at `out`, and nobody else may use them meanwhile.
    pub(super) unsafe fn make(self, out: *mut f32, stride: usize, session: &Session, pair: Pair<'_>) {
        let Self { rows, width, add, then } = self;
        for row in 0..rows {
            for line in (0..width).step_by(16) {
                prefetch::<1>(out.wrapping_add(row * stride + line));
            }
        }
        let start = if add { Start::Out } else { Start::Zero };
        if rows == PANEL && width == PANEL {
            // SAFETY: the caller's promise
            unsafe { session.multiply_into(out, stride, start, pair) };
        } else {
            let mut sums = [[0f32; PANEL]; PANEL];
            for (row, sums) in sums.iter_mut().enumerate().take(if add { rows } else { 0 }) {
                // SAFETY: the caller's promise
                sums[..width].copy_from_slice(unsafe { std::slice::from_raw_parts(out.add(row * stride), width) });
            }
            session.multiply(&mut sums, start, pair);
            for (row, sums) in sums.iter().enumerate().take(rows) {
                // SAFETY: the caller's promise
                unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), width) }.copy_from_slice(&sums[..width]);
            }
        }
        if let Then::Nothing = then {
            return;
        }
        lanes::vectorized(
            #[inline(always)]
            || {
                for row in 0..rows {
                    // SAFETY: the caller's promise
                    let out = unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), width) };
                    // an array's length is known to the compiler
                    match <&mut [f32; PANEL]>::try_from(&mut *out) {
                        Ok(out) => finish(out, then),
                        Err(_) => finish(out, then),
                    }
                }
            },
        );
    }
}

#[inline(always)]
fn finish(y: &mut [f32], then: Then<'_>) {
    match then {
        Then::Nothing => {}
        Then::Bias(bias) => lanes::add_scaled(y, 1.0, &bias[..y.len()]),
        Then::BiasRelu(bias) => {
            for (y, bias) in y.iter_mut().zip(bias) {
                let sum = *y + bias;
                *y = if sum < 0.0 { 0.0 } else { sum };
            }
        }
    }
}
