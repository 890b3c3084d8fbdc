//! The families of decoders, one file each: what a family's config.json means as a [`DecoderSpec`], and which of its
//! tensors go where.
//! A family that is not in [`FAMILIES`] is refused by name, and so is every key that would change what is computed and
//! is not read.

pub(crate) mod config_file;
mod gated_rms;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod llama;
mod mistral;
mod olmo2;
mod opt;
mod place;
mod qwen2;
mod qwen3;
mod rope_keys;
mod rope_write;
mod smollm3;
mod windows;

use std::path::Path;

use serde_json::{Map, Value, json};

pub use config_file::ConfigFile;
pub(crate) use config_file::Unknown;
pub(crate) use place::Place;

use crate::ModelError;
use crate::spec::{DecoderSpec, Slot, SpecialTokens};

/// What is known of a family.
#[derive(Debug)]
pub struct Family {
    /// As config.json names it.
    pub model_type: &'static str,
    /// transformers' class with a head.
    pub architecture: &'static str,
    /// Before the names of all tensors but the head's; files of models without a head lack it.
    pub(crate) prefix: &'static str,
    /// Whether the class in transformers has long been finished, so that a key which it does not know changes nothing:
    /// a warning names it, where other families refuse it.
    pub(crate) closed: bool,
    /// Endings of tensors that are no parameters: masks and frequencies of old files.
    pub(crate) buffers: &'static [&'static str],
    spec: fn(&mut ConfigFile) -> Result<DecoderSpec, ModelError>,
    /// Says the spec's rotary positions in a config.json as transformers 4 and 5 each read them.
    pub(crate) write_rope: fn(&DecoderSpec, &mut Map<String, Value>),
    /// Where a parameter stands in the files; `None` for what the family does not have.
    pub(crate) place: fn(Slot) -> Option<Place>,
}

pub const FAMILIES: [&Family; 11] = [
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gpt2::FAMILY,
    &gpt_neox::FAMILY,
    &llama::FAMILY,
    &mistral::FAMILY,
    &olmo2::FAMILY,
    &opt::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &smollm3::FAMILY,
];

impl Family {
    /// The family of `folder/config.json`, what it computes, and all that the file says.
    ///
    /// # Errors
    /// A file that cannot be read, a family that is not known, or the first key whose value is not supported.
    pub fn read(folder: &Path) -> Result<(&'static Self, DecoderSpec, ConfigFile), ModelError> {
        Self::of(ConfigFile::load(folder)?)
    }

    /// The same of a config that has been read.
    pub(crate) fn of(mut config: ConfigFile) -> Result<(&'static Self, DecoderSpec, ConfigFile), ModelError> {
        let model_type = config.value("model_type").unwrap_or(Value::Null);
        let Some(family) = FAMILIES.into_iter().find(|family| model_type.as_str() == Some(family.model_type)) else {
            let known: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
            return config.refuse("model_type", &model_type, &format!("the families are {}", known.join(", ")));
        };
        let mut spec = (family.spec)(&mut config)?;
        config.finish(if family.closed { Unknown::Warn } else { Unknown::Refuse })?;
        check(&config, &mut spec)?;
        Ok((family, spec, config))
    }
}

/// The config.json of an OPT, of which every key was read or is known to change nothing, and its special tokens.
pub(crate) fn opt_config(folder: &Path) -> Result<(ConfigFile, SpecialTokens), ModelError> {
    let mut config = ConfigFile::load(folder)?;
    if let Some(other) = config.value("model_type").filter(|value| value != "opt") {
        return config.refuse("model_type", &other, "the language model must be of the OPT family");
    }
    let spec = opt::spec(&mut config)?;
    config.finish(Unknown::Warn)?;
    Ok((config, spec.special_tokens))
}

/// OPT's spec, and the name of each of its parameters in a file.
pub(crate) fn opt(config: Map<String, Value>) -> Result<(DecoderSpec, Vec<(Slot, String)>), ModelError> {
    let spec = opt::spec(&mut ConfigFile::in_memory(config))?;
    let named = |(slot, _): (Slot, Vec<usize>)| opt::place(slot).map(|place| (slot, place.name));
    let names = spec.parameters().into_iter().filter_map(named).collect();
    Ok((spec, names))
}

/// What no family may say.
fn check(config: &ConfigFile, spec: &mut DecoderSpec) -> Result<(), ModelError> {
    let attention = &spec.attention;
    if !attention.n_heads.is_multiple_of(attention.n_kv_heads) {
        let value = json!(attention.n_kv_heads);
        let remedy = format!("it must divide the {} heads of queries", attention.n_heads);
        return config.refuse("num_key_value_heads", &value, &remedy);
    }
    spec.padding_row = spec.padding_row.filter(|row| (*row as usize) < spec.vocab_size);
    Ok(())
}

/// The width of a head that no key gives.
fn derived_head_dim(config: &ConfigFile, hidden: (&str, usize), heads: (&str, usize)) -> Result<usize, ModelError> {
    if hidden.1.is_multiple_of(heads.1) {
        return Ok(hidden.1 / heads.1);
    }
    config.refuse(heads.0, &json!(heads.1), &format!("it must divide `{}`, which is {}", hidden.0, hidden.1))
}

/// Special tokens under the keys of all families.
fn special_tokens(config: &mut ConfigFile, default: &SpecialTokens) -> Result<SpecialTokens, ModelError> {
    let one = |id: &Option<u32>| id.map_or(Vec::new(), |id| vec![id]);
    Ok(SpecialTokens {
        bos: config.token_ids("bos_token_id", &one(&default.bos))?.first().copied(),
        eos: config.token_ids("eos_token_id", &default.eos)?,
        pad: config.token_ids("pad_token_id", &one(&default.pad))?.first().copied(),
    })
}
