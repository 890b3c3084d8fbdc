//! A training run in the middle, as one file: parameters, AdamW's moments, loss scale and loss curve, every number to
//! the last bit. What is drawn at a step depends on the step alone, so there is no generator whose position had to be
//! kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use sigma_kernels::loss_scale::LossScale;

use crate::TrainError;
use crate::finetune::StepRecord;
use crate::trainee::{Arithmetic, NamedArrays};

/// Floats per tensor of the file: while one is written, only its bytes are in memory a second time.
const CHUNK: usize = 1 << 22;
const CURVE: &str = "curve";
const SCALARS: &str = "scalars";
/// Key of the file's metadata.
const ARITHMETIC: &str = "arithmetic";
/// Columns of the curve: epoch, loss, learning rate, gradient norm (NaN for a skipped step).
const COLUMNS: usize = 4;

/// What a run needs to go on after the last step of `curve`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingState {
    /// What the steps were computed with.
    pub(crate) arithmetic: Arithmetic,
    pub(crate) curve: Vec<StepRecord>,
    /// The loss scale, and the good steps since it moved.
    pub(crate) scale: f64,
    pub(crate) good_steps: usize,
    /// Steps that changed the parameters.
    pub(crate) updates: usize,
    /// Name and values of each array of the trainee.
    pub(crate) arrays: Vec<(String, Vec<f32>)>,
}

/// A run as it is written: borrowed, because a copy would double the memory.
pub(crate) struct Snapshot<'a> {
    pub(crate) arithmetic: Arithmetic,
    pub(crate) curve: &'a [StepRecord],
    pub(crate) scale: LossScale,
    pub(crate) updates: usize,
    pub(crate) arrays: NamedArrays<'a>,
}

enum Values<'a> {
    F32(&'a [f32]),
    F64(Vec<f64>),
}

struct Array<'a> {
    shape: [usize; 1],
    values: Values<'a>,
}

impl View for Array<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::F64(_) => Dtype::F64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match &self.values {
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::F64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        match &self.values {
            Values::F32(values) => 4 * values.len(),
            Values::F64(values) => 8 * values.len(),
        }
    }
}

impl Snapshot<'_> {
    /// Writes a file that [`TrainingState::read`] takes back.
    pub(crate) fn write(&self, path: &Path) -> Result<(), TrainError> {
        let norm = |step: &StepRecord| step.gradient_norm.unwrap_or(f64::NAN);
        let curve: Vec<f64> = self
            .curve
            .iter()
            .flat_map(|step| [step.epoch as f64, f64::from(step.loss), step.learning_rate, norm(step)])
            .collect();
        let scalars = vec![self.updates as f64, self.scale.value(), self.scale.good_steps() as f64];
        let doubles = |values: Vec<f64>| Array { shape: [values.len()], values: Values::F64(values) };
        let mut tensors = vec![(CURVE.to_string(), doubles(curve)), (SCALARS.to_string(), doubles(scalars))];
        for (name, values) in &self.arrays {
            for (number, part) in values.chunks(CHUNK).enumerate() {
                tensors.push((format!("{name}#{number:06}"), Array { shape: [part.len()], values: Values::F32(part) }));
            }
        }
        let metadata = HashMap::from([(ARITHMETIC.to_string(), self.arithmetic.to_string())]);
        safetensors::serialize_to_file(tensors, Some(metadata), path)
            .map_err(|error| TrainError::State { path: path.to_path_buf(), reason: error.to_string() })
    }
}

impl TrainingState {
    /// Reads what a run has saved ([`crate::Settled::save`]).
    ///
    /// # Errors
    /// [`TrainError::State`] if the file cannot be read or is no such file.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let broken = |reason: String| TrainError::State { path: path.to_path_buf(), reason };
        let bytes = fs::read(path).map_err(|error| broken(error.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| broken(error.to_string()))?;
        let arithmetic = header.metadata().as_ref().and_then(|metadata| metadata.get(ARITHMETIC)?.parse().ok());
        let arithmetic = arithmetic.ok_or_else(|| broken("it does not say what it was computed with".to_string()))?;
        let doubles = |name: &str| -> Result<Vec<f64>, TrainError> {
            let tensor = file.tensor(name).map_err(|error| broken(error.to_string()))?;
            if tensor.dtype() != Dtype::F64 {
                return Err(broken(format!("`{name}` is not f64")));
            }
            Ok(tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
        };
        let curve = doubles(CURVE)?;
        let curve =
            curve.as_chunks::<COLUMNS>().0.iter().zip(1..).map(|(&[epoch, loss, learning_rate, norm], step)| {
                let gradient_norm = (!norm.is_nan()).then_some(norm);
                StepRecord { step, epoch: epoch as usize, loss: loss as f32, learning_rate, gradient_norm }
            });
        let [updates, scale, good_steps] = doubles(SCALARS)?[..] else {
            return Err(broken(format!("`{SCALARS}` does not hold three numbers")));
        };
        // names sort by array, then by chunk
        let mut names: Vec<&str> = file.names().into_iter().filter(|name| name.contains('#')).collect();
        names.sort_unstable();
        let mut arrays: Vec<(String, Vec<f32>)> = Vec::new();
        for full in names {
            let tensor = file.tensor(full).map_err(|error| broken(error.to_string()))?;
            if tensor.dtype() != Dtype::F32 {
                return Err(broken(format!("`{full}` is not f32")));
            }
            let name = full.rsplit_once('#').map_or(full, |(name, _)| name);
            if arrays.last().is_none_or(|(last, _)| last != name) {
                arrays.push((name.to_string(), Vec::new()));
            }
            if let Some((_, values)) = arrays.last_mut() {
                values.extend(tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
        }
        Ok(Self {
            arithmetic,
            curve: curve.collect(),
            scale,
            good_steps: good_steps as usize,
            updates: updates as usize,
            arrays,
        })
    }

    /// Steps done so far.
    pub fn steps(&self) -> usize {
        self.curve.len()
    }
}
