//! Whether a GPU computes what the CPU computes: logits, loss, every gradient, steps of training, greedy and sampled
//! texts of a small model, in every precision. What it knows of kernels is that their results must be near.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::{Result, anyhow};
use candle_core::DType;
use sigma_data::blocks::Block;
use sigma_data::seeds::{Seeds, Stage};
use sigma_generate::{Completion, Nucleus, Options, Request, generate};
use sigma_kernels::linear::Factors;
use sigma_model::opt::Dropout;
use sigma_model::{Device, LanguageModel, Opt};
use sigma_train::{Precision, Streams, TrainingConfig, TrainingSet, finetune};

/// One comparison: what was compared, in which precision, how far apart, and how far it may be.
pub struct Finding {
    pub what: &'static str,
    pub precision: &'static str,
    pub difference: f64,
    pub allowed: f64,
}

impl Finding {
    pub fn holds(&self) -> bool {
        self.difference <= self.allowed
    }
}

/// A precision, its name, and how far results may be from those of f32 on the CPU: logits (of the largest), gradients
/// (L2, of the gradient's norm), losses (relative), and the share of texts that may differ. Products in half precision
/// round to 11 and 8 bits.
struct Case {
    compute: DType,
    precision: Precision,
    name: &'static str,
    logits: f64,
    gradients: f64,
    losses: f64,
    texts: f64,
}

const CASES: [Case; 3] = [
    Case {
        compute: DType::F32,
        precision: Precision::Fp32,
        name: "f32",
        logits: 1e-4,
        gradients: 1e-3,
        losses: 1e-4,
        texts: 0.1,
    },
    Case {
        compute: DType::F16,
        precision: Precision::Fp16,
        name: "f16",
        logits: 2e-2,
        gradients: 5e-2,
        losses: 5e-3,
        texts: 1.0,
    },
    Case {
        compute: DType::BF16,
        precision: Precision::Bf16,
        name: "bf16",
        logits: 1e-1,
        gradients: 0.3,
        losses: 3e-2,
        texts: 1.0,
    },
];

/// The work that is compared.
#[derive(Clone, Copy)]
pub struct Amount {
    pub rows: usize,
    pub time: usize,
    pub steps: usize,
    pub texts: usize,
    pub new_tokens: usize,
}

/// As much as a GPU does in a few seconds.
pub const FULL: Amount = Amount { rows: 16, time: 64, steps: 10, texts: 64, new_tokens: 48 };

/// A glance at every part.
pub const QUICK: Amount = Amount { rows: 4, time: 12, steps: 4, texts: 6, new_tokens: 8 };

/// Compares `model` on `device`, a GPU, with the same on the CPU.
pub fn compare(model: &Opt, device: &Device, amount: Amount) -> Result<Vec<Finding>> {
    let cpu = model.to_device(&Device::Cpu)?;
    let gpu = model.to_device(device)?;
    let seeds = Seeds::new(42, "selftest");
    let vocabulary = model.config().vocab_size;
    let mut stream = seeds.stream(Stage::Init, None, "ids");
    // ids from 4 on are no special tokens
    let mut ids = |n: usize| -> Vec<u32> { (0..n).map(|_| (4 + stream.below(vocabulary - 4)) as u32).collect() };
    let (inputs, labels) = (ids(amount.rows * amount.time), ids(amount.rows * amount.time));
    let blocks: Vec<Block> =
        (0..4 * amount.rows).map(|i| Block { id: format!("b{i}"), tokens: ids(amount.time) }).collect();
    let prompts: Vec<Vec<u32>> = (0..amount.texts).map(|i| ids(1 + i % 24)).collect();

    let rows: Vec<&[u32]> = inputs.chunks(amount.time).take(4).collect();
    let logits = cpu.logits(&rows)?;
    let mut host = cpu.host_training(Factors::F32)?;
    let loss = with_dropout(&seeds, |dropout| host.loss_and_gradients(&inputs, &labels, amount.rows, dropout))?;
    let gradients: BTreeMap<String, Vec<f32>> =
        host.named_gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec())).collect();
    let curve = losses(&cpu.clone().into(), &blocks, Precision::Fp32, &seeds, amount)?;
    let greedy = texts(&cpu.clone().into(), &prompts, 0.0, &seeds, amount)?;
    let sampled = texts(&cpu.clone().into(), &prompts, 1.0, &seeds, amount)?;

    let mut findings = Vec::new();
    for case in &CASES {
        let mut found = |what, difference, allowed| {
            findings.push(Finding { what, precision: case.name, difference, allowed });
        };
        let writer = gpu.for_inference(case.compute)?;
        found("logits, of the largest", farthest(&writer.logits(&rows)?, &logits), case.logits);

        let no_gpu = || anyhow!("the device is no GPU");
        let mut training = gpu.gpu_training(case.compute)?.ok_or_else(no_gpu)?;
        // once kernel by kernel, once as it is recorded, once replayed
        let mut runs = Vec::new();
        for _ in 0..3 {
            let found =
                with_dropout(&seeds, |dropout| training.loss_and_gradients(&inputs, &labels, amount.rows, dropout))?;
            runs.push((found.loss, training.named_gradients()?));
        }
        let repeated = runs.iter().all(|run| *run == runs[0]);
        found("repetitions that differ in a bit", f64::from(u8::from(!repeated)), 0.0);
        let (gpu_loss, gpu_gradients) = &runs[0];
        found("loss, relative", f64::from(gpu_loss / loss - 1.0).abs(), case.losses);
        let (mut apart, mut norm) = (0f64, 0f64);
        for (name, gradient) in gpu_gradients {
            let reference = gradients.get(name).ok_or_else(|| anyhow!("no gradient of {name} on the CPU"))?;
            for (a, b) in gradient.iter().zip(reference) {
                apart += f64::from(a - b).powi(2);
                norm += f64::from(*b).powi(2);
            }
        }
        found("gradients, L2, of their norm", (apart / norm).sqrt(), case.gradients);

        let trained = losses(&gpu.clone().into(), &blocks, case.precision, &seeds, amount)?;
        let worst = trained.iter().zip(&curve).map(|(a, b)| f64::from(a / b - 1.0).abs()).fold(0.0, f64::max);
        found("losses of training, relative", worst, case.losses * 3.0);

        let differ = |a: &[Completion], b: &[Completion]| {
            a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len().max(1) as f64
        };
        found(
            "greedy texts that differ",
            differ(&texts(&writer.clone().into(), &prompts, 0.0, &seeds, amount)?, &greedy),
            case.texts,
        );
        let ours = texts(&writer.clone().into(), &prompts, 1.0, &seeds, amount)?;
        found("sampled texts that differ", differ(&ours, &sampled), case.texts);
        let again = texts(&writer.clone().into(), &prompts, 1.0, &seeds, amount)?;
        found("sampled texts that differ when drawn again", differ(&again, &ours), 0.0);
    }
    Ok(findings)
}

fn with_dropout<R>(seeds: &Seeds, run: impl FnOnce(Option<Dropout<'_>>) -> R) -> R {
    let mut stream = seeds.stream(Stage::Dropout, None, "step-1");
    run(Some(Dropout { p: 0.1, stream: &mut stream }))
}

/// The largest difference over the largest reference value; NaN if anything is NaN.
fn farthest(values: &[f32], reference: &[f32]) -> f64 {
    let scale = reference.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    values.iter().zip(reference).fold(0.0, |m: f64, (a, b)| {
        let difference = f64::from((a - b).abs() / scale);
        if difference.is_nan() || m.is_nan() { f64::NAN } else { m.max(difference) }
    })
}

fn losses(
    model: &LanguageModel,
    blocks: &[Block],
    precision: Precision,
    seeds: &Seeds,
    amount: Amount,
) -> Result<Vec<f32>> {
    let epochs = amount.steps.div_ceil(4).max(1);
    let config =
        TrainingConfig { epochs, batch_size: amount.rows, learning_rate: 1e-4, precision, ..TrainingConfig::default() };
    let streams = Streams { seeds, generation: None };
    let set = TrainingSet { blocks, bos: None };
    let trained = finetune(model, set, &config, streams, None, |_| ControlFlow::Continue(()))?;
    Ok(trained.curve.iter().map(|step| step.loss).collect())
}

fn texts(
    model: &LanguageModel,
    prompts: &[Vec<u32>],
    temperature: f64,
    seeds: &Seeds,
    amount: Amount,
) -> Result<Vec<Completion>> {
    let options = Options {
        nucleus: Nucleus::new("selftest", temperature, 0.95)?,
        max_new_tokens: amount.new_tokens,
        stop_at_eos: true,
        vocab_size: model.vocab_size(),
        batch_size: Some(amount.rows),
        whole: None,
    };
    let requests = prompts.iter().enumerate().map(|(i, prompt)| {
        let id = format!("p{i}");
        let stream = seeds.stream(Stage::Evaluation, None, &id);
        Request { id, prompt: prompt.clone(), stream }
    });
    Ok(generate(model, requests.collect(), &options, |_| ControlFlow::Continue(()))?)
}
