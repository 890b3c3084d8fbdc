//! Vector loops over `f32` slices, compiled for the best instruction set that the CPU has (chosen at run time). The
//! order of every sum is fixed by the source, sixteen lanes wide, and no multiply-add is fused, so the results are the
//! same on every CPU. It knows nothing of tensors.

const LANES: usize = 16;

/// Runs `f` compiled for the CPU's widest vectors. The closure must be written `#[inline(always)] || ...` and call only inlined
/// functions: what is not inlined here is compiled for the oldest CPU instead.
#[inline]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Sum of `a[i] * b[i]`.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let mut lanes = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a.zip(b) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    fold(lanes, |x, y| x + y) + tail
}

/// Sum of the elements.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail: f32 = chunks.remainder().iter().sum();
    for x in chunks {
        for i in 0..LANES {
            lanes[i] += x[i];
        }
    }
    fold(lanes, |x, y| x + y) + tail
}

/// Sum of the squares, in `f64`.
#[inline(always)]
pub fn sum_squares(a: &[f32]) -> f64 {
    let mut lanes = [0f64; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail: f64 = chunks.remainder().iter().map(|x| f64::from(*x).powi(2)).sum();
    for x in chunks {
        for i in 0..LANES {
            lanes[i] += f64::from(x[i]) * f64::from(x[i]);
        }
    }
    lanes.iter().sum::<f64>() + tail
}

/// The largest element, or negative infinity for an empty slice. Meaningful only for slices without NaN.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail = chunks.remainder().iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
    for x in chunks {
        for i in 0..LANES {
            lanes[i] = if x[i] > lanes[i] { x[i] } else { lanes[i] };
        }
    }
    fold(lanes, |x, y| if x > y { x } else { y }).max(tail)
}

/// `y[i] += s * x[i]`.
#[inline(always)]
pub fn add_scaled(y: &mut [f32], s: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += s * x;
    }
}

/// Replaces each element x by exp(x - shift) and returns their sum.
#[inline(always)]
pub fn exp_sum(a: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let mut chunks = a.chunks_exact_mut(LANES);
    for x in &mut chunks {
        for i in 0..LANES {
            x[i] = exp(x[i] - shift);
            lanes[i] += x[i];
        }
    }
    let mut tail = 0f32;
    for x in chunks.into_remainder() {
        *x = exp(*x - shift);
        tail += *x;
    }
    fold(lanes, |x, y| x + y) + tail
}

/// e^x with a relative error below 2e-7 for x in [-87, 88]; 0 below, infinity above. (Cephes' reduction by ln 2 in two
/// parts and a polynomial of degree 6; branch-free, so that loops over it become vector code.)
#[inline(always)]
#[allow(clippy::excessive_precision)] // ln 2 is split so that n * LN2_HI is exact
pub fn exp(x: f32) -> f32 {
    const LN2_HI: f32 = 0.693_359_375;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // adding and subtracting 1.5 * 2^23 rounds to the nearest whole number
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-88.0, 89.0);
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN2_HI) - n * LN2_LO;
    let mut p = 1.987_569_15e-4;
    for c in [1.398_199_95e-3, 8.333_451_9e-3, 4.166_579_6e-2, 1.666_666_55e-1, 5.000_000_1e-1] {
        p = p * r + c;
    }
    let e = p * (r * r) + r + 1.0;
    // 2^n in two factors, because 2^128 has no f32 exponent
    let half = (n * 0.5 + ROUND) - ROUND;
    let two = |k: f32| f32::from_bits((((k as i32) + 127) << 23) as u32);
    let value = e * two(half) * two(n - half);
    if x < -87.3 {
        0.0
    } else if x > 88.8 {
        f32::INFINITY
    } else {
        value
    }
}

/// Halves the lanes until one is left; each width is written out, so that they stay in registers.
#[inline(always)]
fn fold(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| f(lanes[i], lanes[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| f(eight[i], eight[i + 4]));
    f(f(four[0], four[2]), f(four[1], four[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn exp_agrees_with_f64_over_its_whole_range() {
        let mut worst = 0f64;
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2e-7, "{worst}");
        assert_eq!((exp(0.0), exp(-1000.0), exp(f32::NEG_INFINITY), exp(1000.0)), (1.0, 0.0, 0.0, f32::INFINITY));
    }

    #[test]
    fn sums_agree_with_f64_at_every_length() {
        for n in [0, 1, 15, 16, 17, 33, 769] {
            let (a, b) = (ramp(n), ramp(n + 3)[3..].to_vec());
            let exact_dot: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            let exact_sum: f64 = a.iter().map(|x| f64::from(*x)).sum();
            assert!((f64::from(dot(&a, &b)) - exact_dot).abs() < 1e-4, "{n}");
            assert!((f64::from(sum(&a)) - exact_sum).abs() < 1e-4, "{n}");
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut e = a.clone();
            let total = exp_sum(&mut e, 0.5);
            let exact: f64 = a.iter().map(|x| f64::from(*x - 0.5).exp()).sum();
            assert!((f64::from(total) - exact).abs() <= 1e-5 * exact, "{n}");
        }
    }

    #[test]
    fn vectorized_code_gives_the_same_bits_as_plain_code() {
        let (a, b) = (ramp(1000), ramp(1003)[3..].to_vec());
        assert_eq!(
            vectorized(
                #[inline(always)]
                || dot(&a, &b)
            )
            .to_bits(),
            dot(&a, &b).to_bits()
        );
        let (mut e, mut f) = (a.clone(), a.clone());
        assert_eq!(
            vectorized(
                #[inline(always)]
                || exp_sum(&mut e, 0.1)
            )
            .to_bits(),
            exp_sum(&mut f, 0.1).to_bits()
        );
        assert_eq!(e, f);
    }
}
