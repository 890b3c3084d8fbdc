//! A decoder as sentence encoder: the last hidden states of a text's tokens, each of which has seen those before it.
//! OPT runs on its fast engines, every other family on the reference. How texts become ids is not known here.

use std::path::Path;

use candle_core::DType;
use sigma_kernels::linear::Threads;

use super::groups::in_groups;
use super::pooling::Pooling;
use crate::checkpoint::Checkpoint;
use crate::families::ConfigFile;
use crate::opt::host_values;
use crate::reference::Reference;
use crate::{Device, ModelError, Opt};

// an encoder is loaded once
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum DecoderStates {
    Opt(Opt),
    Family(Reference),
}

impl DecoderStates {
    /// A decoder's weights; a head, which states do not need, may be missing.
    pub(super) fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        if ConfigFile::load(folder)?.model_type().as_deref() == Some("opt") {
            return Ok(Self::Opt(Opt::load_body(folder, device)?));
        }
        let checkpoint = Checkpoint::load_body(folder)?;
        Ok(Self::Family(Reference::new(checkpoint.spec, checkpoint.parameters, DType::F32)?))
    }

    /// Of a state.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Opt(model) => model.config().embedding_width(),
            Self::Family(model) => model.spec().embedding_width,
        }
    }

    pub(super) fn max_positions(&self) -> usize {
        match self {
            Self::Opt(model) => model.config().max_position_embeddings,
            Self::Family(model) => model.spec().max_positions,
        }
    }

    /// Pooled states of each row; the first `skipped` tokens of each do not count.
    pub(super) fn pooled(&self, rows: &[&[u32]], pooling: &Pooling, skipped: usize) -> Result<Vec<f32>, ModelError> {
        match self {
            Self::Opt(model) if !model.device().is_cpu() => {
                Ok(pooling.rows(rows, &model.hidden_states(rows)?, skipped))
            }
            Self::Opt(model) => in_groups(rows, |rows, _: &mut ()| {
                Ok(pooling.rows(rows, &model.hidden_states_on(rows, Threads::One)?, skipped))
            }),
            // each row alone, so that its bits do not depend on the others
            Self::Family(model) => in_groups(rows, |rows, _: &mut ()| {
                let states = |row: &[u32]| match row {
                    [] => Ok(Vec::new()),
                    row => host_values(&model.hidden_states(&[row])?),
                };
                let mut pooled = Vec::new();
                for row in rows {
                    pooled.extend(pooling.row(&states(row)?, skipped));
                }
                Ok(pooled)
            }),
        }
    }
}
