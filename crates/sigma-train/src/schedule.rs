//! Learning rate of each step: linear warm-up, then constant or linearly down to 0, as transformers' schedulers do.

use crate::config::{Schedule, TrainingConfig};

/// Learning rate of step `step` (from 0) of `total`.
pub fn learning_rate(config: &TrainingConfig, step: usize, total: usize) -> f64 {
    let warmup = config.warmup_steps;
    let factor = if step < warmup {
        step as f64 / warmup as f64
    } else {
        match config.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => total.saturating_sub(step) as f64 / total.saturating_sub(warmup).max(1) as f64,
        }
    };
    config.learning_rate * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup_steps: usize) -> Vec<f64> {
        let config = TrainingConfig { learning_rate: 8.0, schedule, warmup_steps, ..TrainingConfig::default() };
        (0..4).map(|step| learning_rate(&config, step, 4)).collect()
    }

    #[test]
    fn schedules_have_the_values_of_transformers() {
        assert_eq!(rates(Schedule::Constant, 0), [8.0, 8.0, 8.0, 8.0]);
        assert_eq!(rates(Schedule::Linear, 0), [8.0, 6.0, 4.0, 2.0]);
        assert_eq!(rates(Schedule::Constant, 2), [0.0, 4.0, 8.0, 8.0]);
        assert_eq!(rates(Schedule::Linear, 2), [0.0, 4.0, 8.0, 4.0]);
    }
}
