//! Records and run folders to test on. Track values are given; everything derived is left to the crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sigma_report::manifest::{
    self, CorpusSource, MachineEntry, ModelSource, ProgramEntry, PromptsSource, Resolved, SourcesEntry, StartEntry,
};
use sigma_report::record::{
    self, ArithmeticRecord, DriftRecord, EmbeddingRecord, EvaluationRecord, MixtureRecord, RegenerationRecord,
    TrainingRecord,
};
use sigma_report::{
    Behind, BucketNumbers, DiversityNumbers, FileEntry, HashedRecord, Manifest, NoisePoint, PerplexityNumbers, Record,
    RunSeries, SeriesPoint, Setting, SigmaNumbers, SurfaceNumbers, chain, generation_dir_name,
};

/// The drifts of the paper's S1 run, generations 0 to 25.
pub(crate) fn published_s1() -> Vec<(f64, f64)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/paper/s1_points.csv");
    let points = sigma_report::CsvTable::read(&path).unwrap();
    let column = |name: &str| points.numbers(name).unwrap().into_iter().map(Option::unwrap);
    column("delta_u_cov").zip(column("delta_g_kf")).take(26).collect()
}

/// A deterministic stand-in for noise in [-1, 1].
pub(crate) fn noise(t: usize) -> f64 {
    (t as f64 * 12.9898).sin()
}

pub(crate) fn series(setting: Setting, points: impl IntoIterator<Item = (f64, f64)>) -> RunSeries {
    let point = |(t, (du, dg)): (usize, (f64, f64))| SeriesPoint {
        generation: t as u32,
        u_cov: Some(du),
        g_kf: Some(dg),
        u_cov_full: Some(du),
        du_cov: Some(du),
        dg_kf: Some(dg),
        dg_kf_fixed_beta: Some(dg),
        du_cov_full: Some(du + 0.25),
        du_interval: None,
        dg_interval: None,
        distinct_2: Some(0.73 - 0.008 * t as f64 + 0.02 * noise(t + 7)),
        hhi: Some(1e-4 * (1.0 + (t as f64 / 9.0).exp() + 2.0 * noise(t + 3).abs())),
        loss: (t > 0).then_some(3.5),
        mean_tokens: Some(254.5),
        stop_rate: Some(0.015),
        behind: Behind { n: Some(1000.0), n_a: Some(500.0), beta: Some(500.0), empty: Some(0.0), ..Behind::default() },
    };
    let points = points.into_iter().enumerate().map(point).collect();
    RunSeries { name: "fin".into(), domain: "fin".into(), setting, points }
}

pub(crate) fn sigma(u_cov: f64, g_kf: f64) -> SigmaNumbers {
    SigmaNumbers {
        n: 1000,
        n_a: 500,
        d: 384,
        delta: 1e-3,
        rho: 1.0,
        beta: 500.0,
        s: u_cov + 2386.5,
        u_cov,
        g_kf,
        g_kf_fixed_beta: Some(g_kf),
        u_cov_full: u_cov + 0.1,
        full_estimate: Some(u_cov + 0.125),
        full_lower: Some(u_cov - 1.0),
        full_upper: Some(u_cov + 1.25),
        full_missing: None,
        rank: 384,
        condition: 123_456.789,
        lambda_max: 98.7,
        lambda_min: 8e-4,
        log_det_ga: Some(-321.5),
        plugin: Some(-55.25),
        theorem1_log_lower: -321.5,
        theorem1_log_upper: 2000.0,
        theorem3_s: Some(17.5),
        theorem3_half_width: Some(1.5),
        overestimation: 900.0,
    }
}

pub(crate) fn record(setting: Setting, generation: u32, (u_cov, g_kf): (f64, f64)) -> Record {
    let trained = generation > 0;
    let t = generation as usize;
    Record {
        schema: record::SCHEMA,
        generation,
        experiment: String::new(),
        previous: None,
        setting,
        starting_weights: trained.then(|| "ab12".to_owned()),
        starting_from: match setting {
            Setting::S2 if generation > 1 => generation_dir_name(generation - 1),
            _ => "base".to_owned(),
        },
        weights: format!("weights-{generation}"),
        arithmetic: ArithmeticRecord { program: program(), machine: machine(), resolved: resolved() },
        inputs: BTreeMap::from([("config".to_owned(), "c0ffee".to_owned())]),
        // other numbers are those of other texts
        files: BTreeMap::from([(
            "responses.jsonl".to_owned(),
            FileEntry { bytes: 12, blake3: format!("{:016x}{:016x}", u_cov.to_bits(), g_kf.to_bits()) },
        )]),
        mixture: MixtureRecord {
            blocks: if trained { 1100 } else { 0 },
            real: 0,
            synthetic: if trained { 1100 } else { 0 },
            mode: "replace".to_owned(),
        },
        training: trained.then(|| TrainingRecord {
            steps: 345,
            epochs: 5,
            first_loss: 4.25,
            last_loss: 2.5,
            mean_loss_last_epoch: 3.0 - 0.125 * f64::from(generation),
            tokens: 352_000,
            seconds: 12.5,
            tokens_per_second: 28_160.0,
            grad_norm_max: 3.75,
            skipped_steps: 0,
            weight_distance: 0.0625,
        }),
        regeneration: trained.then_some(RegenerationRecord { samples: 1100, tokens: 70_400, seconds: 4.0 }),
        evaluation: EvaluationRecord {
            answers: 200,
            empty: 0,
            truncated: 1,
            read_share: 0.96875,
            stopped_at_eos: 3,
            mean_tokens: 254.5,
            blocks: 1000,
            seconds: 6.25,
        },
        embedding: EmbeddingRecord { encoder: "all-MiniLM-L6-v2".to_owned(), dim: 384, seconds: 1.5 },
        sigma: Some(sigma(u_cov, g_kf)),
        drift: trained.then_some(DriftRecord {
            du_lower: Some(u_cov - 2.0),
            du_upper: Some(u_cov + 2.0),
            dg_lower: Some(g_kf - 1.0),
            dg_upper: Some(g_kf + 1.0),
            groups: 40,
            du_missing: None,
            dg_missing: None,
        }),
        buckets: ["creative", "neutral"]
            .map(|bucket| BucketNumbers {
                bucket: bucket.to_owned(),
                answers: 40,
                distinct_2: Some(0.8),
                hhi: Some(5e-4),
                sigma: Some(sigma(u_cov - 1.0, g_kf - 2.0)),
            })
            .to_vec(),
        surface: SurfaceNumbers {
            distinct_2: Some(0.731 - 0.008 * t as f64),
            hhi: Some(1.02e-4 * (1.0 + t as f64)),
            ..surface(t)
        },
        diversity: Some(DiversityNumbers {
            effective_rank: 210.5 - t as f64,
            rank_me: 210.75 - t as f64,
            vendi_1: 90.5 - t as f64,
            vendi_2: 40.25 - 0.5 * t as f64,
            vendi_inf: 8.5 - 0.125 * t as f64,
            mean_cosine: Some(0.125 + 0.0078125 * t as f64),
        }),
        noise: Vec::new(),
        perplexity: Some(PerplexityNumbers { held_out: Some(31.25 + t as f64), answers_under_base: Some(12.5) }),
        flags: Vec::new(),
        started: "2026-01-02T03:04:05Z".to_owned(),
        finished: "2026-01-02T03:04:30Z".to_owned(),
        seconds: 25.0,
    }
}

fn surface(t: usize) -> SurfaceNumbers {
    SurfaceNumbers {
        distinct_2: Some(0.75),
        hhi: Some(1e-4),
        distinct_1: Some(0.25 - 0.001 * t as f64),
        distinct_3: Some(0.875),
        distinct_4: Some(0.9375),
        repeated_4grams: Some(0.0625 + 0.001 * t as f64),
        compression_ratio: Some(2.5 + 0.01 * t as f64),
        self_bleu: Some(0.375),
        words: 40_000,
        mean_words: 200.0,
    }
}

/// `count` more evaluations of the base that `record` measured, around its own numbers.
pub(crate) fn replicates(record: &Record, count: usize, seed: usize) -> Vec<NoisePoint> {
    let base = record.sigma.as_ref().unwrap();
    let point = |j: usize| {
        let wobble = |k: usize| noise(1000 * seed + 10 * j + k);
        NoisePoint {
            replicate: j as u32 + 1,
            sigma: Some(sigma(base.u_cov + 4.0 * wobble(1), base.g_kf + wobble(2))),
            surface: SurfaceNumbers {
                distinct_2: Some(0.731 + 0.004 * wobble(3)),
                hhi: Some(1.02e-4 * (1.0 + 0.5 * wobble(4))),
                ..surface(0)
            },
        }
    };
    (0..count).map(point).collect()
}

pub(crate) fn records(setting: Setting, tracks: &[(f64, f64)]) -> Vec<Record> {
    (0..).zip(tracks).map(|(generation, tracks)| record(setting, generation, *tracks)).collect()
}

pub(crate) fn manifest(setting: Setting, domain: &str) -> Manifest {
    let model = ModelSource { source: "facebook/opt-125m".into(), revision: Some("27dcfa7".into()), hash: "0a".into() };
    Manifest {
        schema: manifest::SCHEMA,
        name: format!("{domain}_{}", setting.name()),
        domain: domain.to_owned(),
        setting,
        generations: 50,
        seed: 42,
        created: "2026-01-02T03:04:00Z".into(),
        sources: SourcesEntry {
            encoder: model.clone(),
            model,
            corpus: CorpusSource {
                path: "corpus.jsonl".into(),
                revision: None,
                hash: "0b".into(),
                documents: 900,
                contexts: 1100,
            },
            prompts: PromptsSource { path: "prompts.jsonl".into(), revision: None, hash: "0c".into(), count: 200 },
        },
        config_hash: "0d".into(),
        condition_hash: format!("{} {domain}", setting.name()),
        family_hash: domain.into(),
        experiment_hash: format!("{} {domain} 42", setting.name()),
        starts: vec![StartEntry {
            at: "2026-01-02T03:04:00Z".into(),
            generation: 0,
            program: program(),
            machine: machine(),
            experiment_hash: format!("{} {domain} 42", setting.name()),
            resolved: resolved(),
        }],
        records: BTreeMap::new(),
    }
}

fn program() -> ProgramEntry {
    ProgramEntry { version: "0.1.0".into(), commit: None, dirty: false, compiler: None, libraries: Default::default() }
}

fn machine() -> MachineEntry {
    MachineEntry {
        os: "linux".into(),
        arch: "x86_64".into(),
        cpu: "a CPU".into(),
        cpu_features: vec!["avx2".into()],
        threads: 2,
        gpu: None,
    }
}

fn resolved() -> Resolved {
    Resolved {
        device: "cpu".into(),
        evaluation_device: "cpu".into(),
        precision: "f32".into(),
        evaluation_precision: "f32".into(),
        pool_rows: None,
        answer_rows: None,
    }
}

/// A run folder below `parent` for one seed of an experiment that `key: value` lines of a config describe.
pub(crate) fn seeded_run(
    parent: &Path,
    (setting, seed): (Setting, u64),
    config: &str,
    tracks: &[(f64, f64)],
) -> PathBuf {
    let name = format!("run{}", fs::read_dir(parent).unwrap().count());
    let dir = run_folder(&parent.join(&name), setting, tracks);
    fs::write(dir.join("config.yaml"), format!("name: {name}\nseed: {seed}\n{config}")).unwrap();
    // what stands for the experiment is made from its config, as the program does
    let condition_hash = format!("{} {config}", setting.name());
    let experiment_hash = format!("{condition_hash} {seed}");
    let family: Vec<&str> = config.split([',', '{', '\n']).filter(|part| !part.contains("real_fraction")).collect();
    let family_hash = family.join("\n");
    let manifest = Manifest { name, seed, condition_hash, experiment_hash, family_hash, ..manifest(setting, "fin") };
    manifest.write(&dir.join(manifest::FILE_NAME)).unwrap();
    seal(&dir);
    dir
}

/// Chains the records of `dir` as they are now, as the program does while it writes them.
pub(crate) fn seal(dir: &Path) {
    let Ok(mut manifest) = Manifest::read(&dir.join(manifest::FILE_NAME)) else { return };
    manifest.config_hash = blake3::hash(&fs::read(dir.join("config.yaml")).unwrap()).to_hex().to_string();
    manifest.experiment_hash = chain::experiment_hash(&manifest.condition_hash, manifest.seed);
    for start in &mut manifest.starts {
        start.experiment_hash = manifest.experiment_hash.clone();
    }
    manifest.records.clear();
    let mut hashed = BTreeMap::new();
    for generation in (0..).take_while(|t| record_path(dir, *t).exists()) {
        let Ok(mut record) = Record::read(&record_path(dir, generation)) else { break };
        record.experiment = manifest.experiment_hash.clone();
        record.previous = chain::previous(&hashed, generation);
        // every run has answers of its own
        if let Some(answers) = record.files.get_mut("responses.jsonl") {
            let name = format!("{} {generation}", manifest.experiment_hash);
            answers.blake3 = blake3::hash(name.as_bytes()).to_hex().to_string();
        }
        let hash = record.write(&record_path(dir, generation)).unwrap();
        manifest.records.insert(generation, hash.clone());
        hashed.insert(generation, HashedRecord { hash, record });
    }
    manifest.write(&dir.join(manifest::FILE_NAME)).unwrap();
}

/// A run folder below `parent` with one generation per pair of track values.
pub(crate) fn run_folder(parent: &Path, setting: Setting, tracks: &[(f64, f64)]) -> PathBuf {
    let dir = parent.join(format!("fin_{}", setting.name()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.yaml"), "name: fin\n").unwrap();
    manifest(setting, "fin").write(&dir.join(manifest::FILE_NAME)).unwrap();
    for record in records(setting, tracks) {
        write_unchained(&dir, &record);
    }
    seal(&dir);
    dir
}

pub(crate) fn record_path(dir: &Path, generation: u32) -> PathBuf {
    dir.join(generation_dir_name(generation)).join(record::FILE_NAME)
}

pub(crate) fn write_record(dir: &Path, record: &Record) {
    write_unchained(dir, record);
    seal(dir);
}

/// The same as somebody else would, who knows nothing of the chain.
pub(crate) fn write_unchained(dir: &Path, record: &Record) {
    let path = record_path(dir, record.generation);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    record.write(&path).unwrap();
}
