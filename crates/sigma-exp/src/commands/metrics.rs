//! `sigma-exp metrics`: Sigma-UB of embeddings or texts that came from elsewhere.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use sigma_data::documents::read_documents;
use sigma_data::seeds::{Seeds, Stage};
use sigma_metrics::{Embeddings, Observed, SigmaConfig, SigmaUb, SurfaceConfig, observed_rows, sigma_ub, surface};

use super::print;
use crate::assets::FrozenEncoder;
use crate::hub::Hub;
use crate::{cli, device, stage};

pub fn execute(hub: Hub, arguments: &cli::Metrics) -> Result<()> {
    let observed: Observed = serde_yaml::from_str(&arguments.observed)
        .with_context(|| format!("--observed {}: expected a positive number or `all`", arguments.observed))?;
    let config = SigmaConfig { observed, ..SigmaConfig::default() };
    config.validate()?;
    let baseline = match &arguments.baseline {
        Some(path) => Some(measure_file(path, arguments.total, &config)?),
        None => None,
    };
    if let Some(path) = &arguments.texts {
        let source = arguments.encoder.as_deref().unwrap_or_default();
        let encoder = FrozenEncoder::load(hub, source, None, &device::open(&arguments.device)?)?;
        let documents = read_documents(path, None, None)?;
        let texts: Vec<&str> = documents.iter().map(|d| d.text.as_str()).collect();
        let (rows, record) = stage::embed_texts(&texts, &encoder, 32, None)?;
        let sigma = measure(texts.len(), record.dim, rows, arguments.total, &config)?;
        let proxies = surface(texts, &SurfaceConfig::default())?;
        return show(path, &sigma, baseline.as_ref(), serde_json::to_value(proxies)?, arguments.json);
    }
    for path in &arguments.embeddings {
        let sigma = measure_file(path, arguments.total, &config)?;
        if let Some(base) = baseline.as_ref().filter(|base| base.d != sigma.d) {
            bail!(
                "{} has rows of width {}, but those of the baseline have width {}: a drift needs two sets of the same encoder",
                path.display(),
                sigma.d,
                base.d
            );
        }
        show(path, &sigma, baseline.as_ref(), Value::Null, arguments.json)?;
    }
    Ok(())
}

fn measure_file(path: &Path, total: Option<usize>, config: &SigmaConfig) -> Result<SigmaUb> {
    let (n, dim, rows) = sigma_embed::npy::read(path)?;
    measure(n, dim, rows, total, config).with_context(|| format!("{}", path.display()))
}

fn measure(n: usize, dim: usize, rows: Vec<f32>, total: Option<usize>, config: &SigmaConfig) -> Result<SigmaUb> {
    // without block ids a row's number is its identity
    let seeds = Seeds::new(42, "metrics");
    let keys: Vec<u64> = (0..n).map(|row| seeds.stream(Stage::Observed, None, &row.to_string()).next_u64()).collect();
    let rows = Embeddings::new(n, dim, rows)?;
    Ok(sigma_ub(&rows, &observed_rows(&keys, config.observed), total, config)?)
}

fn show(path: &Path, sigma: &SigmaUb, baseline: Option<&SigmaUb>, extra: Value, json: bool) -> Result<()> {
    let mut object = Map::new();
    object.insert("file".to_string(), path.display().to_string().into());
    for value in [serde_json::to_value(sigma)?, extra] {
        if let Value::Object(fields) = value {
            object.extend(fields);
        }
    }
    if let Some(base) = baseline {
        object.insert("du_cov".to_string(), (sigma.u_cov - base.u_cov).into());
        object.insert("dg_kf".to_string(), (sigma.g_kf - base.g_kf).into());
    }
    if json {
        return print(&format!("{}\n", Value::Object(object)));
    }
    let mut text = String::new();
    let mut push = |key: &str, value: &Value| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        text.push_str(&format!("{key:<24}{value}\n"));
    };
    for (key, value) in &object {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(field, value)| push(&format!("{key}.{field}"), value)),
            value => push(key, value),
        }
    }
    print(&text)
}
