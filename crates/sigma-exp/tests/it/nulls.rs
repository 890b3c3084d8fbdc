//! False alarms with a language model in place of normal numbers: chains in which nothing contracts, evaluated as the
//! loop evaluates, must raise an alarm no more often than `docs/metrics.md` says. The model is pretrained here and has
//! d = 32. `SIGMA_EXP_NULL_CHAINS` says how many chains of each kind; `scripts/slow.sh` makes 200.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sigma_data::answers::response_key;
use sigma_data::prompts::read_prompts;
use sigma_data::seeds::{Seeds, Stage};
use sigma_data::{PromptsConfig, Tokenizer};
use sigma_generate::{Nucleus, Options, Request, generate};
use sigma_metrics::{
    AlarmRule, Embeddings, NoiseFloor, PERSISTENCE, Side, SigmaConfig, SurfaceConfig, binomial_upper_bound,
    false_alarm_rate, onset, serial_correlation, sigma_ub, surface, worst_false_alarm_rate,
};
use sigma_model::{Device, Encoder, LanguageModel};
use tempfile::tempdir;

use crate::{root, succeeds};

const DEFAULT_CHAINS: usize = 10;
const GENERATIONS: usize = 10;
const REPLICATES: usize = 8;
const LEVEL: f64 = 0.95;
/// Answers to each of 20 prompts: n_A / d is about 3.
const RESPONSES: u32 = 5;
const NEW_TOKENS: usize = 12;
/// Four signals in four kinds of chains: the bound of each is at the level at which all hold together in 95 % of cases.
const COMPARISONS: f64 = 16.0;
/// dU, dG, distinct-2, HHI, and where each goes when a model collapses.
const SIDES: [Side; 4] = [Side::Below, Side::Below, Side::Below, Side::Above];

struct Lab {
    folder: PathBuf,
    tokenizer: Tokenizer,
    encoder: Encoder,
    prompts: Vec<(String, Vec<u32>)>,
}

impl Lab {
    fn new(dir: &Path) -> Self {
        let folder = dir.join("model");
        let sets = [
            "model.hidden_size=32",
            "model.num_hidden_layers=2",
            "model.num_attention_heads=2",
            "model.ffn_dim=64",
            "tokenizer.vocab_size=600",
            "training.epochs=2",
        ];
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let out = folder.to_str().unwrap();
        succeeds(&[&["pretrain", "configs/pretrain_tiny.yaml", "--out", out][..], &sets].concat());
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let config: PromptsConfig = serde_json::from_value(serde_json::json!({ "max_per_bucket": 4 })).unwrap();
        let bank = read_prompts(&root().join("data/fin/prompts.jsonl"), &config).unwrap();
        let prompts =
            bank.into_iter().map(|prompt| (prompt.id, tokenizer.encode_with_bos(&prompt.text).unwrap())).collect();
        let encoder = Encoder::load(&folder, None, &Device::Cpu).unwrap();
        Self { folder, tokenizer, encoder, prompts }
    }

    fn model(&self) -> LanguageModel {
        LanguageModel::load(&self.folder, &Device::Cpu).unwrap()
    }

    /// The model with every weight w moved to w (1 + `size` z), z standard normal.
    fn jittered(&self, place: &Path, size: f64, seed: u64) -> LanguageModel {
        let seeds = Seeds::new(seed, "jitter");
        let path = self.folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let moved: Vec<(String, Vec<usize>, Vec<u8>)> = file
            .tensors()
            .into_iter()
            .map(|(name, tensor)| {
                let mut stream = seeds.stream(Stage::Init, None, &name);
                let values = tensor.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                let values = values.map(|w| (f64::from(w) * (1.0 + size * stream.normal())) as f32);
                (name, tensor.shape().to_vec(), values.flat_map(f32::to_le_bytes).collect())
            })
            .collect();
        let views = moved
            .iter()
            .map(|(name, shape, data)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
        fs::create_dir_all(place).unwrap();
        safetensors::serialize_to_file(views, None, &place.join("model.safetensors")).unwrap();
        fs::copy(self.folder.join("config.json"), place.join("config.json")).unwrap();
        LanguageModel::load(place, &Device::Cpu).unwrap()
    }

    /// U, G, distinct-2 and HHI of one evaluation with the loop's streams: those of every generation, or of a replicate
    /// of the base.
    fn evaluate(&self, model: &LanguageModel, seeds: &Seeds, replicate: Option<usize>) -> [f64; 4] {
        let asked = self.prompts.iter().flat_map(|prompt| (0..RESPONSES).map(move |response| (prompt, response)));
        let requests = asked.map(|((id, tokens), response)| Request {
            id: id.clone(),
            prompt: tokens.clone(),
            stream: seeds.stream(Stage::Evaluation, replicate, &response_key(id, response)),
        });
        let options = Options {
            nucleus: Nucleus::new("evaluation", 1.0, 0.95).unwrap(),
            max_new_tokens: NEW_TOKENS,
            stop_at_eos: true,
            vocab_size: self.tokenizer.vocab_size(),
            batch_size: None,
            whole: None,
        };
        let writer = model.for_inference(candle_core::DType::F32).unwrap();
        let written = generate(&writer, requests.collect(), &options, |_| ControlFlow::Continue(())).unwrap();
        let texts: Vec<String> = written.iter().map(|text| self.tokenizer.decode(&text.tokens)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).filter(|t| t.contains(char::is_alphanumeric)).collect();
        let rows = sigma_embed::embed(&self.encoder, &texts, 256, |_| ControlFlow::Continue(())).unwrap();
        let rows = Embeddings::new(texts.len(), self.encoder.dim(), rows).unwrap();
        let observed: Vec<usize> = (0..texts.len()).collect();
        let sigma = sigma_ub(&rows, &observed, None, &SigmaConfig::default()).unwrap();
        let proxies = surface(texts, &SurfaceConfig { self_bleu_texts: 0, ..SurfaceConfig::default() }).unwrap();
        [sigma.u_cov, sigma.g_kf, proxies.distinct_2.unwrap(), proxies.hhi.unwrap()]
    }
}

/// Whether each signal has an onset in `series` (generations 1 to T), by the band of the base's replicates and the rule
/// of reports.
fn alarms(base: [f64; 4], replicates: &[[f64; 4]], series: &[[f64; 4]]) -> [bool; 4] {
    [0, 1, 2, 3].map(|signal: usize| {
        let of = |points: &[[f64; 4]]| points.iter().map(|point| point[signal]).collect::<Vec<f64>>();
        let floor = NoiseFloor::of(&of(replicates), base[signal], LEVEL).unwrap();
        let chain: Vec<Option<f64>> = [&[base], series].concat().iter().map(|point| Some(point[signal])).collect();
        onset(&chain, &floor, SIDES[signal], PERSISTENCE).is_some()
    })
}

#[test]
fn chains_in_which_nothing_contracts_raise_no_more_alarms_than_documented() {
    let chains: usize = std::env::var("SIGMA_EXP_NULL_CHAINS").map_or(DEFAULT_CHAINS, |text| text.parse().unwrap());
    let dir = tempdir().unwrap();
    let lab = Lab::new(dir.path());
    let model = lab.model();
    let rule = AlarmRule { replicates: REPLICATES, level: LEVEL, generations: GENERATIONS, persistence: PERSISTENCE };
    let worst = worst_false_alarm_rate(&rule).unwrap().finished;
    for (kind, (size, anew)) in [(1e-3, false), (1e-3, true), (1e-2, false), (1e-2, true)].into_iter().enumerate() {
        let (mut count, mut measured) = ([0; 4], vec![Vec::new(); 4]);
        for chain in 0..chains as u64 {
            let seeds = Seeds::new(10_000 * kind as u64 + chain, "null");
            let base = lab.evaluate(&model, &seeds, None);
            let replicates: Vec<[f64; 4]> =
                (1..=REPLICATES).map(|replicate| lab.evaluate(&model, &seeds, Some(replicate))).collect();
            // the same weights in every generation: the null of a model that no longer moves
            let frozen = alarms(base, &replicates, &[base; GENERATIONS]);
            assert_eq!(frozen, [false; 4], "chain {chain}: a frozen model raised an alarm");
            let jittered = |t: usize| {
                let moved = lab.jittered(&dir.path().join("jittered"), size, chain * 100 + t as u64);
                lab.evaluate(&moved, &seeds, None)
            };
            let series: Vec<[f64; 4]> = match anew {
                true => (1..=GENERATIONS).map(jittered).collect(),
                false => vec![jittered(0); GENERATIONS],
            };
            for (signal, alarm) in alarms(base, &replicates, &series).into_iter().enumerate() {
                count[signal] += usize::from(alarm);
                measured[signal].push(series.iter().map(|point| point[signal]).collect::<Vec<f64>>());
            }
        }
        for (signal, name) in ["dU", "dG", "distinct-2", "HHI"].into_iter().enumerate() {
            let rho = serial_correlation(&measured[signal]).unwrap().max(0.0);
            let table = false_alarm_rate(&rule, rho).unwrap().finished;
            // the least rate at which chance gives so many alarms
            let confidence = 1.0 - 0.05 / COMPARISONS;
            let lower = 1.0 - binomial_upper_bound(chains - count[signal], chains, confidence).unwrap();
            println!(
                "jitter {size} {}: {name} {} alarms in {chains} chains, correlation {rho:.2}, table {:.2} %",
                if anew { "anew for each t" } else { "the same for all t" },
                count[signal],
                100.0 * table
            );
            assert!(table <= worst, "what reports print holds whatever the correlation");
            assert!(
                lower <= table,
                "{name}: {} of {chains} chains, at least {lower}; the table has {table}",
                count[signal]
            );
        }
    }
}
