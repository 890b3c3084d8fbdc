//! What is kept of rows beside their products: energies for the cap, the sum of unit vectors for the mean cosine.
//! Reading every value once, it is also where values that are not finite are found.

use super::Precision;
use crate::MetricsError;

/// Partial sums of one row, so that they vectorise in an order fixed by the source.
const LANES: usize = 32;

/// Rows whose unit vectors are added in one pass over their sum.
const TOGETHER: usize = 4;

/// The largest ||v||^2 whose sums over a piece stay within float32.
const SINGLE_ENERGY_LIMIT: f64 = 1e35;

/// Sums over rows of width d, in float64.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RowSums {
    /// Sum of ||v||^2: the trace of G.
    pub(super) energy: f64,
    /// Largest ||v||^2; zero without rows.
    pub(super) largest_energy: f64,
    /// Rows that are not zero.
    pub(super) unit_rows: u64,
    /// Sum of u = v / ||v|| over them.
    pub(super) unit_sum: Vec<f64>,
}

impl RowSums {
    pub(super) fn new(d: usize) -> Self {
        Self { energy: 0.0, largest_energy: 0.0, unit_rows: 0, unit_sum: vec![0.0; d] }
    }

    /// Takes in rows, of which the first has the number `first`.
    pub(super) fn add(&mut self, rows: &[f32], first: u64, precision: Precision) -> Result<(), MetricsError> {
        let d = self.unit_sum.len();
        let bad = self.add_until_bad(rows, precision);
        let Some((index, energy)) = bad else { return Ok(()) };
        let row = usize::try_from(first).unwrap_or(usize::MAX).saturating_add(index);
        let values = &rows[index * d..][..d];
        match values.iter().position(|value| !value.is_finite()) {
            Some(column) => Err(MetricsError::NonFinite { row, column, value: values[column] }),
            None => Err(MetricsError::Overflow { row, norm: energy.sqrt() }),
        }
    }

    /// The index and energy of the first row that cannot be taken in, if there is one.
    fn add_until_bad(&mut self, rows: &[f32], precision: Precision) -> Option<(usize, f64)> {
        let limit = match precision {
            Precision::Single => SINGLE_ENERGY_LIMIT,
            // squares of float32 cannot overflow float64: the energy is finite if and only if the values are
            Precision::Double => f64::MAX,
        };
        let d = self.unit_sum.len();
        for (number, rows) in rows.chunks(TOGETHER * d).enumerate() {
            let mut inverse_norms = [0.0; TOGETHER];
            for (place, row) in rows.chunks_exact(d).enumerate() {
                let energy = energy(row);
                // not `energy > limit`, which NaN is not
                if energy.is_nan() || energy > limit {
                    return Some((number * TOGETHER + place, energy));
                }
                self.energy += energy;
                self.largest_energy = self.largest_energy.max(energy);
                if energy > 0.0 {
                    inverse_norms[place] = energy.sqrt().recip();
                    self.unit_rows += 1;
                }
            }
            pulp::Arch::new().dispatch(AddScaled { sum: &mut self.unit_sum, rows, factors: inverse_norms });
        }
        None
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.energy += other.energy;
        self.largest_energy = self.largest_energy.max(other.largest_energy);
        self.unit_rows += other.unit_rows;
        for (sum, value) in self.unit_sum.iter_mut().zip(&other.unit_sum) {
            *sum += value;
        }
    }

    /// (|sum u|^2 - m) / (m (m - 1)) over the m rows that are not zero; None for m < 2.
    pub(super) fn mean_cosine(&self) -> Option<f64> {
        if self.unit_rows < 2 {
            return None;
        }
        let m = self.unit_rows as f64;
        let square: f64 = self.unit_sum.iter().map(|x| x * x).sum();
        Some(((square - m) / (m * (m - 1.0))).clamp(-1.0, 1.0))
    }
}

/// ||v||^2.
fn energy(row: &[f32]) -> f64 {
    pulp::Arch::new().dispatch(Energy(row))
}

// A struct and not a closure, which the compiler may leave out of line, compiled for the oldest CPU.
struct Energy<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for Energy<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut lanes = [0f64; LANES];
        let (chunks, tail) = self.0.as_chunks::<LANES>();
        for values in chunks {
            for i in 0..LANES {
                lanes[i] = f64::from(values[i]).mul_add(f64::from(values[i]), lanes[i]);
            }
        }
        // kept from looking through to the loop: the compiler would cut its vectors into the pairs that are added here
        let mut lanes = std::hint::black_box(lanes);
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        tail.iter().fold(lanes[0], |sum, &value| f64::from(value).mul_add(f64::from(value), sum))
    }
}

/// sum += factor * row for each row, one after another.
struct AddScaled<'a> {
    sum: &'a mut [f64],
    rows: &'a [f32],
    factors: [f64; TOGETHER],
}

impl pulp::NullaryFnOnce for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { sum, rows, factors } = self;
        let width = sum.len();
        if rows.len() == TOGETHER * width {
            let (one, rest) = rows.split_at(width);
            let (two, rest) = rest.split_at(width);
            let (three, four) = rest.split_at(width);
            for ((((sum, a), b), c), d) in sum.iter_mut().zip(one).zip(two).zip(three).zip(four) {
                *sum = f64::from(*a).mul_add(factors[0], *sum);
                *sum = f64::from(*b).mul_add(factors[1], *sum);
                *sum = f64::from(*c).mul_add(factors[2], *sum);
                *sum = f64::from(*d).mul_add(factors[3], *sum);
            }
            return;
        }
        for (row, factor) in rows.chunks_exact(width).zip(factors) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum = f64::from(*value).mul_add(factor, *sum);
            }
        }
    }
}
