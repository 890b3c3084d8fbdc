//! `sigma-exp metrics`: Sigma-UB of embeddings, texts or Gram matrices that came from elsewhere.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use sigma_data::seeds::{Seeds, Stage};
use sigma_metrics::{
    Embeddings, Observed, SigmaConfig, SigmaUb, SurfaceConfig, observed_rows, sigma_ub, sigma_ub_of_gram, surface,
};

use super::{gram, print, texts};
use crate::assets::FrozenEncoder;
use crate::hub::Hub;
use crate::{cli, device, matrix_file, stage, yaml};

/// Nats of rounding in S from which on a reader should know.
const S_ERROR_WARNING: f64 = 0.1;

pub fn execute(hub: Hub, arguments: &cli::Metrics) -> Result<()> {
    let observed = match &arguments.observed {
        Some(text) => yaml::argument(text, &format!("--observed {text}"))?,
        None if !arguments.gram.is_empty() => Observed::All,
        None => SigmaConfig::default().observed,
    };
    let config = SigmaConfig { observed, ..SigmaConfig::default() };
    config.validate()?;
    if arguments.column.is_some() && !arguments.gram.is_empty() && arguments.rows.is_empty() {
        bail!(
            "--column names the tensor or column of rows, and a Gram matrix has none; give the shards behind it as \
             --rows"
        );
    }
    if let Some(first) = arguments.gram.first() {
        return measure_gram(first, arguments, &config);
    }
    // what was asked for must be there; the default takes what there is
    let asked = arguments.observed.is_some();
    let measure_file = |path: &Path| -> Result<SigmaUb> {
        let rows = matrix_file::read(path, arguments.column.as_deref())?;
        check_observed(path, &rows, observed, asked)?;
        measure(&rows, arguments.total, &config).with_context(|| format!("{}", path.display()))
    };
    let baseline = match &arguments.baseline {
        Some(path) => Some(measure_file(path)?),
        None => None,
    };
    if let Some(path) = &arguments.texts {
        let texts = texts::read(path, arguments.text_column.as_deref())?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let source = arguments.encoder.as_deref().unwrap_or_default();
        let encoder = FrozenEncoder::load(hub, source, None, &device::open(&arguments.device)?)?;
        let (rows, record) = stage::embed_texts(&texts, &encoder, 32, None)?;
        let rows = Embeddings::new(texts.len(), record.dim, rows)?;
        check_observed(path, &rows, observed, asked)?;
        let sigma = measure(&rows, arguments.total, &config)?;
        let proxies = surface(texts, &SurfaceConfig::default())?;
        return show(path, &sigma, baseline.as_ref(), serde_json::to_value(proxies)?, arguments.json);
    }
    for path in &arguments.embeddings {
        let sigma = measure_file(path)?;
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

fn measure_gram(first: &Path, arguments: &cli::Metrics, config: &SigmaConfig) -> Result<()> {
    let merged = gram::load_all(&arguments.gram)?;
    let moments = match &arguments.rows[..] {
        [] => None,
        shards => Some(gram::second_pass(&merged, shards, arguments.column.as_deref(), config.delta)?),
    };
    let measured = sigma_ub_of_gram(&merged, arguments.total, moments.as_ref(), config)
        .with_context(|| first.display().to_string())?;
    let baseline = match &arguments.baseline {
        Some(path) => {
            let baseline = gram::load_all(std::slice::from_ref(path))?;
            let measured = sigma_ub_of_gram(&baseline, arguments.total, None, config);
            Some(measured.with_context(|| path.display().to_string())?.sigma)
        }
        None => None,
    };
    if measured.s_error > S_ERROR_WARNING {
        tracing::warn!(
            "float32 may have moved S and U_cov by up to {:.2} nats: the smallest eigenvalues and the ridge drown in its rounding; \
             use `gram --float64`",
            measured.s_error
        );
    }
    let extra = json!({
        "diversity": measured.diversity,
        "eigenvalue_error": measured.eigenvalue_error,
        "s_error": measured.s_error,
        "files": arguments.gram.len(),
    });
    show(first, &measured.sigma, baseline.as_ref(), extra, arguments.json)
}

/// Refuses more observed rows than there are, or too few to span the space, where a number was `asked` for; says where
/// there are too few of them otherwise.
fn check_observed(path: &Path, rows: &Embeddings, observed: Observed, asked: bool) -> Result<()> {
    let (rows, width) = (rows.n(), rows.d());
    let seen = match observed {
        Observed::Count(count) if asked && count > rows => bail!(
            "{} has {rows} rows, but --observed asks for {count}: ask for at most {rows}, or for `all`",
            path.display()
        ),
        Observed::Count(count) if asked && count <= width => bail!(
            "{}: --observed asks for {count} rows of width {width}, which leave G_A singular or as good as that: ask for more than \
             {width}, or for `all`",
            path.display()
        ),
        Observed::Count(count) => count.min(rows),
        Observed::All => rows,
    };
    if seen < width {
        tracing::warn!(
            "{}: {seen} observed rows cannot span {width} dimensions, so G_A is singular and rests on the ridge \
             delta; give at least {width} rows",
            path.display()
        );
    }
    Ok(())
}

fn measure(rows: &Embeddings, total: Option<usize>, config: &SigmaConfig) -> Result<SigmaUb> {
    // without block ids a row's number is its identity
    let seeds = Seeds::new(42, "metrics");
    let keys: Vec<u64> =
        (0..rows.n()).map(|row| seeds.stream(Stage::Observed, None, &row.to_string()).next_u64()).collect();
    Ok(sigma_ub(rows, &observed_rows(&keys, config.observed), total, config)?)
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
