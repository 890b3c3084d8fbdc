//! Rotary positions from a config.json, in both forms: `rope_theta` and `rope_scaling` at its top level, and
//! `rope_parameters` as
//! transformers 5 writes it. Where a file has both they must agree, because versions of transformers differ in which
//! they believe.

use serde_json::{Map, Value, json};

use super::config_file::{ConfigFile, positive};
use crate::ModelError;
use crate::spec::{Rope, RopeScaling};

/// Where a family keeps its keys, and what they are about.
pub(super) struct Keys<'a> {
    pub(super) head_dim: usize,
    pub(super) max_positions: usize,
    /// Top-level key of theta.
    pub(super) theta: &'a str,
    /// Without it, the family's released models are not what they were trained to be.
    pub(super) default_theta: Option<f64>,
    /// Key of a dictionary for one kind of layer within `rope_parameters`.
    pub(super) layer_type: Option<&'a str>,
    /// Whether `rope_scaling` is about these layers.
    pub(super) scaled: bool,
    /// Top-level key of the share of a head that turns, and its default.
    pub(super) share: Option<(&'a str, f64)>,
}

const SCALING: &str = "rope_scaling";
const PARAMETERS: &str = "rope_parameters";

pub(super) fn read(config: &mut ConfigFile, keys: &Keys<'_>) -> Result<Rope, ModelError> {
    let head_dim = keys.head_dim;
    let scaling = if keys.scaled { dictionary(config, SCALING)? } else { None };
    let mut parameters = dictionary(config, PARAMETERS)?;
    let mut place = PARAMETERS.to_string();
    if let Some(layer_type) = keys.layer_type {
        place = format!("{PARAMETERS}.{layer_type}");
        parameters = match parameters.map(|mut all| all.remove(layer_type)) {
            Some(Some(Value::Object(one))) => Some(one),
            Some(Some(other)) => return config.refuse(&place, &other, "it must be a dictionary"),
            _ => None,
        };
    }
    let top_theta = config.some(keys.theta);
    let share = match keys.share {
        Some((key, _)) => config.some(key),
        None => None,
    };
    let own = |name: &str| parameters.as_ref().and_then(|p| p.get(name)).filter(|v| !v.is_null()).cloned();

    let theta = agree(config, (keys.theta, top_theta), (&format!("{place}.rope_theta"), own("rope_theta")))?;
    let theta = match (theta, keys.default_theta) {
        (Some((key, value)), _) => match positive(&value) {
            Some(theta) => theta,
            None => return config.refuse(&key, &value, "it must be a positive number"),
        },
        (None, Some(theta)) => theta,
        (None, None) => {
            return Err(ModelError::ConfigMissing {
                path: config.path().to_path_buf(),
                key: keys.theta.to_string(),
                remedy:
                    "no released model of this family uses its class default: add rope_theta as the model was trained"
                        .to_string(),
            });
        }
    };
    let rotated = match keys.share {
        None => head_dim,
        Some((key, default)) => {
            let own = ("partial_rotary_factor", own("partial_rotary_factor"));
            let (key, value) = agree(config, (key, share), own)?.unwrap_or((key.to_string(), json!(default)));
            match positive(&value).filter(|share| *share <= 1.0) {
                Some(share) => (head_dim as f64 * share) as usize,
                None => return config.refuse(&key, &value, "it must be above 0 and at most 1"),
            }
        }
    };
    if rotated == 0 || !rotated.is_multiple_of(2) {
        return config.refuse(
            "head_dim",
            &json!(head_dim),
            "rotary positions need an even number of dimensions of a head",
        );
    }
    if let (Some(old), Some(new)) = (&scaling, &parameters) {
        let (mut old, mut new) = (old.clone(), new.clone());
        for dictionary in [&mut old, &mut new] {
            dictionary.remove("rope_theta");
            dictionary.remove("partial_rotary_factor");
            if let Some(kind) = dictionary.remove("type") {
                dictionary.entry("rope_type").or_insert(kind);
            }
        }
        if old != new {
            let remedy =
                format!("`{place}` of the same file says something else; keep the one that the model was trained with");
            return config.refuse(SCALING, &Value::Object(old), &remedy);
        }
    }
    let (place, dictionary) = match (parameters, scaling) {
        (Some(parameters), _) => (place, parameters),
        (None, Some(scaling)) => (SCALING.to_string(), scaling),
        (None, None) => (place, Map::new()),
    };
    let max_positions = keys.max_positions as f64;
    let scaling = Scaling { config, place, dictionary, max_positions }.read(keys.share.is_some())?;
    Ok(Rope { theta, rotated, scaling })
}

/// The value that is given, with its key; both keys may say it once or the same twice.
fn agree(
    config: &ConfigFile,
    (top, top_value): (&str, Option<Value>),
    (own, own_value): (&str, Option<Value>),
) -> Result<Option<(String, Value)>, ModelError> {
    match (top_value, own_value) {
        (Some(a), Some(b)) if a.as_f64() != b.as_f64() => {
            let remedy = format!("`{own}` of the same file is {b}; keep the one that the model was trained with");
            config.refuse(top, &a, &remedy)
        }
        (_, Some(value)) => Ok(Some((own.to_string(), value))),
        (Some(value), None) => Ok(Some((top.to_string(), value))),
        (None, None) => Ok(None),
    }
}

fn dictionary(config: &mut ConfigFile, key: &str) -> Result<Option<Map<String, Value>>, ModelError> {
    match config.some(key) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => config.refuse(key, &other, "it must be a dictionary or null"),
    }
}

/// A dictionary that says how positions are stretched.
struct Scaling<'a> {
    config: &'a ConfigFile,
    place: String,
    dictionary: Map<String, Value>,
    max_positions: f64,
}

impl Scaling<'_> {
    fn read(mut self, may_have_share: bool) -> Result<RopeScaling, ModelError> {
        self.dictionary.remove("rope_theta");
        if may_have_share {
            self.dictionary.remove("partial_rotary_factor");
        }
        let old = self.dictionary.remove("type");
        let kind = self.dictionary.remove("rope_type").or(old).unwrap_or(json!("default"));
        let scaling = match kind.as_str() {
            Some("default") => RopeScaling::Default,
            Some("linear") => RopeScaling::Linear { factor: self.needed("factor")? },
            Some("llama3") => RopeScaling::Llama3 {
                factor: self.needed("factor")?,
                low_freq_factor: self.needed("low_freq_factor")?,
                high_freq_factor: self.needed("high_freq_factor")?,
                original_max_positions: self.original_max_positions()?,
            },
            Some("yarn") => self.yarn()?,
            _ => {
                let remedy = "only default, linear, llama3 and yarn are supported";
                return self.config.refuse(&format!("{}.rope_type", self.place), &kind, remedy);
            }
        };
        match self.dictionary.iter().next() {
            None => Ok(scaling),
            Some((key, value)) => {
                let remedy = format!("rope_type {kind} does not read it; remove the key");
                self.config.refuse(&format!("{}.{key}", self.place), value, &remedy)
            }
        }
    }

    fn yarn(&mut self) -> Result<RopeScaling, ModelError> {
        let original_max_positions = self.original_max_positions()?;
        let factor = match self.number("factor")? {
            Some(factor) => factor,
            None => self.max_positions / original_max_positions,
        };
        let beta_fast = self.number("beta_fast")?.unwrap_or(32.0);
        let beta_slow = self.number("beta_slow")?.unwrap_or(1.0);
        let truncate = match self.dictionary.remove("truncate") {
            None => true,
            Some(Value::Bool(truncate)) => truncate,
            Some(other) => {
                return self.config.refuse(&format!("{}.truncate", self.place), &other, "it must be true or false");
            }
        };
        let grown = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
        let (mscale, mscale_all_dim) = (self.number("mscale")?, self.number("mscale_all_dim")?);
        let attention_factor = match (self.number("attention_factor")?, mscale, mscale_all_dim) {
            (Some(given), ..) => given,
            (None, Some(mscale), Some(all_dim)) => grown(mscale) / grown(all_dim),
            _ => grown(1.0),
        };
        Ok(RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, truncate, attention_factor })
    }

    fn original_max_positions(&mut self) -> Result<f64, ModelError> {
        Ok(self.number("original_max_position_embeddings")?.unwrap_or(self.max_positions))
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, ModelError> {
        match self.dictionary.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match positive(&value) {
                Some(number) => Ok(Some(number)),
                None => {
                    let remedy = "it must be a positive number";
                    self.config.refuse(&format!("{}.{name}", self.place), &value, remedy)
                }
            },
        }
    }

    fn needed(&mut self, name: &str) -> Result<f64, ModelError> {
        match self.number(name)? {
            Some(number) => Ok(number),
            None => Err(ModelError::ConfigMissing {
                path: self.config.path().to_path_buf(),
                key: format!("{}.{name}", self.place),
                remedy: "this kind of scaling needs it".to_string(),
            }),
        }
    }
}
