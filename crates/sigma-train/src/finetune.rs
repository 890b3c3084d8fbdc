//! The training loop: epochs over shuffled blocks, one optimizer step per batch, a loss that is watched at every step.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::DType;
use serde::{Deserialize, Serialize};
use sigma_data::blocks::Block;
use sigma_data::seeds::{Seeds, Stage};
use sigma_model::Opt;
use sigma_model::opt::Dropout;

use crate::precision::LossScale;
use crate::schedule::learning_rate;
use crate::state::{Snapshot, TrainingState};
use crate::trainee::Trainee;
use crate::{TrainError, TrainingConfig};

/// Where a training run's random draws come from.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    pub seeds: &'a Seeds,
    pub generation: Option<usize>,
}

/// One optimizer step, a row of the loss curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 1.
    pub step: usize,
    /// From 1.
    pub epoch: usize,
    /// Mean cross-entropy of the batch in nats per token, before the step.
    pub loss: f32,
    pub learning_rate: f64,
    /// Before clipping; absent where FP16 gradients overflowed and the step was skipped.
    pub gradient_norm: Option<f64>,
}

/// What a caller sees after each step.
pub struct Progress<'a> {
    pub record: &'a StepRecord,
    pub total_steps: usize,
    /// Tokens that this step predicted.
    pub tokens: usize,
    curve: &'a [StepRecord],
    scale: &'a LossScale,
    trainee: &'a mut Trainee,
}

impl Progress<'_> {
    /// Writes the run as it is after this step, to go on from there later ([`TrainingState::read`]).
    ///
    /// # Errors
    /// [`TrainError::State`]
    pub fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        let updates = self.trainee.updates();
        Snapshot { curve: self.curve, scale: self.scale, updates, arrays: self.trainee.arrays()? }.write(path)
    }
}

/// A finished training run.
#[derive(Debug)]
pub struct Trained {
    pub model: Opt,
    pub curve: Vec<StepRecord>,
    /// Tokens predicted over all steps.
    pub tokens: usize,
    pub compute: DType,
}

/// Optimizer steps for `blocks` blocks; the last batch of an epoch may be smaller.
pub fn total_steps(config: &TrainingConfig, blocks: usize) -> usize {
    config.epochs * blocks.div_ceil(config.batch_size.max(1))
}

/// Trains a copy of `model` on `blocks` (equal lengths; BOS is put before each). After each step `observe` may save the run, and may
/// break it off, which is [`TrainError::Interrupted`]. On any error the trained copy is dropped: there is no half-trained result.
/// `begun` is a run with the same arguments that was saved: it goes on there, and ends with the same bits as one that never stopped.
pub fn finetune(
    model: &Opt,
    blocks: &[Block],
    config: &TrainingConfig,
    streams: Streams<'_>,
    begun: Option<TrainingState>,
    mut observe: impl FnMut(&mut Progress<'_>) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    config.validate()?;
    let length = check_lengths(blocks)?;
    let compute = config.precision.dtype(&model.device());
    let mut trainee = Trainee::new(model, compute)?;
    let mut scale = LossScale::new(compute);
    let p = config.dropout.unwrap_or(model.config().dropout);
    let bos = model.config().bos_token_id;
    let total = total_steps(config, blocks.len());
    let mut curve: Vec<StepRecord> = Vec::with_capacity(total);
    if let Some(state) = begun {
        trainee.restore(state.updates, state.arrays)?;
        scale = state.scale.of(compute);
        curve.extend(state.curve);
    }
    let done = curve.len();
    let steps_per_epoch = blocks.len().div_ceil(config.batch_size);

    for epoch in 1..=config.epochs {
        let order = streams
            .seeds
            .stream(Stage::Shuffle, streams.generation, &format!("epoch-{epoch}"))
            .permutation(blocks.len());
        for (step, batch) in ((epoch - 1) * steps_per_epoch + 1..).zip(order.chunks(config.batch_size)) {
            if step <= done {
                continue;
            }
            let rate = learning_rate(config, step - 1, total);
            // BOS and all tokens but the last predict all tokens
            let labels: Vec<u32> = batch.iter().flat_map(|i| blocks[*i].tokens.iter().copied()).collect();
            let inputs: Vec<u32> = labels
                .chunks(length)
                .flat_map(|row| std::iter::once(bos).chain(row[..length - 1].iter().copied()))
                .collect();
            let mut stream = streams.seeds.stream(Stage::Dropout, streams.generation, &format!("step-{step}"));
            let dropout = (p > 0.0).then_some(Dropout { p, stream: &mut stream });
            let value = trainee.loss_and_gradients(&inputs, &labels, batch.len(), dropout, scale.value())?;
            if !value.is_finite() {
                return Err(TrainError::Loss { step, total, loss: value, learning_rate: rate });
            }
            let norm = trainee.gradient_norm(scale.value())?;
            let mut record = StepRecord { step, epoch, loss: value, learning_rate: rate, gradient_norm: None };
            if norm.is_finite() {
                trainee.step(config, rate, norm, scale.value())?;
                record.gradient_norm = Some(norm);
                scale.good_step();
            } else if compute != DType::F16 {
                return Err(TrainError::Gradient { step, total, loss: value });
            } else if !scale.back_off() {
                return Err(TrainError::LossScale { step, total, scale: scale.value() });
            }
            curve.push(record.clone());
            let (record, curve, trainee) = (&record, &curve[..], &mut trainee);
            let tokens = labels.len();
            let mut progress = Progress { record, total_steps: total, tokens, curve, scale: &scale, trainee };
            let stop = observe(&mut progress).is_break();
            if stop && step < total {
                return Err(TrainError::Interrupted { step, total });
            }
        }
    }
    let tokens = config.epochs * blocks.len() * length;
    Ok(Trained { model: trainee.into_model()?, curve, tokens, compute })
}

/// The common length of all blocks.
fn check_lengths(blocks: &[Block]) -> Result<usize, TrainError> {
    let Some(first) = blocks.first() else { return Err(TrainError::NoBlocks) };
    let expected = first.tokens.len();
    match blocks.iter().find(|block| block.tokens.len() != expected || expected == 0) {
        Some(block) => Err(TrainError::BlockLength { id: block.id.clone(), expected, got: block.tokens.len() }),
        None => Ok(expected),
    }
}
