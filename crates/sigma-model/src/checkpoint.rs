//! A decoder from and to a Hugging Face folder: config.json through its family, tensors in the family's names and
//! layouts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde_json::{Map, Value, json};
use sigma_data::seeds::{Seeds, Stage};

use crate::ModelError;
use crate::families::{ConfigFile, Family, Place};
use crate::spec::{DecoderSpec, NormKind, Part, Slot};
use crate::weights::{TensorBytes, Weights, save_safetensors};

/// A decoder's family, spec, config and parameters. These are f32 on the CPU when they come from a folder.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub family: &'static Family,
    pub spec: DecoderSpec,
    /// config.json as it was read.
    config: Map<String, Value>,
    pub parameters: BTreeMap<Slot, Tensor>,
}

impl Checkpoint {
    /// # Errors
    /// A config or tensors that are missing, damaged, not supported, or left over.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let (family, spec, config) = Family::read(folder)?;
        let weights = Weights::load(folder)?;
        let origin = weights.origin().to_path_buf();
        let parameters = parameters(family, &spec, weights, &folder.join("config.json"), origin)?;
        Ok(Self { family, spec, config: config.keys().clone(), parameters })
    }

    /// The same for who asks for no logits: the head, which may be missing, is left.
    pub(crate) fn load_body(folder: &Path) -> Result<Self, ModelError> {
        let (family, mut spec, config) = Family::read(folder)?;
        let head = (family.place)(Slot::weight(None, Part::Head)).map(|place| place.name).unwrap_or_default();
        let weights = Weights::load(folder)?.without(&head);
        spec.tied = true;
        let origin = weights.origin().to_path_buf();
        let parameters = parameters(family, &spec, weights, &folder.join("config.json"), origin)?;
        Ok(Self { family, spec, config: config.keys().clone(), parameters })
    }

    /// Fresh weights: normal(0, init_std) for matrices, zero biases, norms with a gain of 1. Each draws from its own
    /// stream.
    ///
    /// # Errors
    /// A config that its family refuses.
    pub fn fresh(config: Map<String, Value>, seeds: &Seeds) -> Result<Self, ModelError> {
        let (family, spec, config) = Family::of(ConfigFile::in_memory(config))?;
        let mut parameters = BTreeMap::new();
        for (slot, shape) in spec.parameters() {
            let count = shape.iter().product();
            let gain = if spec.norm.kind == NormKind::RmsOnePlus { 0.0 } else { 1.0 };
            let values: Vec<f32> = if slot.is_bias {
                vec![0.0; count]
            } else if slot.part.is_norm() {
                vec![gain; count]
            } else {
                let mut stream = seeds.stream(Stage::Init, None, &slot.to_string());
                (0..count).map(|_| (stream.normal() * spec.init_std) as f32).collect()
            };
            parameters.insert(slot, Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?);
        }
        Ok(Self { family, spec, config: config.keys().clone(), parameters })
    }

    /// config.json as it was read.
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// The same model with other parameters: of all slots, in any float type.
    pub fn with_parameters(&self, parameters: BTreeMap<Slot, Tensor>) -> Self {
        Self { family: self.family, spec: self.spec.clone(), config: self.config.clone(), parameters }
    }

    /// Writes config.json, generation_config.json and model.safetensors (f32) into an existing folder, such that
    /// `AutoModelForCausalLM.from_pretrained` of transformers 4 and 5 loads it. The tokenizer's files are its own
    /// affair.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let config = self.config_to_write();
        let tokens = &self.spec.special_tokens;
        let mut generation = Map::new();
        for (key, id) in [("bos_token_id", tokens.bos), ("pad_token_id", tokens.pad)] {
            if let Some(id) = id {
                generation.insert(key.to_string(), json!(id));
            }
        }
        match tokens.eos.as_slice() {
            [] => {}
            [one] => _ = generation.insert("eos_token_id".to_string(), json!(one)),
            several => _ = generation.insert("eos_token_id".to_string(), json!(several)),
        }
        for (name, value) in [("config.json", config), ("generation_config.json", generation)] {
            let path = folder.join(name);
            let text = format!("{:#}\n", Value::Object(value));
            fs::write(&path, text).map_err(|source| ModelError::Io { path: path.clone(), source })?;
        }
        let mut bytes = TensorBytes::new();
        for (name, tensor) in self.stored(&self.parameters)? {
            let shape = tensor.dims().to_vec();
            let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            bytes.insert(name, (shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        }
        save_safetensors(&folder.join("model.safetensors"), &bytes)
    }

    /// Tensors by slot (parameters, or their gradients) under the family's names and in its layouts.
    pub fn stored(&self, by_slot: &BTreeMap<Slot, Tensor>) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let mut parts: BTreeMap<String, (Place, Vec<&Tensor>)> = BTreeMap::new();
        // slots of one tensor are in the order of its parts
        for (slot, tensor) in by_slot {
            if let Some(place) = (self.family.place)(*slot) {
                parts.entry(place.name.clone()).or_insert_with(|| (place, Vec::new())).1.push(tensor);
            }
        }
        let head_dim = self.spec.attention.head_dim;
        let join =
            |(name, (place, parts)): (String, (Place, Vec<&Tensor>))| Ok((name, place.layout.join(&parts, head_dim)?));
        parts.into_iter().map(join).collect()
    }

    /// The config that was read, with rotary positions in the form of transformers 4 and in that of 5.
    fn config_to_write(&self) -> Map<String, Value> {
        let mut config = self.config.clone();
        config.insert("model_type".to_string(), json!(self.family.model_type));
        config.insert("architectures".to_string(), json!([self.family.architecture]));
        config.insert("dtype".to_string(), json!("float32"));
        config.insert("torch_dtype".to_string(), json!("float32"));
        config.insert("tie_word_embeddings".to_string(), json!(self.spec.tied));
        (self.family.write_rope)(&self.spec, &mut config);
        config
    }
}

fn parameters(
    family: &'static Family,
    spec: &DecoderSpec,
    weights: Weights,
    config_path: &Path,
    origin: PathBuf,
) -> Result<BTreeMap<Slot, Tensor>, ModelError> {
    if spec.layers.len() > weights.len() {
        let (layers, tensors) = (spec.layers.len(), weights.len());
        return Err(ModelError::Layers { path: config_path.to_path_buf(), layers, weights: origin, tensors });
    }
    let bare = !weights.names().any(|name| name.starts_with(family.prefix));
    let head = (family.place)(Slot::weight(None, Part::Head)).map(|place| place.name).unwrap_or_default();
    let mut weights =
        weights.rename(|name| if bare && name != head { format!("{}{name}", family.prefix) } else { name.to_string() });
    let mut shared: BTreeMap<String, Tensor> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (slot, shape) in spec.parameters() {
        let Some(Place { name, layout }) = (family.place)(slot) else {
            let name = slot.to_string();
            return Err(ModelError::MissingTensor { path: origin, name, found: family.model_type.to_string() });
        };
        let in_file = layout.shape_in_file(&shape);
        let stored = match shared.get(&name) {
            Some(stored) => stored.clone(),
            // a tied head may be there alone
            None if slot.part == Part::EmbedTokens
                && spec.tied
                && !weights.contains(&name)
                && weights.contains(&head) =>
            {
                weights.take(&head, &in_file)?
            }
            None => weights.take(&name, &in_file)?,
        };
        all.insert(slot, layout.take(&stored, &shape, spec.attention.head_dim)?);
        if layout.parts() > 1 {
            shared.insert(name, stored);
        }
    }
    if spec.tied && weights.contains(&head) {
        let table = &all[&Slot::weight(None, Part::EmbedTokens)];
        let written = weights.take(&head, table.dims())?;
        if written.flatten_all()?.to_vec1::<f32>()? != table.flatten_all()?.to_vec1::<f32>()? {
            return Err(ModelError::TiedHead { path: origin, name: head });
        }
    }
    let left: Vec<&str> =
        weights.names().filter(|name| !family.buffers.iter().any(|buffer| name.ends_with(buffer))).take(6).collect();
    if !left.is_empty() {
        return Err(ModelError::LeftOver { path: origin, tensors: left.join(", ") });
    }
    Ok(all)
}
