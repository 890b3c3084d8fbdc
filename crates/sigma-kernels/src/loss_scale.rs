//! The factor on the loss that keeps gradients in FP16 above underflow, by the rule of torch.amp.GradScaler: halved
//! when gradients overflow, and that step is skipped; doubled after 2,000 good steps. On a GPU `cuda/plan_update.cu`
//! keeps it.

/// The factor on the loss before the backward pass, and when it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    scale: f64,
    dynamic: bool,
    good_steps: usize,
}

const START: f64 = 65_536.0;
/// Good steps after which a scale that moves is doubled.
pub const GROWTH_INTERVAL: usize = 2000;
/// Below this the gradients overflow for another reason than the scale.
const SMALLEST: f64 = 1.0 / 1024.0;

impl LossScale {
    /// At the start of training: one that moves, or 1 for ever.
    pub fn new(dynamic: bool) -> Self {
        Self { scale: if dynamic { START } else { 1.0 }, dynamic, good_steps: 0 }
    }

    /// In the middle of training, with what [`Self::value`] and [`Self::good_steps`] gave.
    pub fn from_parts(scale: f64, good_steps: usize, dynamic: bool) -> Self {
        Self { scale, dynamic, good_steps }
    }

    pub fn value(&self) -> f64 {
        self.scale
    }

    /// Steps with finite gradients since it moved last.
    pub fn good_steps(&self) -> usize {
        self.good_steps
    }

    pub fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    /// After a step with finite gradients.
    pub fn good_step(&mut self) {
        self.good_steps += 1;
        if self.dynamic && self.good_steps == GROWTH_INTERVAL {
            self.scale *= 2.0;
            self.good_steps = 0;
        }
    }

    /// After a step whose gradients overflowed.
    pub fn back_off(&mut self) {
        self.good_steps = 0;
        if self.dynamic {
            self.scale /= 2.0;
        }
    }

    /// Whether it cannot be the reason of an overflow: it does not move, or is very small already.
    pub fn is_exhausted(&self) -> bool {
        !self.dynamic || self.scale < SMALLEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_on_overflow_and_doubles_after_2000_good_steps() {
        let mut scale = LossScale::new(true);
        scale.back_off();
        assert_eq!(scale.value(), 32_768.0);
        for _ in 0..1999 {
            scale.good_step();
        }
        assert_eq!(scale.value(), 32_768.0);
        scale.good_step();
        assert_eq!(scale.value(), 65_536.0);
    }

    #[test]
    fn the_scale_gives_up_at_a_thousandth_and_one_that_stays_at_once() {
        let mut scale = LossScale::new(true);
        let tries = std::iter::repeat_with(|| scale.back_off()).take(27).count();
        assert!(scale.is_exhausted() && scale.value() == 65_536.0 / 2f64.powi(tries as i32));
        assert!(!LossScale::from_parts(2.0 * scale.value(), 0, true).is_exhausted());
        let mut fixed = LossScale::new(false);
        fixed.back_off();
        assert_eq!(fixed.value(), 1.0);
        assert!(fixed.is_exhausted());
    }
}
