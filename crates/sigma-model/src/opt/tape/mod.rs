//! OPT made of candle's differentiable tensor operations: slow and obvious. It trains and decodes on CUDA and in half
//! precision, and is the oracle of the CPU code in `super::host`. Weights that are trained are f32; products run in
//! `compute` precision, while the residual stream, norms, softmax and loss stay in f32, as under PyTorch's autocast.
//!
//! Legend: B batch, T time, D hidden size, V vocabulary.

mod cache;
mod layer;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use sigma_kernels::cached_attention::Columns;
use sigma_kernels::{attention, cross_entropy, embedding, layer_norm, linear};

pub(super) use cache::TapeCache;

use super::config::POSITION_OFFSET;
use super::{Dropout, NORM_EPS, OptConfig};
use layer::{Layer, Norm};

/// Parameters by their Hugging Face names, and the same tensors arranged for computing.
#[derive(Debug, Clone)]
pub struct Tape {
    config: OptConfig,
    parameters: BTreeMap<String, Tensor>,
    compute: DType,
    embed_tokens: Tensor,
    /// The tied LM head, in `compute` precision where that was prepared by [`Tape::for_inference`].
    head: Tensor,
    embed_positions: Tensor,
    project_in: Option<Tensor>,
    project_out: Option<Tensor>,
    layers: Vec<Layer>,
    final_layer_norm: Option<Norm>,
}

impl Tape {
    /// A model over `parameters`, which must hold exactly what [`OptConfig::parameters`] lists.
    pub(super) fn new(config: OptConfig, parameters: BTreeMap<String, Tensor>, compute: DType) -> Result<Self> {
        let get = |name: &str| match parameters.get(&format!("model.decoder.{name}")) {
            Some(tensor) => Ok(tensor.clone()),
            None => candle_core::bail!("parameter model.decoder.{name} is missing"),
        };
        let projected = config.embedding_width() != config.hidden_size;
        let norm = |name: &str| -> Result<Norm> {
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
                .collect::<Result<_>>()?,
            final_layer_norm: if config.has_final_layer_norm() { Some(norm("final_layer_norm")?) } else { None },
            config,
            parameters,
            compute,
        })
    }

    /// A copy whose parameters are f32 variables.
    pub(super) fn trainable(&self) -> Result<(Self, Vec<(String, Var)>)> {
        let mut variables = Vec::new();
        let mut parameters = BTreeMap::new();
        for (name, tensor) in &self.parameters {
            let variable = Var::from_tensor(&tensor.detach().to_dtype(DType::F32)?.copy()?)?;
            parameters.insert(name.clone(), variable.as_tensor().clone());
            variables.push((name.clone(), variable));
        }
        Ok((Self::new(self.config.clone(), parameters, self.compute)?, variables))
    }

    /// The same weights outside of any gradient bookkeeping, cast once to the precision of the products.
    pub(super) fn for_inference(&self) -> Result<Self> {
        let parameters = self.parameters.iter().map(|(name, t)| (name.clone(), t.detach())).collect();
        let mut model = Self::new(self.config.clone(), parameters, self.compute)?;
        if self.compute != DType::F32 {
            model.head = model.head.to_dtype(self.compute)?;
            for layer in &mut model.layers {
                layer.cast(self.compute)?;
            }
        }
        Ok(model)
    }

    pub(super) fn config(&self) -> &OptConfig {
        &self.config
    }

    pub(super) fn device(&self) -> &Device {
        self.embed_tokens.device()
    }

    pub(super) fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    /// Mean next-token cross-entropy, a differentiable scalar in f32; see [`super::HostTraining::loss_and_gradients`] for the arguments.
    pub fn loss(
        &self,
        inputs: &[u32],
        labels: &[u32],
        batch: usize,
        dropout: Option<Dropout<'_>>,
    ) -> std::result::Result<Tensor, crate::ModelError> {
        let time = inputs.len() / batch.max(1);
        let positions: Vec<u32> = (0..inputs.len()).map(|i| (i % time.max(1)) as u32).collect();
        self.config.check_ids(inputs)?;
        self.config.check_length(time)?;
        let heads = self.config.num_attention_heads;
        let mask = attention::causal_mask(time, self.device())?;
        let attend = |_: usize, q: &Tensor, k: &Tensor, v: &Tensor| attention::reference(q, k, v, heads, &mask);
        let hidden = self.hidden(inputs, &positions, batch, attend, dropout)?;
        let hidden = hidden.reshape((inputs.len(), self.config.embedding_width()))?.to_dtype(self.compute)?;
        Ok(cross_entropy::reference(&hidden, &self.head, labels)?)
    }

    /// Last hidden states `[B, T, width]` (f32) of rows padded on the right to the same length; `lens` are the real
    /// lengths. What stands at padded places has no meaning.
    pub(super) fn hidden_states(&self, inputs: &[u32], lens: &[usize]) -> Result<Tensor> {
        let time = inputs.len() / lens.len().max(1);
        let positions: Vec<u32> = (0..inputs.len()).map(|i| (i % time.max(1)) as u32).collect();
        let columns = Columns { prompt_lens: lens, prompt_columns: time, first: 0 };
        let heads = self.config.num_attention_heads;
        let mask = columns.mask(time, self.device())?;
        let attend = |_: usize, q: &Tensor, k: &Tensor, v: &Tensor| attention::reference(q, k, v, heads, &mask);
        self.hidden(inputs, &positions, lens.len(), attend, None)
    }

    /// Hidden states `[B, T, width]` of new tokens at `positions` (row by row), which are appended to `cache`.
    pub(super) fn extend(&self, tokens: &[u32], positions: &[u32], cache: &mut TapeCache) -> Result<Tensor> {
        let heads = self.config.num_attention_heads;
        let rows = cache.rows();
        let mask = cache.mask(tokens.len() / rows.max(1), self.device())?;
        let attend = |layer: usize, q: &Tensor, k: &Tensor, v: &Tensor| cache.attend(layer, q, k, v, heads, &mask);
        let hidden = self.hidden(tokens, positions, rows, attend, None)?;
        cache.advance(tokens.len() / rows.max(1));
        Ok(hidden)
    }

    /// Logits in f32.
    pub(super) fn head(&self, hidden: &Tensor) -> Result<Tensor> {
        linear::reference(&hidden.to_dtype(self.compute)?, &self.head, None)?.to_dtype(DType::F32)
    }

    /// The stack of layers: ids and positions `[B * T]` to hidden states `[B, T, width]`, f32. `attend` gets the layer's
    /// number and q, k, v `[B, T, D]`.
    fn hidden(
        &self,
        ids: &[u32],
        positions: &[u32],
        batch: usize,
        mut attend: impl FnMut(usize, &Tensor, &Tensor, &Tensor) -> Result<Tensor>,
        mut dropout: Option<Dropout<'_>>,
    ) -> Result<Tensor> {
        let shape = (batch, ids.len() / batch.max(1), ());
        let tokens = embedding::reference(&self.embed_tokens, ids, Some(self.config.pad_token_id))?.reshape(shape)?;
        let rows: Vec<u32> = positions.iter().map(|p| p + POSITION_OFFSET as u32).collect();
        let positions = embedding::reference(&self.embed_positions, &rows, None)?.reshape(shape)?;
        let project = |x: Tensor, weight: &Option<Tensor>| match weight {
            Some(weight) => linear::reference(&x.to_dtype(self.compute)?, weight, None)?.to_dtype(DType::F32),
            None => Ok(x),
        };
        let mut x = (project(tokens, &self.project_in)? + positions)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, self.compute, |q, k, v| attend(i, q, k, v), &mut dropout)?;
        }
        if let Some(norm) = &self.final_layer_norm {
            x = layer_norm::reference(&x, &norm.weight, &norm.bias, NORM_EPS)?;
        }
        project(x, &self.project_out)
    }
}
