//! BERT and the encoders that differ from it in little: RoBERTa, XLM-R, CamemBERT, DistilBERT, MPNet. Ids in, rows out;
//! how texts become ids is not known here.
//!
//! Reading order: [`config`], [`parameters`], `host` (the forward pass on the CPU), `gpu` (the same on a GPU),
//! `relative` (MPNet's distances).

pub mod config;
mod gpu;
mod host;
pub mod parameters;
mod relative;

use std::path::Path;

use super::groups::in_groups;
use super::pooling::Pooling;
use crate::spec::Activation;
use crate::weights::Weights;
use crate::{Device, ModelError};
use config::BertConfig;
use gpu::GpuBert;
use parameters::BertParameters;

#[derive(Debug)]
pub(super) struct Bert {
    pub(super) config: BertConfig,
    engine: Engine,
}

/// The model, on its device.
#[derive(Debug)]
enum Engine {
    Host(BertParameters),
    Gpu(GpuBert),
}

impl Bert {
    /// What a GPU has no kernels for is computed on the CPU.
    pub(super) fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        let config = BertConfig::load(folder)?;
        let parameters = BertParameters::take(&config, Weights::load(folder)?)?;
        let has_kernels = config.relative_buckets.is_none() && config.hidden_act != Activation::GeluTanh;
        let engine = match device {
            Device::Gpu(gpu) if has_kernels => Engine::Gpu(GpuBert::upload(gpu, &parameters)?),
            Device::Gpu(_) => {
                tracing::info!(folder = %folder.display(), "the encoder is computed on the CPU: no kernels of a GPU");
                Engine::Host(parameters)
            }
            Device::Cpu => Engine::Host(parameters),
        };
        Ok(Self { config, engine })
    }

    /// Pooled states of each row; the first `skipped` tokens of each do not count.
    pub(super) fn pooled(&self, rows: &[&[u32]], pooling: &Pooling, skipped: usize) -> Result<Vec<f32>, ModelError> {
        let Self { config, engine } = self;
        for row in rows {
            if row.len() > config.capacity() {
                return Err(ModelError::TooLong { needed: row.len(), max: config.capacity() });
            }
            if let Some(id) = row.iter().find(|id| **id as usize >= config.vocab_size) {
                return Err(ModelError::TokenId { id: *id, vocabulary: config.vocab_size });
            }
        }
        match engine {
            Engine::Host(model) => in_groups(rows, |rows, scratch| {
                Ok(pooling.rows(rows, model.hidden_states(config, rows, scratch), skipped))
            }),
            Engine::Gpu(model) => Ok(model.pooled(config, rows, pooling, skipped)?),
        }
    }
}
