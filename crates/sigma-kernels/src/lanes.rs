//! Vector loops over `f32` slices, compiled for the best instruction set that the CPU has (chosen at run time). The
//! order of every sum is fixed by the source, sixteen lanes wide, and where a multiply-add is fused the source says so,
//! so the results are the same on every CPU (slowly, where it has no such instruction). It knows nothing of tensors.

const LANES: usize = 16;

/// Runs `f` compiled for the CPU's widest vectors. The closure must be written `#[inline(always)] || ...` and call only
/// inlined functions: what is not inlined here is compiled for the oldest CPU instead.
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
    let mut tail = 0f32;
    for (x, y) in a.remainder().iter().zip(b.remainder()) {
        tail = x.mul_add(*y, tail);
    }
    for (x, y) in a.zip(b) {
        for i in 0..LANES {
            lanes[i] = x[i].mul_add(y[i], lanes[i]);
        }
    }
    fold(lanes, |x, y| x + y) + tail
}

/// Sum of the elements.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = a.chunks_exact(LANES);
    let mut tail = 0f32;
    for x in chunks.remainder() {
        tail += x;
    }
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
    let mut tail = 0f64;
    for x in chunks.remainder() {
        tail += f64::from(*x) * f64::from(*x);
    }
    for x in chunks {
        for i in 0..LANES {
            lanes[i] += f64::from(x[i]) * f64::from(x[i]);
        }
    }
    let mut total = tail;
    for lane in std::hint::black_box(lanes) {
        total += lane;
    }
    total
}

/// The largest element, or negative infinity for an empty slice. Meaningful only for slices without NaN.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let mut tail = f32::NEG_INFINITY;
    for x in chunks.remainder() {
        tail = if *x > tail { *x } else { tail };
    }
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
        *y = s.mul_add(*x, *y);
    }
}

/// Replaces each element x by exp(x - shift) and returns their sum.
#[inline(always)]
pub fn exp_sum(a: &mut [f32], shift: f32) -> f32 {
    for x in a.iter_mut() {
        *x = exp(*x - shift);
    }
    sum(a)
}

/// `a[i] *= s`.
#[inline(always)]
pub fn scale(a: &mut [f32], s: f32) {
    for x in a {
        *x *= s;
    }
}

/// Replaces each element x by exp(x) over the sum of these.
#[inline(always)]
pub fn softmax(a: &mut [f32]) {
    let top = max(a);
    let norm = 1.0 / exp_sum(a, top);
    scale(a, norm);
}

/// e^x with a relative error below 1e-7 for x in [-87.3, 88]; 0 below, e^88 above. (Cephes' reduction by ln 2 in two
/// parts and a polynomial of degree 6; branch-free, so that loops over it become vector code.)
#[inline(always)]
#[allow(clippy::excessive_precision)] // ln 2 is split so that n * LN2_HI is exact
pub fn exp(x: f32) -> f32 {
    const LN2_HI: f32 = 0.693_359_375;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // adding 1.5 * 2^23 rounds to the nearest whole number, which then stands in the lowest bits
    const ROUND: f32 = 12_582_912.0;
    const SMALLEST: f32 = -87.3;
    let clamped = x.clamp(SMALLEST, 88.0);
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, clamped));
    let mut p = 1.987_569_15e-4f32;
    for c in [1.398_199_95e-3, 8.333_451_9e-3, 4.166_579_6e-2, 1.666_666_55e-1, 5.000_000_1e-1] {
        p = p.mul_add(r, c);
    }
    let e = p.mul_add(r * r, r) + 1.0;
    // times 2^n: n is added to the exponent
    let value = f32::from_bits(e.to_bits().wrapping_add(rounded.to_bits() << 23));
    if x < SMALLEST { 0.0 } else { value }
}

/// Halves the lanes until one is left. The compiler is kept from looking through to the loop that filled the lanes: it
/// would cut the vectors there into the pairs that are added here.
#[inline(always)]
fn fold(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let lanes = std::hint::black_box(lanes);
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
        for i in -87_299..88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 1e-7, "{worst}");
        assert_eq!((exp(0.0), exp(-1000.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && exp(1000.0) > 1e38);
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
