//! An OPT model from and to a Hugging Face folder, and the hash of its weights.

use std::fs;
use std::path::Path;

use super::parameters::Parameters;
use super::{NamedParameters, Opt, OptConfig};
use crate::weights::{TensorBytes, Weights, save_safetensors};
use crate::{Device, ModelError};

impl Opt {
    /// Loads `folder` (config.json and weights in any supported format) as f32 onto `device`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::load_all(folder, true, device)
    }

    /// The same for who asks for no logits: a head of its own is left.
    pub(crate) fn load_body(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::load_all(folder, false, device)
    }

    fn load_all(folder: &Path, with_head: bool, device: &Device) -> Result<Self, ModelError> {
        let config = OptConfig::load(folder)?;
        // `decoder.` (Meta's conversion), `model.decoder.` (what transformers saves) and a bare tied head all occur
        let mut weights = Weights::load(folder)?.rename(|name| match name.strip_prefix("decoder.") {
            Some(rest) => format!("model.decoder.{rest}"),
            None => name.to_string(),
        });
        // a layer has sixteen tensors; more layers than tensors are not even worth naming, and a config.json may claim
        // billions
        if config.num_hidden_layers > weights.len() {
            return Err(ModelError::Layers {
                path: folder.join("config.json"),
                layers: config.num_hidden_layers,
                weights: weights.origin().to_path_buf(),
                tensors: weights.len(),
            });
        }
        let parameters = Parameters::build(&config, |name, shape| {
            let tied = name.ends_with("embed_tokens.weight") && !weights.contains(name);
            let source = if tied && weights.contains("lm_head.weight") { "lm_head.weight" } else { name };
            Ok::<_, ModelError>(weights.take(source, shape)?.flatten_all()?.to_vec1::<f32>()?)
        })?;
        if with_head && weights.contains("lm_head.weight") {
            let shape = [config.vocab_size, config.embedding_width()];
            let head = weights.take("lm_head.weight", &shape)?.flatten_all()?.to_vec1::<f32>()?;
            if head != parameters.values[parameters.layout.embed_tokens.clone()] {
                let (path, name) = (weights.origin().to_path_buf(), "lm_head.weight".to_string());
                return Err(ModelError::TiedHead { path, name });
            }
        }
        let unused: Vec<&str> = weights.names().filter(|name| *name != "lm_head.weight").collect();
        if !unused.is_empty() {
            tracing::warn!(file = %weights.origin().display(), tensors = ?unused, "tensors that OPT does not use");
        }
        Self::on_host(config, parameters).to_device(device)
    }

    /// Writes config.json, generation_config.json and model.safetensors (f32) into an existing folder, such that
    /// `AutoModelForCausalLM.from_pretrained` loads it. The tokenizer's files are its own affair.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let config = &self.config;
        let mut json = serde_json::to_value(config)
            .map_err(|source| ModelError::Json { path: folder.join("config.json"), source })?;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("architectures".to_string(), serde_json::json!(["OPTForCausalLM"]));
            fields.insert("word_embed_proj_dim".to_string(), config.embedding_width().into());
            fields.insert("torch_dtype".to_string(), "float32".into());
        }
        let generation = serde_json::json!({
            "bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id,
            "pad_token_id": config.pad_token_id,
        });
        for (name, value) in [("config.json", &json), ("generation_config.json", &generation)] {
            let path = folder.join(name);
            let text = format!("{value:#}\n");
            fs::write(&path, text).map_err(|source| ModelError::Io { path: path.clone(), source })?;
        }
        let mut tensors = TensorBytes::new();
        self.for_each_parameter(|name, shape, values| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.insert(name.to_string(), (shape.to_vec(), bytes));
        })?;
        save_safetensors(&folder.join("model.safetensors"), &tensors)
    }

    /// BLAKE3 over name, shape and little-endian f32 values of every parameter, in the order of names. Two models with
    /// the same hash compute the same function.
    pub fn hash(&self) -> Result<String, ModelError> {
        let mut hasher = blake3::Hasher::new();
        self.for_each_parameter(|name, shape, values| hash_one(&mut hasher, name, shape, values))?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// The same of parameters by name.
pub(crate) fn hash_of(parameters: &NamedParameters) -> String {
    let mut hasher = blake3::Hasher::new();
    parameters.iter().for_each(|(name, (shape, values))| hash_one(&mut hasher, name, shape, values));
    hasher.finalize().to_hex().to_string()
}

fn hash_one(hasher: &mut blake3::Hasher, name: &str, shape: &[usize], values: &[f32]) {
    hasher.update(name.as_bytes());
    hasher.update(format!("{shape:?}").as_bytes());
    if cfg!(target_endian = "little") {
        hasher.update_rayon(bytemuck::cast_slice(values));
    } else {
        values.iter().for_each(|value| _ = hasher.update(&value.to_le_bytes()));
    }
}
