//! Where simulated rows come from: four kinds of population, and checkpoints of prompts with dependent answers. What is
//! measured on them is not known here.

use sigma_metrics::random::Normal;

/// Share of an answer's variance that all answers of its prompt have in common.
const SHARED: f64 = 0.5;
/// Share of rows that repeat one of a few texts.
const REPEATED: f64 = 0.15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Normal entries; norms are below 1 but not equal.
    Gaussian,
    /// Directions without preference, norm 1.
    Isotropic,
    /// Norm 1, standard deviations that decay with the coordinate.
    Anisotropic,
    /// The same, and 15 % of the rows are copies of d / 8 texts, some much more often than others.
    Repeated,
}

/// A distribution of rows of width d.
pub(crate) struct Population {
    kind: Kind,
    /// Standard deviation of each coordinate before a row is normalised.
    deviations: Vec<f64>,
    /// The repeated texts, row-major.
    repeated: Vec<f32>,
}

impl Population {
    /// `decay` is the power of the coordinate's number by which deviations fall, where they do.
    pub(crate) fn new(kind: Kind, d: usize, decay: f64) -> Self {
        let flat = matches!(kind, Kind::Gaussian | Kind::Isotropic);
        let deviations = (1..=d).map(|j| if flat { 1.0 } else { (j as f64).powf(-decay) }).collect();
        let mut population = Self { kind, deviations, repeated: Vec::new() };
        if kind == Kind::Repeated {
            let mut normal = Normal::seeded(1);
            let mut repeated = Vec::new();
            for _ in 0..d.div_ceil(8) {
                population.push(&mut repeated, || normal.draw());
            }
            population.repeated = repeated;
        }
        population
    }

    pub(crate) fn d(&self) -> usize {
        self.deviations.len()
    }

    /// Independent rows, n of them, row-major.
    pub(crate) fn rows(&self, normal: &mut Normal, n: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(n * self.d());
        for _ in 0..n {
            self.push_or_repeat(&mut rows, normal, None);
        }
        rows
    }

    /// `answers` rows for each prompt in turn; answers of one prompt have a part in common that `prompts` (one row of
    /// normal numbers each) gives, so that two checkpoints can ask the same prompts.
    pub(crate) fn answers(&self, normal: &mut Normal, prompts: &[f64], answers: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(prompts.len() * answers);
        for prompt in prompts.chunks(self.d()) {
            for _ in 0..answers {
                self.push_or_repeat(&mut rows, normal, Some(prompt));
            }
        }
        rows
    }

    fn push_or_repeat(&self, rows: &mut Vec<f32>, normal: &mut Normal, prompt: Option<&[f64]>) {
        if self.kind == Kind::Repeated && normal.uniform() < REPEATED {
            let texts = self.repeated.len() / self.d();
            // a product of two uniform numbers: early texts are repeated most
            let text = ((normal.uniform() * normal.uniform() * texts as f64) as usize).min(texts - 1);
            rows.extend_from_slice(&self.repeated[text * self.d()..][..self.d()]);
            return;
        }
        let mut shared = prompt.map(|prompt| prompt.iter());
        self.push(rows, || match shared.as_mut().and_then(Iterator::next) {
            Some(common) => SHARED.sqrt() * common + (1.0 - SHARED).sqrt() * normal.draw(),
            None => normal.draw(),
        });
    }

    /// One row of the numbers that `entry` gives.
    fn push(&self, rows: &mut Vec<f32>, mut entry: impl FnMut() -> f64) {
        let row: Vec<f64> = self.deviations.iter().map(|deviation| deviation * entry()).collect();
        let scale = match self.kind {
            // a norm of about 0.5, so that no row exceeds the energy cap
            Kind::Gaussian => 0.5 / (self.d() as f64).sqrt(),
            _ => 1.0 / row.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        rows.extend(row.iter().map(|x| (scale * x) as f32));
    }
}
