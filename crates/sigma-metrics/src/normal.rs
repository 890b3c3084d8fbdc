//! Quantiles of the standard normal distribution, for confidence intervals. Wichura's algorithm AS 241 (PPND16), Applied Statistics
//! 37 (1988) 477: rational approximations with a relative error near 1e-16.

/// The x with Phi(x) = p. None unless 0 < p < 1.
pub fn normal_quantile(p: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.425 * 0.425 - q * q;
        return Some(q * polynomial(&CENTER.0, r) / polynomial(&CENTER.1, r));
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let x = if r <= 5.0 {
        polynomial(&SHOULDER.0, r - 1.6) / polynomial(&SHOULDER.1, r - 1.6)
    } else {
        polynomial(&TAIL.0, r - 5.0) / polynomial(&TAIL.1, r - 5.0)
    };
    Some(x.copysign(q))
}

/// The z with P(|N(0, 1)| <= z) = confidence. None unless 0 < confidence < 1.
/// Taken from the lower tail, where confidences next to 1 keep their digits.
pub(crate) fn two_sided_z(confidence: f64) -> Option<f64> {
    normal_quantile(0.5 * (1.0 - confidence)).filter(|_| confidence > 0.0).map(|x| -x)
}

/// sum_i c_i x^i.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |value, c| value * x + c)
}

/// Numerator and denominator coefficients, lowest power first.
type Rational = ([f64; 8], [f64; 8]);

const CENTER: Rational = (
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
);

const SHOULDER: Rational = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);

const TAIL: Rational = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_049e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_odd_about_one_half_and_undefined_outside_the_unit_interval() {
        for p in [1e-12, 0.01, 0.07, 0.075, 0.3] {
            let (low, high) = (normal_quantile(p), normal_quantile(1.0 - p));
            assert!(matches!((low, high), (Some(low), Some(high)) if (low + high).abs() < 1e-4 * low.abs()), "{p}");
        }
        assert_eq!(normal_quantile(0.5), Some(0.0));
        for p in [0.0, 1.0, -0.1, f64::NAN] {
            assert_eq!(normal_quantile(p), None);
        }
    }

    #[test]
    fn confidences_next_to_the_ends_still_have_a_z() {
        assert!(two_sided_z(1.0 - f64::EPSILON / 2.0).is_some_and(|z| z.is_finite() && z > 8.0));
        assert_eq!(two_sided_z(f64::MIN_POSITIVE), Some(0.0));
        assert_eq!(two_sided_z(0.0), None);
        assert_eq!(two_sided_z(1.0), None);
    }
}
