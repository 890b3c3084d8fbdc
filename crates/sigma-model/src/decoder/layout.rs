//! Where each parameter of a decoder lies in one flat buffer. What one product multiplies lies in one piece: queries,
//! keys and values of a layer, and gate and up of its MLP. Values are not known here.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::spec::{DecoderSpec, Part, Slot};

/// A matrix `[outputs, inputs]` and its bias.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    pub(super) weight: Range<usize>,
    pub(super) bias: Option<Range<usize>>,
    pub(super) inputs: usize,
}

#[derive(Debug, Clone)]
pub(super) struct NormRange {
    pub(super) weight: Range<usize>,
    /// Behind the weight.
    pub(super) bias: Option<Range<usize>>,
}

#[derive(Debug, Clone)]
pub(super) struct LayerLayout {
    pub(super) attention_norm: Option<NormRange>,
    pub(super) qkv: Matrix,
    pub(super) q_norm: Option<NormRange>,
    pub(super) k_norm: Option<NormRange>,
    pub(super) o: Matrix,
    pub(super) attention_post_norm: Option<NormRange>,
    pub(super) mlp_norm: Option<NormRange>,
    /// Gate and up, where the MLP is gated.
    pub(super) up: Matrix,
    pub(super) down: Matrix,
    pub(super) mlp_post_norm: Option<NormRange>,
}

#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) len: usize,
    /// Every parameter, in the order of the buffer.
    pub(super) slots: Vec<(Slot, Range<usize>, Vec<usize>)>,
    pub(super) embed_tokens: Range<usize>,
    pub(super) embed_positions: Option<Range<usize>>,
    pub(super) layers: Vec<LayerLayout>,
    pub(super) final_norm: Option<NormRange>,
    /// The token table, where the head is tied to it.
    pub(super) head: Range<usize>,
}

/// What lies together: parts of one product share a number.
fn rank(part: Part) -> u8 {
    match part {
        Part::EmbedTokens => 0,
        Part::EmbedPositions => 1,
        Part::ProjectIn => 2,
        Part::AttentionNorm => 3,
        Part::Q | Part::K | Part::V => 4,
        Part::QNorm => 5,
        Part::KNorm => 6,
        Part::O => 7,
        Part::AttentionPostNorm => 8,
        Part::MlpNorm => 9,
        Part::Gate | Part::Up => 10,
        Part::Down => 11,
        Part::MlpPostNorm => 12,
        Part::FinalNorm => 13,
        Part::ProjectOut => 14,
        Part::Head => 15,
    }
}

impl Layout {
    pub(super) fn new(spec: &DecoderSpec) -> Self {
        let layers = spec.layers.len();
        let mut all = spec.parameters();
        let place = |slot: &Slot| match slot.layer {
            Some(layer) => layer + 1,
            None if rank(slot.part) < rank(Part::AttentionNorm) => 0,
            None => layers + 1,
        };
        all.sort_by_key(|(slot, _)| (place(slot), rank(slot.part), slot.is_bias, slot.part));
        let (mut slots, mut ranges, mut len) = (Vec::new(), BTreeMap::new(), 0);
        for (slot, shape) in all {
            let end = len + shape.iter().product::<usize>();
            ranges.insert(slot, len..end);
            slots.push((slot, len..end, shape));
            len = end;
        }
        let range = |slot: Slot| ranges.get(&slot).cloned();
        let weight = |layer, part| range(Slot::weight(layer, part)).unwrap_or_default();
        let norm = |layer, part| {
            let bias = range(Slot::bias(layer, part));
            range(Slot::weight(layer, part)).map(|weight| NormRange { weight, bias })
        };
        let matrix = |layer, first, last, inputs| {
            let bias = range(Slot::bias(layer, first)).zip(range(Slot::bias(layer, last)));
            Matrix {
                weight: weight(layer, first).start..weight(layer, last).end,
                bias: bias.map(|(first, last)| first.start..last.end),
                inputs,
            }
        };
        let (d, wide) = (spec.hidden_size, spec.attention.n_heads * spec.attention.head_dim);
        let first = if spec.mlp.gated { Part::Gate } else { Part::Up };
        let layer = |layer| LayerLayout {
            attention_norm: norm(layer, Part::AttentionNorm),
            qkv: matrix(layer, Part::Q, Part::V, d),
            q_norm: norm(layer, Part::QNorm),
            k_norm: norm(layer, Part::KNorm),
            o: matrix(layer, Part::O, Part::O, wide),
            attention_post_norm: norm(layer, Part::AttentionPostNorm),
            mlp_norm: norm(layer, Part::MlpNorm),
            up: matrix(layer, first, Part::Up, d),
            down: matrix(layer, Part::Down, Part::Down, spec.mlp.width),
            mlp_post_norm: norm(layer, Part::MlpPostNorm),
        };
        let embed_tokens = weight(None, Part::EmbedTokens);
        Self {
            len,
            head: range(Slot::weight(None, Part::Head)).unwrap_or_else(|| embed_tokens.clone()),
            embed_positions: range(Slot::weight(None, Part::EmbedPositions)),
            layers: (0..layers).map(Some).map(layer).collect(),
            final_norm: norm(None, Part::FinalNorm),
            embed_tokens,
            slots,
        }
    }

    /// Every matrix that a product of the layers or the head multiplies with.
    pub(super) fn matrices(&self, spec: &DecoderSpec) -> Vec<Matrix> {
        let of = |layer: &LayerLayout| [&layer.qkv, &layer.o, &layer.up, &layer.down].map(Matrix::clone);
        let mut all: Vec<Matrix> = self.layers.iter().flat_map(of).collect();
        all.push(self.head_matrix(spec));
        all
    }

    pub(super) fn head_matrix(&self, spec: &DecoderSpec) -> Matrix {
        Matrix { weight: self.head.clone(), bias: None, inputs: spec.embedding_width }
    }
}
