//! The tensors of a GGUF file under Hugging Face's names, one after another, as f32 in one safetensors file. Never more
//! than one of them is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::Content;
use serde::Serialize;

use super::config::ModelConfig;
use super::header::Header;
use super::rope_factors::Llama3Scaling;
use super::{FETCH_AGAIN, TAKE_FOLDER, damaged, refuse};
use crate::ModelError;

/// Divisors of the rotation's frequencies.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// One tensor of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    /// Hugging Face's name.
    name: String,
    /// GGUF's.
    source: String,
    shape: Vec<u64>,
    /// Whose rows lie in pairs, of so many heads.
    paired_heads: Option<u64>,
}

impl Planned {
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// All tensors of the model in the order of their names, each of which the file has in the right shape, and nothing
/// besides.
pub(super) fn plan(path: &Path, config: &ModelConfig, header: &Header) -> Result<Vec<Planned>, ModelError> {
    let layers = config.num_hidden_layers;
    if layers.saturating_mul(9) > header.tensors.len() as u64 {
        let problem = format!("is {layers}, but the file has only {} tensors", header.tensors.len());
        return Err(refuse(path, &format!("{}.block_count", config.architecture), problem, FETCH_AGAIN));
    }
    let mut planned = whole_model(config);
    for layer in 0..layers {
        planned.extend(one_layer(config, layer));
    }
    planned.sort_by(|a, b| a.name.cmp(&b.name));
    for Planned { source, shape, .. } in &planned {
        let Some(found) = header.tensors.get(source) else {
            return Err(refuse(path, source, "is missing", FETCH_AGAIN));
        };
        if found.shape != *shape {
            let problem = format!("has the shape {:?}, but the metadata ask for {shape:?}", found.shape);
            return Err(refuse(path, source, problem, FETCH_AGAIN));
        }
    }
    let known: BTreeSet<&str> = planned.iter().map(|planned| planned.source.as_str()).collect();
    let factors = |name: &str| name == ROPE_FACTORS && config.family.name == "llama";
    match header.tensors.keys().find(|name| !known.contains(name.as_str()) && !factors(name)) {
        Some(unknown) => {
            let problem = format!("is no tensor of a model of the architecture {}", config.architecture);
            Err(refuse(path, unknown, problem, TAKE_FOLDER))
        }
        None => Ok(planned),
    }
}

fn whole_model(config: &ModelConfig) -> Vec<Planned> {
    let whole = |name: &str, source: &str, shape: Vec<u64>| Planned {
        name: name.to_string(),
        source: source.to_string(),
        shape,
        paired_heads: None,
    };
    let (vocabulary, d) = (config.vocab_size, config.hidden_size);
    let mut planned = vec![
        whole("model.embed_tokens.weight", "token_embd.weight", vec![vocabulary, d]),
        whole("model.norm.weight", "output_norm.weight", vec![d]),
    ];
    if !config.tied {
        planned.push(whole("lm_head.weight", "output.weight", vec![vocabulary, d]));
    }
    planned
}

fn one_layer(config: &ModelConfig, layer: u64) -> Vec<Planned> {
    let (d, f, head_dim) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
    // saturated, it is no shape of the file
    let (queries, keys) = (heads.saturating_mul(head_dim), kv_heads.saturating_mul(head_dim));
    let paired = |heads| config.family.permuted.then_some(heads);
    let part = |name: &str, source: &str, shape: Vec<u64>, paired_heads: Option<u64>| Planned {
        name: format!("model.layers.{layer}.{name}"),
        source: format!("blk.{layer}.{source}"),
        shape,
        paired_heads,
    };
    let mut planned = vec![
        part("input_layernorm.weight", "attn_norm.weight", vec![d], None),
        part("post_attention_layernorm.weight", "ffn_norm.weight", vec![d], None),
        part("self_attn.q_proj.weight", "attn_q.weight", vec![queries, d], paired(heads)),
        part("self_attn.k_proj.weight", "attn_k.weight", vec![keys, d], paired(kv_heads)),
        part("self_attn.v_proj.weight", "attn_v.weight", vec![keys, d], None),
        part("self_attn.o_proj.weight", "attn_output.weight", vec![d, queries], None),
        part("mlp.gate_proj.weight", "ffn_gate.weight", vec![f, d], None),
        part("mlp.up_proj.weight", "ffn_up.weight", vec![f, d], None),
        part("mlp.down_proj.weight", "ffn_down.weight", vec![d, f], None),
    ];
    if config.family.biases {
        planned.push(part("self_attn.q_proj.bias", "attn_q.bias", vec![queries], None));
        planned.push(part("self_attn.k_proj.bias", "attn_k.bias", vec![keys], None));
        planned.push(part("self_attn.v_proj.bias", "attn_v.bias", vec![keys], None));
    }
    if config.family.head_norms {
        planned.push(part("self_attn.q_norm.weight", "attn_q_norm.weight", vec![head_dim], None));
        planned.push(part("self_attn.k_norm.weight", "attn_k_norm.weight", vec![head_dim], None));
    }
    planned
}

/// The scaling of the rotation that the file's divisors stand for.
pub(super) fn scaling(
    file: &Path,
    config: &ModelConfig,
    content: &Content,
    reader: &mut File,
) -> Result<Option<Llama3Scaling>, ModelError> {
    if !content.tensor_infos.contains_key(ROPE_FACTORS) {
        return Ok(None);
    }
    let divisors = values(file, content, reader, ROPE_FACTORS)?;
    if divisors.len() as u64 == config.head_dim / 2
        && let Some(scaling) = Llama3Scaling::recognise(&divisors, config.rope_theta)
    {
        return Ok(Some(scaling));
    }
    Err(refuse(file, ROPE_FACTORS, "does not hold the divisors of Llama 3's rotation", TAKE_FOLDER))
}

/// Writes the planned tensors to `target`.
pub(super) fn write(
    planned: &[Planned],
    file: &Path,
    content: &Content,
    reader: &mut File,
    target: &Path,
) -> Result<(), ModelError> {
    let io = |source| ModelError::Io { path: target.to_path_buf(), source };
    let mut out = BufWriter::new(File::create(target).map_err(io)?);
    write_header(&mut out, planned).map_err(io)?;
    for Planned { source, paired_heads, .. } in planned {
        let mut tensor = values(file, content, reader, source)?;
        if let Some(heads) = paired_heads {
            tensor = halves(&tensor, *heads as usize, content.tensor_infos[source].shape.dims()[0]);
        }
        tensor.iter().try_for_each(|value| out.write_all(&value.to_le_bytes())).map_err(io)?;
    }
    out.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
}

/// An entry of safetensors' header, in the order in which its library writes the fields.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Metadata { format: &'static str },
    Tensor { dtype: &'static str, shape: &'a [u64], data_offsets: [u64; 2] },
}

/// safetensors' header: its length, then JSON that says where each tensor is.
fn write_header(out: &mut impl Write, planned: &[Planned]) -> io::Result<()> {
    let mut header = BTreeMap::from([("__metadata__", Entry::Metadata { format: "pt" })]);
    let mut start = 0;
    for Planned { name, shape, .. } in planned {
        let end = start + shape.iter().product::<u64>() * size_of::<f32>() as u64;
        header.insert(name, Entry::Tensor { dtype: "F32", shape, data_offsets: [start, end] });
        start = end;
    }
    let mut json = serde_json::to_vec(&header)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    out.write_all(&(json.len() as u64).to_le_bytes())?;
    out.write_all(&json)
}

/// The elements of a tensor, checked to be finite.
fn values(file: &Path, content: &Content, reader: &mut File, name: &str) -> Result<Vec<f32>, ModelError> {
    let read = content.tensor(reader, name, &Device::Cpu).and_then(|tensor| tensor.dequantize(&Device::Cpu));
    let values = read.and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>()).map_err(|e| damaged(file, &e))?;
    if let Some(element) = values.iter().position(|value| !value.is_finite()) {
        return Err(ModelError::NotFinite { path: file.to_path_buf(), name: name.to_string(), element });
    }
    Ok(values)
}

/// Rows of each head from the order 0, h, 1, h + 1, ... (pairs side by side) to 0, 1, ... (first halves, then second
/// halves), where h is half a head.
fn halves(tensor: &[f32], heads: usize, rows: usize) -> Vec<f32> {
    let (width, half) = (tensor.len() / rows, rows / heads / 2);
    let mut ordered = Vec::with_capacity(tensor.len());
    for head in 0..heads {
        for side in 0..2 {
            for pair in 0..half {
                let row = (head * half + pair) * 2 + side;
                ordered.extend_from_slice(&tensor[row * width..(row + 1) * width]);
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_lie_side_by_side_become_halves_head_by_head() {
        // two heads of four rows of one element, numbered as they are stored
        let stored: Vec<f32> = (0..8u8).map(f32::from).collect();
        assert_eq!(halves(&stored, 2, 8), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
