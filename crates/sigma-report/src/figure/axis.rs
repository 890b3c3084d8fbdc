//! A linear axis for any data: its range, round ticks, their labels, and a power of ten taken out of large or small
//! numbers. It knows nothing of drawing.

/// About how many ticks an axis has.
const TICKS: f64 = 6.0;
/// Numbers from here up are shown as multiples of a power of ten.
const LARGE: f64 = 1e5;
/// And so are numbers below this.
const SMALL: f64 = 1e-3;
/// A spread below this fraction of the magnitude is rounding, and is drawn as a constant.
const FLAT: f64 = 1e-12;

/// An axis over values that were divided by `scale()`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    decimals: usize,
    exponent: i32,
}

impl Axis {
    /// An axis that holds all finite `values` and zero if `with_zero`, with some air on either side.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, with_zero: bool) -> Axis {
        let zero = with_zero.then_some(0.0);
        let (low, high) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .chain(zero)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Axis::new(0.0, 1.0, 0, false);
        }
        let magnitude = low.abs().max(high.abs());
        let exponent = exponent_of(magnitude);
        // Scaled before subtracted: the difference of two finite numbers can be infinite.
        let (low, high) = (divided(low, exponent), divided(high, exponent));
        let spread = high - low;
        let flat = spread <= FLAT * low.abs().max(high.abs());
        let air = match flat {
            true if low == 0.0 => 1.0,
            true => 0.1 * low.abs(),
            false => 0.05 * spread,
        };
        Axis::new(low - air, high + air, exponent, false)
    }

    /// The axis of generations 0..=last: ticks are whole numbers.
    pub(super) fn generations(last: u32) -> Axis {
        let last = f64::from(last.max(1));
        Axis::new(-0.02 * last, 1.02 * last, 0, true)
    }

    /// The axis from `low` to `high` themselves, for a scale that ends where the data end.
    pub(super) fn between(low: f64, high: f64) -> Axis {
        let magnitude = low.abs().max(high.abs());
        if !magnitude.is_finite() || low >= high {
            return Axis::new(0.0, 1.0, 0, false);
        }
        let exponent = exponent_of(magnitude);
        Axis::new(divided(low, exponent), divided(high, exponent), exponent, false)
    }

    /// The axis of values within [0, 1].
    pub(super) fn unit_interval() -> Axis {
        Axis::new(-0.04, 1.04, 0, false)
    }

    fn new(low: f64, high: f64, exponent: i32, whole: bool) -> Axis {
        let step = round_step((high - low) / TICKS, whole);
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        let ticks = (first..=last).map(|tick| tick as f64 * step).collect();
        // The last digit that a multiple of the step can have.
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        Axis { low, high, ticks, decimals, exponent }
    }

    /// Where `value` lies on the axis; `None` if it cannot be drawn.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        value.is_finite().then(|| divided(value, self.exponent))
    }

    pub(super) fn label(&self, tick: f64) -> String {
        let label = format!("{tick:.*}", self.decimals);
        match label.strip_prefix('-') {
            // A hyphen is shorter than a minus.
            Some(magnitude) if tick < 0.0 => format!("\u{2212}{magnitude}"),
            Some(magnitude) => magnitude.to_owned(),
            None => label,
        }
    }

    /// `unit` with the power of ten that the labels leave out.
    pub(super) fn unit(&self, unit: &str) -> String {
        let power = superscript(self.exponent.unsigned_abs());
        match self.exponent {
            0 => unit.to_owned(),
            1.. => format!("10{power} {unit}"),
            // A fraction, because the figure font has no raised minus.
            _ => format!("{unit}/10{power}"),
        }
    }
}

fn exponent_of(magnitude: f64) -> i32 {
    if magnitude == 0.0 || (SMALL..LARGE).contains(&magnitude) { 0 } else { magnitude.log10().floor() as i32 }
}

/// `value` / 10^`exponent`, in two steps where the power itself is out of range.
fn divided(value: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    value / 10f64.powi(half) / 10f64.powi(exponent - half)
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `step`.
fn round_step(step: f64, whole: bool) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let round =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|round| *round >= step * (1.0 - 1e-9));
    let round = round.unwrap_or(10.0 * power);
    if whole { round.max(1.0) } else { round }
}

fn superscript(exponent: u32) -> String {
    let raised = |character| match character {
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        other => other,
    };
    exponent.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_labels_tell_them_apart() {
        for (values, expected) in [
            (vec![0.0, -181.17], vec!["−150", "−100", "−50", "0"]),
            (vec![0.0, -1536.562], vec!["−1500", "−1000", "−500", "0"]),
            (vec![0.0, 0.031], vec!["0.00", "0.01", "0.02", "0.03"]),
            (vec![0.0], vec!["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
            (vec![], vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ] {
            assert_eq!(labels(&Axis::around(values, false)), expected);
        }
    }

    #[test]
    fn every_finite_value_has_a_place_between_the_ends() {
        let cases: [&[f64]; 9] = [
            &[f64::MAX, f64::MIN],
            &[1e300, 1e-300],
            &[f64::MIN_POSITIVE, 0.0],
            &[5e-324, 1e-323],
            &[3.0],
            &[1e9, 1e9 + 1e-7],
            &[-1e15; 3],
            &[0.0, f64::NAN, -7.0, f64::INFINITY],
            &[12.0, 12.5],
        ];
        for values in cases {
            for with_zero in [false, true] {
                let axis = Axis::around(values.iter().copied(), with_zero);
                assert!(axis.low < axis.high && axis.low.is_finite() && axis.high.is_finite(), "{values:?}: {axis:?}");
                assert!((2..=13).contains(&axis.ticks.len()), "{values:?}: {axis:?}");
                for value in values {
                    let inside = axis.position(*value).map(|place| (axis.low..=axis.high).contains(&place));
                    assert_eq!(inside, value.is_finite().then_some(true), "{value} of {values:?}: {axis:?}");
                }
                let mut labels = labels(&axis);
                labels.dedup();
                assert_eq!(labels.len(), axis.ticks.len(), "{values:?}: {axis:?}");
            }
        }
    }

    #[test]
    fn large_and_small_numbers_leave_their_power_of_ten_to_the_unit() {
        let axis = Axis::around([0.0, -2.5e9], false);
        assert_eq!(axis.unit("nats"), "10⁹ nats");
        assert!(labels(&axis).contains(&"−2.0".to_owned()));
        assert_eq!(Axis::around([0.0, -99_999.0], false).unit("nats"), "nats");
        let axis = Axis::around([0.0, 2.5e-13], false);
        assert_eq!(axis.unit("nats"), "nats/10¹³");
        assert!(labels(&axis).contains(&"2.0".to_owned()));
    }

    #[test]
    fn generation_ticks_are_whole_numbers() {
        for last in [0, 1, 2, 3, 7, 25, 50, 1000] {
            let axis = Axis::generations(last);
            assert!(axis.ticks.iter().all(|tick| tick.fract() == 0.0), "{last}: {axis:?}");
            assert!(axis.ticks.contains(&0.0), "{last}: {axis:?}");
            assert!(axis.low <= 0.0 && axis.high >= f64::from(last));
        }
        assert_eq!(labels(&Axis::generations(50)), ["0", "10", "20", "30", "40", "50"]);
    }
}
