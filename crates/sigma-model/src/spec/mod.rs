//! What a decoder computes, whichever family it is of: the axes on which families differ, and the parameters that
//! follow from them.
//! It knows nothing of config files, weight files or arithmetic.

mod rope;
mod slot;

pub use rope::{Rope, RopeScaling};
pub use slot::{Part, Slot};

/// A decoder-only transformer. Names are those of Hugging Face where it has one name for the thing.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSpec {
    pub vocab_size: usize,
    pub hidden_size: usize,
    /// Of tokens; where it differs from `hidden_size`, projections lead in and out.
    pub embedding_width: usize,
    pub embedding_scale: f64,
    /// A row of the token table whose lookups take no gradient, as torch's `padding_idx`.
    pub padding_row: Option<u32>,
    pub max_positions: usize,
    /// Learned positions, added to the embeddings; the first is this row of their table.
    pub position_table: Option<PositionTable>,
    pub norm: Norm,
    pub norm_place: NormPlace,
    pub final_norm: bool,
    pub residual: Residual,
    pub attention: Attention,
    pub mlp: Mlp,
    pub layers: Vec<Layer>,
    /// Logits l become cap * tanh(l / cap).
    pub final_logit_cap: Option<f64>,
    /// The head is the token table.
    pub tied: bool,
    pub dropout: DropoutRates,
    /// What config.json says of them; nothing here computes with them.
    pub special_tokens: SpecialTokens,
    /// Standard deviation of fresh weights.
    pub init_std: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionTable {
    /// Rows before the first position.
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    pub kind: NormKind,
    pub eps: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Weight and bias, the mean is subtracted.
    Layer,
    /// Weight alone, over the root of the mean square.
    Rms,
    /// The same with 1 + weight.
    RmsOnePlus,
}

/// Where the norms of a branch f of the residual stream x stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlace {
    /// x + f(N x)
    Before,
    /// x + N(f x)
    AfterBranch,
    /// x + N'(f(N x))
    BothSides,
    /// N(x + f x)
    AfterSum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// The MLP reads what attention has added to.
    Sequential,
    /// Attention and MLP read the same x.
    Parallel,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    pub n_heads: usize,
    /// Query head j reads head j * n_kv_heads / n_heads of keys and values.
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub qkv_bias: bool,
    pub o_bias: bool,
    pub qk_norm: QkNorm,
    /// Scores s become cap * tanh(s / cap), before the mask.
    pub score_cap: Option<f64>,
}

/// A norm on queries and keys before their rotation, of the kind of the other norms, without bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    None,
    /// One weight of head_dim for all heads.
    PerHead,
    /// Over all heads of a token together.
    WholeRow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mlp {
    pub width: usize,
    /// down(act(gate x) * up x) instead of down(act(up x)).
    pub gated: bool,
    pub activation: Activation,
    pub bias: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Relu,
    /// x * sigmoid(x)
    Silu,
    /// With the error function.
    Gelu,
    GeluTanh,
}

/// What may differ from layer to layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Rotary positions, if this layer has any.
    pub rope: Option<Rope>,
    /// A token sees itself and the `window - 1` before it.
    pub window: Option<usize>,
    /// Factor on the products of queries and keys.
    pub score_scale: f64,
}

/// Dropout in the places where a family has it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DropoutRates {
    /// Of token embeddings with their positions.
    pub embedding: Option<f64>,
    /// Of what a branch adds to the residual stream.
    pub residual: Option<f64>,
    /// Of attention probabilities.
    pub attention: Option<f64>,
}

impl DropoutRates {
    /// With `p` in each place, if it is given.
    pub fn with(self, p: Option<f64>) -> Self {
        let rate = |own: Option<f64>| own.map(|own| p.unwrap_or(own));
        Self { embedding: rate(self.embedding), residual: rate(self.residual), attention: rate(self.attention) }
    }

    pub fn is_none(&self) -> bool {
        [self.embedding, self.residual, self.attention].into_iter().flatten().all(|p| p == 0.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpecialTokens {
    pub bos: Option<u32>,
    /// A text ends at any of them.
    pub eos: Vec<u32>,
    pub pad: Option<u32>,
}

impl DecoderSpec {
    /// Every parameter with its shape; products are `[out, in]`. In the order of a forward pass.
    pub fn parameters(&self) -> Vec<(Slot, Vec<usize>)> {
        let Self { hidden_size: d, embedding_width: width, attention, mlp, .. } = *self;
        let (q, kv) = (attention.n_heads * attention.head_dim, attention.n_kv_heads * attention.head_dim);
        let mut all = vec![(Slot::weight(None, Part::EmbedTokens), vec![self.vocab_size, width])];
        if let Some(PositionTable { offset }) = self.position_table {
            all.push((Slot::weight(None, Part::EmbedPositions), vec![self.max_positions + offset, d]));
        }
        if width != d {
            all.push((Slot::weight(None, Part::ProjectIn), vec![d, width]));
        }
        for layer in 0..self.layers.len() {
            let mut add = |part, shape: &[usize], bias: bool| {
                all.push((Slot::weight(Some(layer), part), shape.to_vec()));
                if bias {
                    all.push((Slot::bias(Some(layer), part), vec![shape[0]]));
                }
            };
            let norm_bias = self.norm.kind == NormKind::Layer;
            let first = self.norm_place != NormPlace::AfterBranch;
            let second = matches!(self.norm_place, NormPlace::AfterBranch | NormPlace::BothSides);
            if first {
                add(Part::AttentionNorm, &[d], norm_bias);
            }
            add(Part::Q, &[q, d], attention.qkv_bias);
            add(Part::K, &[kv, d], attention.qkv_bias);
            add(Part::V, &[kv, d], attention.qkv_bias);
            match attention.qk_norm {
                QkNorm::None => {}
                QkNorm::PerHead => {
                    add(Part::QNorm, &[attention.head_dim], false);
                    add(Part::KNorm, &[attention.head_dim], false);
                }
                QkNorm::WholeRow => {
                    add(Part::QNorm, &[q], false);
                    add(Part::KNorm, &[kv], false);
                }
            }
            add(Part::O, &[d, q], attention.o_bias);
            if second {
                add(Part::AttentionPostNorm, &[d], norm_bias);
            }
            if first {
                add(Part::MlpNorm, &[d], norm_bias);
            }
            if mlp.gated {
                add(Part::Gate, &[mlp.width, d], mlp.bias);
            }
            add(Part::Up, &[mlp.width, d], mlp.bias);
            add(Part::Down, &[d, mlp.width], mlp.bias);
            if second {
                add(Part::MlpPostNorm, &[d], norm_bias);
            }
        }
        if self.final_norm {
            all.push((Slot::weight(None, Part::FinalNorm), vec![d]));
            if self.norm.kind == NormKind::Layer {
                all.push((Slot::bias(None, Part::FinalNorm), vec![d]));
            }
        }
        if width != d {
            all.push((Slot::weight(None, Part::ProjectOut), vec![width, d]));
        }
        if !self.tied {
            all.push((Slot::weight(None, Part::Head), vec![self.vocab_size, width]));
        }
        all
    }

    /// How many numbers the parameters are.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}
