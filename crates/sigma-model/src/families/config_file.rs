//! A config.json that is read key by key: what a family does not ask for must be on the list of keys that change
//! nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sigma_data::{python_json, regular_file};

use crate::ModelError;
use crate::spec::Activation;

/// More layers, or larger sizes, are damage; every product of two sizes still fits into a usize.
const MOST_LAYERS: usize = 10_000;
const LARGEST: usize = 1 << 31;

/// Keys of any family that change nothing that is computed here.
const HARMLESS: [&str; 51] = [
    "_attn_implementation_autoset",
    "_name_or_path",
    "_num_labels",
    "architectures",
    "attn_implementation",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "initializer_range",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "transformers_version",
];

/// The same for values that must be what they are by default.
const ONLY: [(&str, &[&str]); 12] = [
    ("add_cross_attention", &["false"]),
    ("chunk_size_feed_forward", &["0"]),
    ("cross_attention_hidden_size", &["null"]),
    ("is_decoder", &["false", "true"]),
    ("is_encoder_decoder", &["false"]),
    ("pruned_heads", &["{}"]),
    ("tf_legacy_loss", &["false"]),
    ("tie_encoder_decoder", &["false"]),
    ("torchscript", &["false"]),
    ("typical_p", &["1.0", "1"]),
    ("use_bfloat16", &["false"]),
    ("use_cache", &["true", "false"]),
];

const UNKNOWN: &str = "this program does not know what it changes; remove the key if it changes nothing";

/// Keys that transformers itself computes by, or that promise code of the folder's own.
const NEVER: [&str; 4] = ["auto_map", "compression_config", "quantization_config", "custom_pipelines"];

/// What becomes of a key that nobody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    Refuse,
    Warn,
}

/// The keys of a config.json, and which of them were asked for.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    keys: Map<String, Value>,
    read: BTreeSet<String>,
}

impl ConfigFile {
    /// Reads `folder/config.json`.
    ///
    /// # Errors
    /// A file that cannot be read or is no JSON object.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        Self::read(folder.join("config.json"))
    }

    /// The same of another file of settings.
    pub(crate) fn read(path: PathBuf) -> Result<Self, ModelError> {
        let text =
            regular_file::read_to_string(&path).map_err(|source| ModelError::Io { path: path.clone(), source })?;
        match python_json::from_str(&text) {
            Ok(keys) => Ok(Self { path, keys, read: BTreeSet::new() }),
            Err(source) => Err(ModelError::Json { path, source }),
        }
    }

    /// A file that need not be there: without it, no key is.
    pub(crate) fn read_if_there(path: PathBuf) -> Result<Self, ModelError> {
        if path.exists() { Self::read(path) } else { Ok(Self { path, keys: Map::new(), read: BTreeSet::new() }) }
    }

    pub fn model_type(&self) -> Option<String> {
        self.keys.get("model_type").and_then(Value::as_str).map(str::to_string)
    }

    /// Keys that stand in no file.
    pub(crate) fn in_memory(keys: Map<String, Value>) -> Self {
        Self { path: PathBuf::from("config.json"), keys, read: BTreeSet::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All keys, as they stand in the file.
    pub(crate) fn keys(&self) -> &Map<String, Value> {
        &self.keys
    }

    /// The value of `key`; `null` counts as one.
    pub(crate) fn value(&mut self, key: &str) -> Option<Value> {
        let value = self.keys.get(key).cloned();
        if value.is_some() {
            self.read.insert(key.to_string());
        }
        value
    }

    /// The same, with `null` as absent.
    pub(crate) fn some(&mut self, key: &str) -> Option<Value> {
        self.value(key).filter(|value| !value.is_null())
    }

    pub(crate) fn refuse<T>(&self, key: &str, value: &Value, remedy: &str) -> Result<T, ModelError> {
        refuse(&self.path, key, value, remedy)
    }

    fn typed<T>(
        &mut self,
        key: &str,
        default: T,
        rule: &str,
        get: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ModelError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => get(&value).map_or_else(|| self.refuse(key, &value, rule), Ok),
        }
    }

    /// A size of at least 1.
    pub(crate) fn size(&mut self, key: &str, default: usize) -> Result<usize, ModelError> {
        self.typed(key, default, "it must be a whole number from 1 to 2147483648", size)
    }

    /// A size where `null` means that there is none; `default` is for a key that is absent.
    pub(crate) fn size_or_null(&mut self, key: &str, default: Option<usize>) -> Result<Option<usize>, ModelError> {
        let rule = "it must be null or a whole number from 1 to 2147483648";
        self.typed(key, default, rule, |value| if value.is_null() { Some(None) } else { size(value).map(Some) })
    }

    pub(crate) fn layers(&mut self, key: &str, default: usize) -> Result<usize, ModelError> {
        let rule = "it must be a whole number from 1 to 10000";
        self.typed(key, default, rule, |value| size(value).filter(|n| *n <= MOST_LAYERS))
    }

    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Result<bool, ModelError> {
        self.typed(key, default, "it must be true or false", Value::as_bool)
    }

    pub(crate) fn number(&mut self, key: &str, default: f64) -> Result<f64, ModelError> {
        self.typed(key, default, "it must be a positive number", positive)
    }

    /// A number where `null` means that there is none.
    pub(crate) fn number_or_null(&mut self, key: &str, default: Option<f64>) -> Result<Option<f64>, ModelError> {
        let rule = "it must be null or a positive number";
        self.typed(key, default, rule, |value| if value.is_null() { Some(None) } else { positive(value).map(Some) })
    }

    /// A dropout rate; `null` is 0.
    pub(crate) fn dropout(&mut self, key: &str, default: f64) -> Result<f64, ModelError> {
        let rate = |value: &Value| if value.is_null() { Some(0.0) } else { value.as_f64() };
        self.typed(key, default, "it must be a number of at least 0 and below 1", |value| {
            rate(value).filter(|p| (0.0..1.0).contains(p))
        })
    }

    pub(crate) fn activation(&mut self, key: &str, default: Activation) -> Result<Activation, ModelError> {
        let rule = "it must be one of relu, silu, swish, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast";
        self.typed(key, default, rule, |value| match value.as_str()? {
            "relu" => Some(Activation::Relu),
            "silu" | "swish" => Some(Activation::Silu),
            "gelu" => Some(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Some(Activation::GeluTanh),
            _ => None,
        })
    }

    /// One of the words `allowed` for each layer, if the key is there.
    pub(crate) fn words(
        &mut self,
        key: &str,
        layers: usize,
        allowed: &[&'static str],
    ) -> Result<Option<Vec<&'static str>>, ModelError> {
        let Some(value) = self.some(key) else { return Ok(None) };
        let word = |value: &Value| allowed.iter().copied().find(|word| value.as_str() == Some(word));
        let words: Option<Vec<_>> = value.as_array().and_then(|all| all.iter().map(word).collect());
        match words {
            Some(words) if words.len() == layers => Ok(Some(words)),
            _ => self.refuse(
                key,
                &value,
                &format!("it must name one of {} for each of {layers} layers", allowed.join(", ")),
            ),
        }
    }

    /// A token id that a config names: a number, or a list of which all count.
    pub(crate) fn token_ids(&mut self, key: &str, default: &[u32]) -> Result<Vec<u32>, ModelError> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        self.typed(key, default.to_vec(), "it must be null, a token id, or a list of token ids", |value| match value {
            Value::Null => Some(Vec::new()),
            Value::Array(all) => all.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        })
    }

    /// Keys that may have these values alone, which change nothing.
    pub(crate) fn only(&mut self, key: &str, allowed: &[Value], remedy: &str) -> Result<(), ModelError> {
        match self.value(key) {
            Some(value) if !allowed.contains(&value) => self.refuse(key, &value, remedy),
            _ => Ok(()),
        }
    }

    /// Keys that this family is known to write and not to compute with.
    pub(crate) fn ignore(&mut self, keys: &[&str]) {
        self.read.extend(keys.iter().map(|key| (*key).to_string()));
    }

    /// Refuses keys that nobody has asked for, in a file other than config.json.
    pub(crate) fn finish_with(&self, harmless: &[&str]) -> Result<(), ModelError> {
        let unknown = |key: &str| !self.read.contains(key) && !harmless.contains(&key);
        match self.keys.iter().find(|(key, _)| unknown(key)) {
            Some((key, value)) => self.refuse(key, value, UNKNOWN),
            None => Ok(()),
        }
    }

    /// Refuses keys that nobody has asked for and that are not known to be harmless, or warns of them.
    pub(crate) fn finish(&self, unknown: Unknown) -> Result<(), ModelError> {
        for (key, value) in &self.keys {
            if self.read.contains(key) || HARMLESS.contains(&key.as_str()) {
                continue;
            }
            match ONLY.iter().find(|(only, _)| only == key) {
                Some((_, allowed)) if allowed.contains(&value.to_string().as_str()) => {}
                Some((_, allowed)) => {
                    self.refuse(key, value, &format!("only {} is supported", allowed.join(" or ")))?;
                }
                None if unknown == Unknown::Warn && !NEVER.contains(&key.as_str()) => {
                    tracing::warn!(file = %self.path.display(), key, "a key that the model's family does not read");
                }
                None => self.refuse(key, value, UNKNOWN)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn refuse<T>(path: &Path, key: &str, value: &Value, remedy: &str) -> Result<T, ModelError> {
    let (path, key, remedy) = (path.to_path_buf(), key.to_string(), remedy.to_string());
    let mut value = value.to_string();
    if value.chars().count() > 80 {
        value = value.chars().take(77).chain("...".chars()).collect();
    }
    Err(ModelError::ConfigKey { path, key, value, remedy })
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=LARGEST).contains(n))
}

pub(crate) fn positive(value: &Value) -> Option<f64> {
    value.as_f64().filter(|x| *x > 0.0 && x.is_finite())
}
