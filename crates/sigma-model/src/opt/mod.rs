//! OPT: a decoder-only transformer with learned positions, ReLU, and a head tied to the token embeddings.
//!
//! One implementation serves training and decoding on every device. Weights are f32 (trained ones always); products
//! run in `compute` precision, while the residual stream, norms, softmax and loss stay in f32, as under PyTorch's
//! autocast. Legend: B batch, T time, D hidden size, V vocabulary.

mod cache;
mod config;
mod files;
mod layer;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use sigma_data::seeds::{Seeds, Stage, Stream};
use sigma_kernels::cached_attention::Columns;
use sigma_kernels::{causal_attention, embedding, layer_norm, linear, lm_head_loss};

pub use cache::KvCache;
pub use config::OptConfig;

use crate::ModelError;
use config::POSITION_OFFSET;
use layer::{Layer, Norm};

/// Dropout of one training step: each place in the network draws its own mask key from the stream.
#[derive(Debug)]
pub struct Dropout<'a> {
    pub p: f64,
    pub stream: &'a mut Stream,
}

impl Dropout<'_> {
    fn apply(dropout: &mut Option<Self>, x: &Tensor) -> candle_core::Result<Tensor> {
        match dropout {
            Some(Dropout { p, stream }) => sigma_kernels::dropout(x, *p, stream.next_u64()),
            None => Ok(x.clone()),
        }
    }
}

/// An OPT model: its config, its parameters by their Hugging Face names, and the same tensors arranged for computing.
#[derive(Debug, Clone)]
pub struct Opt {
    config: OptConfig,
    parameters: BTreeMap<String, Tensor>,
    compute: DType,
    embed_tokens: Tensor,
    /// The tied LM head, in `compute` precision where that was prepared by [`Opt::for_inference`].
    head: Tensor,
    embed_positions: Tensor,
    project_in: Option<Tensor>,
    project_out: Option<Tensor>,
    layers: Vec<Layer>,
    final_layer_norm: Option<Norm>,
}

impl Opt {
    /// A model over `parameters`, which must hold exactly what [`OptConfig::parameters`] lists.
    fn new(config: OptConfig, parameters: BTreeMap<String, Tensor>, compute: DType) -> candle_core::Result<Self> {
        let get = |name: &str| match parameters.get(&format!("model.decoder.{name}")) {
            Some(tensor) => Ok(tensor.clone()),
            None => candle_core::bail!("parameter model.decoder.{name} is missing"),
        };
        let projected = config.embedding_width() != config.hidden_size;
        let norm = |name: &str| -> candle_core::Result<Norm> {
            Ok(Norm { weight: get(&format!("{name}.weight"))?, bias: get(&format!("{name}.bias"))? })
        };
        let embed_tokens = get("embed_tokens.weight")?;
        Ok(Self {
            head: embed_tokens.clone(),
            embed_tokens,
            embed_positions: get("embed_positions.weight")?,
            project_in: if projected { Some(get("project_in.weight")?) } else { None },
            project_out: if projected { Some(get("project_out.weight")?) } else { None },
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::new(&config, &|name| get(&format!("layers.{i}.{name}"))))
                .collect::<candle_core::Result<_>>()?,
            final_layer_norm: if config.has_final_layer_norm() { Some(norm("final_layer_norm")?) } else { None },
            config,
            parameters,
            compute,
        })
    }

    /// Fresh weights as transformers makes them: normal(0, init_std) for matrices, zero biases and padding row, unit
    /// norms. Each tensor draws from its own stream, so the result does not depend on order.
    pub fn init(config: OptConfig, seeds: &Seeds, device: &Device) -> Result<Self, ModelError> {
        let mut parameters = BTreeMap::new();
        for (name, shape) in config.parameters() {
            let n = shape.iter().product();
            let mut values = if name.contains("layer_norm.weight") {
                vec![1f32; n]
            } else if name.ends_with(".bias") {
                vec![0f32; n]
            } else {
                let mut stream = seeds.stream(Stage::Init, None, &name);
                (0..n).map(|_| (stream.normal() * config.init_std) as f32).collect()
            };
            if name.ends_with("embed_tokens.weight") {
                let (row, width) = (config.pad_token_id as usize, shape[1]);
                values[row * width..][..width].fill(0.0);
            }
            parameters.insert(name, Tensor::from_vec(values, shape, device)?);
        }
        Ok(Self::new(config, parameters, DType::F32)?)
    }

    /// A copy whose parameters are variables, with its products in `compute` precision.
    pub fn trainable(&self, compute: DType) -> Result<(Self, Vec<(String, Var)>), ModelError> {
        let mut variables = Vec::new();
        let mut parameters = BTreeMap::new();
        for (name, tensor) in &self.parameters {
            let variable = Var::from_tensor(&tensor.detach().to_dtype(DType::F32)?.copy()?)?;
            parameters.insert(name.clone(), variable.as_tensor().clone());
            variables.push((name.clone(), variable));
        }
        Ok((Self::new(self.config.clone(), parameters, compute)?, variables))
    }

    /// The same weights outside of any gradient bookkeeping, products in `compute` precision, cast once.
    pub fn for_inference(&self, compute: DType) -> Result<Self, ModelError> {
        let parameters = self.parameters.iter().map(|(name, t)| (name.clone(), t.detach())).collect();
        let mut model = Self::new(self.config.clone(), parameters, compute)?;
        if compute != DType::F32 {
            model.head = model.head.to_dtype(compute)?;
            for layer in &mut model.layers {
                layer.cast(compute)?;
            }
        }
        Ok(model)
    }

    /// The same model on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self, ModelError> {
        let parameters = self
            .parameters
            .iter()
            .map(|(name, t)| Ok((name.clone(), t.detach().to_device(device)?)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self::new(self.config.clone(), parameters, self.compute)?)
    }

    pub fn config(&self) -> &OptConfig {
        &self.config
    }

    pub fn device(&self) -> &Device {
        self.embed_tokens.device()
    }

    /// Parameters by name, f32.
    pub fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    /// Mean next-token cross-entropy over `batch` sequences: `inputs` and `labels` are `[batch * T]`, row by row,
    /// and `labels[i]` is what should follow `inputs[..=i]` in its row.
    pub fn loss(
        &self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
    ) -> Result<Tensor, ModelError> {
        let time = inputs.len() / batch.max(1);
        let positions: Vec<u32> = (0..inputs.len()).map(|i| (i % time.max(1)) as u32).collect();
        let heads = self.config.num_attention_heads;
        let attend = |_: usize, q: &Tensor, k: &Tensor, v: &Tensor| causal_attention(q, k, v, heads);
        let hidden = self.hidden(inputs, &positions, batch, attend, dropout)?;
        let hidden = hidden.reshape((inputs.len(), self.config.embedding_width()))?.to_dtype(self.compute)?;
        Ok(lm_head_loss(&hidden, &self.head, labels)?)
    }

    /// Logits `[B * T, V]` (f32) of whole sequences of equal length, for comparisons and tests.
    pub fn logits(&self, inputs: &[u32], batch: usize) -> Result<Tensor, ModelError> {
        let time = inputs.len() / batch.max(1);
        let hidden = self.last_hidden_state(inputs, &vec![time; batch])?;
        self.head(&hidden.reshape((inputs.len(), self.config.embedding_width()))?)
    }

    /// Last hidden states `[B, T, width]` (f32) of rows padded on the right to the same length; `lens` are the real
    /// lengths. What stands at padded places has no meaning.
    pub fn last_hidden_state(&self, inputs: &[u32], lens: &[usize]) -> Result<Tensor, ModelError> {
        let time = inputs.len() / lens.len().max(1);
        let positions: Vec<u32> = (0..inputs.len()).map(|i| (i % time.max(1)) as u32).collect();
        let columns = Columns { prompt_lens: lens, prompt_columns: time, first: 0 };
        let heads = self.config.num_attention_heads;
        let attend = |_: usize, q: &Tensor, k: &Tensor, v: &Tensor| {
            sigma_kernels::cached_attention(q, &k.contiguous()?, &v.contiguous()?, heads, columns)
        };
        self.hidden(inputs, &positions, lens.len(), attend, None)
    }

    /// Runs the prompts (row by row, padded on the right with any id) through an empty `cache`, and returns the logits
    /// `[B, V]` after each row's last real token.
    pub fn prefill(&self, prompts: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        let (rows, time) = (cache.rows(), cache.prompt_columns());
        let positions: Vec<u32> = (0..prompts.len()).map(|i| (i % time.max(1)) as u32).collect();
        let hidden = self.extend(prompts, &positions, cache)?;
        let width = self.config.embedding_width();
        let last: Vec<u32> =
            cache.prompt_lens().iter().enumerate().map(|(row, len)| (row * time + len - 1) as u32).collect();
        let last = Tensor::from_vec(last, rows, self.device())?;
        self.head(&hidden.reshape((rows * time, width))?.index_select(&last, 0)?)
    }

    /// Appends one token to each row and returns the logits `[B, V]` that follow it.
    pub fn step(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        let generated = cache.len() - cache.prompt_columns();
        let positions: Vec<u32> = cache.prompt_lens().iter().map(|len| (len + generated) as u32).collect();
        let hidden = self.extend(tokens, &positions, cache)?;
        self.head(&hidden.reshape((tokens.len(), self.config.embedding_width()))?)
    }

    fn extend(&self, tokens: &[u32], positions: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        let heads = self.config.num_attention_heads;
        let rows = cache.rows();
        let attend = |layer: usize, q: &Tensor, k: &Tensor, v: &Tensor| cache.attend(layer, q, k, v, heads);
        let hidden = self.hidden(tokens, positions, rows, attend, None)?;
        cache.advance(tokens.len() / rows.max(1));
        Ok(hidden)
    }

    fn head(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(linear(&hidden.to_dtype(self.compute)?, &self.head, None)?.to_dtype(DType::F32)?)
    }

    /// The stack of layers: ids and positions `[B * T]` to hidden states `[B, T, width]`, f32. `attend` gets the layer's
    /// number and q, k, v `[B, T, D]`.
    fn hidden(
        &self,
        ids: &[u32],
        positions: &[u32],
        batch: usize,
        mut attend: impl FnMut(usize, &Tensor, &Tensor, &Tensor) -> candle_core::Result<Tensor>,
        mut dropout: Option<Dropout<'_>>,
    ) -> Result<Tensor, ModelError> {
        let config = &self.config;
        if let Some(id) = ids.iter().find(|id| **id as usize >= config.vocab_size) {
            return Err(ModelError::TokenId { id: *id, vocabulary: config.vocab_size });
        }
        let needed = positions.iter().max().map_or(0, |p| *p as usize + 1);
        if needed > config.max_position_embeddings {
            return Err(ModelError::TooLong { needed, max: config.max_position_embeddings });
        }
        let shape = (batch, ids.len() / batch.max(1), ());
        let tokens = embedding(&self.embed_tokens, ids, Some(config.pad_token_id))?.reshape(shape)?;
        let rows: Vec<u32> = positions.iter().map(|p| p + POSITION_OFFSET as u32).collect();
        let positions = embedding(&self.embed_positions, &rows, None)?.reshape(shape)?;
        let tokens = match &self.project_in {
            Some(weight) => linear(&tokens.to_dtype(self.compute)?, weight, None)?.to_dtype(DType::F32)?,
            None => tokens,
        };
        let mut x = (tokens + positions)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, self.compute, |q, k, v| attend(i, q, k, v), &mut dropout)?;
        }
        if let Some(norm) = &self.final_layer_norm {
            x = layer_norm(&x, &norm.weight, &norm.bias, layer::NORM_EPS)?;
        }
        if let Some(weight) = &self.project_out {
            x = linear(&x.to_dtype(self.compute)?, weight, None)?.to_dtype(DType::F32)?;
        }
        Ok(x)
    }
}
