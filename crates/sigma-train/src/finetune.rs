//! The training loop: epochs over shuffled blocks, one optimizer step per batch, a loss that is watched at every step.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::DType;
use serde::{Deserialize, Serialize};
use sigma_data::blocks::Block;
use sigma_data::seeds::{Seeds, Stage};
use sigma_model::reference::Dropout;
use sigma_model::{Device, LanguageModel};

use crate::schedule::learning_rate;
use crate::state::{Snapshot, TrainingState};
use crate::trainee::{Outcome, Trainee};
use crate::{TrainError, TrainingConfig};

/// A GPU is given this many steps, or the steps of this many tokens, before the host waits for what came of them: it is
/// never idle for long, and a user who stops the run does not wait for long.
pub const STEPS_TOGETHER: usize = 16;
const TOKENS_TOGETHER: usize = 1 << 14;

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
    /// The run as it is after this step. Missing on a GPU that has already made the next step; what came of that
    /// follows without delay.
    pub settled: Option<Settled<'a>>,
}

/// A training run between two steps.
pub struct Settled<'a> {
    curve: &'a [StepRecord],
    trainee: &'a mut Trainee,
}

impl Settled<'_> {
    /// Writes the run, to go on from here later ([`TrainingState::read`]).
    ///
    /// # Errors
    /// [`TrainError::State`]
    pub fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        let (arithmetic, scale, updates) = (self.trainee.arithmetic(), self.trainee.scale(), self.trainee.updates());
        Snapshot { arithmetic, curve: self.curve, scale, updates, arrays: self.trainee.arrays()? }.write(path)
    }
}

/// A finished training run.
#[derive(Debug)]
pub struct Trained {
    pub model: LanguageModel,
    pub curve: Vec<StepRecord>,
    /// Tokens predicted over all steps.
    pub tokens: usize,
    pub compute: DType,
}

/// Optimizer steps for `blocks` blocks; the last batch of an epoch may be smaller.
pub fn total_steps(config: &TrainingConfig, blocks: usize) -> usize {
    config.epochs * blocks.div_ceil(config.batch_size.max(1))
}

/// What a model is trained on.
#[derive(Debug, Clone, Copy)]
pub struct TrainingSet<'a> {
    /// Of equal lengths.
    pub blocks: &'a [Block],
    /// What texts begin with, if the tokenizer puts a token there. Without one the first token of a block is not
    /// predicted: a block of 64 tokens has 63 targets.
    pub bos: Option<u32>,
}

/// Trains a copy of `model` on a set of blocks. After each step `observe` may save the run, and may break it off, which is [`TrainError::Interrupted`]. On any error the trained copy is dropped: there is
/// no half-trained result. `begun` is a run with the same arguments that was saved: it goes on there, and ends with the
/// same bits as one that never stopped.
pub fn finetune(
    model: &LanguageModel,
    set: TrainingSet<'_>,
    config: &TrainingConfig,
    streams: Streams<'_>,
    begun: Option<TrainingState>,
    mut observe: impl FnMut(&mut Progress<'_>) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    config.validate()?;
    let TrainingSet { blocks, bos } = set;
    let targets = set.targets()?;
    let compute = config.precision.dtype(&model.device());
    let rates = model.dropout(config.dropout);
    let mut trainee = Trainee::new(model, compute, rates)?;
    let total = total_steps(config, blocks.len());
    let mut curve: Vec<StepRecord> = Vec::with_capacity(total);
    if let Some(state) = begun {
        curve.extend_from_slice(&state.curve);
        trainee.restore(state)?;
    }
    let done = curve.len();
    let steps_per_epoch = blocks.len().div_ceil(config.batch_size);
    let together = match model.device() {
        Device::Cpu => 1,
        Device::Gpu(_) => (TOKENS_TOGETHER / (config.batch_size * targets)).clamp(1, STEPS_TOGETHER),
    };
    let mut given: Vec<Given> = Vec::new();

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
            let rows = || batch.iter().map(|i| blocks[*i].tokens.as_slice());
            // BOS, if there is one, and all tokens but the last predict the `targets` last tokens
            let labels: Vec<u32> = rows().flat_map(|row| &row[row.len() - targets..]).copied().collect();
            let inputs: Vec<u32> =
                rows().flat_map(|row| bos.into_iter().chain(row[..row.len() - 1].iter().copied())).collect();
            let mut stream = streams.seeds.stream(Stage::Dropout, streams.generation, &format!("step-{step}"));
            let dropout = (!rates.is_none()).then_some(Dropout { rates, stream: &mut stream });
            trainee.step(&inputs, &labels, batch.len(), dropout, &config.settings(rate))?;
            given.push(Given { step, epoch, learning_rate: rate, tokens: labels.len() });
            if given.len() < together && step < total {
                continue;
            }
            let (outcomes, last) = (trainee.outcomes()?, step);
            for (given, outcome) in given.drain(..).zip(outcomes) {
                let Given { step, tokens, .. } = given;
                let record = &given.record(outcome, compute, total)?;
                curve.push(record.clone());
                let settled = (step == last).then_some(Settled { curve: &curve, trainee: &mut trainee });
                let stop = observe(&mut Progress { record, total_steps: total, tokens, settled }).is_break();
                if stop && step < total {
                    return Err(TrainError::Interrupted { step, total });
                }
            }
        }
    }
    let tokens = config.epochs * blocks.len() * targets;
    Ok(Trained { model: trainee.into_model()?, curve, tokens, compute })
}

/// A step whose outcome has not been asked for.
struct Given {
    step: usize,
    epoch: usize,
    learning_rate: f64,
    tokens: usize,
}

impl Given {
    /// The row of the loss curve, or why training cannot go on.
    fn record(&self, outcome: Outcome, compute: DType, total: usize) -> Result<StepRecord, TrainError> {
        let Self { step, epoch, learning_rate, .. } = *self;
        let Outcome { loss, gradient_norm, scale } = outcome;
        if !loss.is_finite() {
            return Err(TrainError::Loss { step, total, loss, learning_rate });
        }
        let gradient_norm = gradient_norm.is_finite().then_some(gradient_norm);
        match gradient_norm {
            None if compute != DType::F16 => Err(TrainError::Gradient { step, total, loss }),
            None if scale.is_exhausted() => Err(TrainError::LossScale { step, total, scale: scale.value() }),
            _ => Ok(StepRecord { step, epoch, loss, learning_rate, gradient_norm }),
        }
    }
}

impl TrainingSet<'_> {
    /// Tokens of each block that are predicted.
    fn targets(&self) -> Result<usize, TrainError> {
        let Some(first) = self.blocks.first() else { return Err(TrainError::NoBlocks) };
        let expected = first.tokens.len();
        if let Some(block) = self.blocks.iter().find(|block| block.tokens.len() != expected || expected == 0) {
            return Err(TrainError::BlockLength { id: block.id.clone(), expected, got: block.tokens.len() });
        }
        match expected - usize::from(self.bos.is_none()) {
            0 => Err(TrainError::NoTargets),
            targets => Ok(targets),
        }
    }
}
