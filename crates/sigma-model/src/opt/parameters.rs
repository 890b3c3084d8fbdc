//! All parameters of an OPT in one buffer, and where each lies in it. The order puts the query, key and value
//! projections of a layer side by side, so that they are one product. It knows nothing of computing or of files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::OptConfig;

/// Places of a weight and its bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Affine {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// Places of one layer's parameters.
#[derive(Debug, Clone)]
pub(super) struct LayerLayout {
    /// Query, key and value projections, stacked: `[3 D, D]`.
    pub(super) qkv: Affine,
    pub(super) out_proj: Affine,
    pub(super) self_attn_layer_norm: Affine,
    pub(super) fc1: Affine,
    pub(super) fc2: Affine,
    pub(super) final_layer_norm: Affine,
}

/// Places of all parameters in the buffer.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) embed_tokens: Range<usize>,
    pub(super) embed_positions: Range<usize>,
    /// `project_in` and `project_out`, where embeddings have another width than the hidden states.
    pub(super) projections: Option<(Range<usize>, Range<usize>)>,
    pub(super) layers: Vec<LayerLayout>,
    pub(super) final_layer_norm: Option<Affine>,
    /// Place and shape of each parameter by its Hugging Face name.
    by_name: BTreeMap<String, (Range<usize>, Vec<usize>)>,
}

impl Layout {
    pub(super) fn new(config: &OptConfig) -> Self {
        let mut shapes: BTreeMap<String, Vec<usize>> = config.parameters().into_iter().collect();
        let (mut by_name, mut len) = (BTreeMap::new(), 0);
        let mut place = |name: &str| -> Range<usize> {
            let name = format!("model.decoder.{name}");
            let shape = shapes.remove(&name).unwrap_or_default();
            // sizes come from a file and may be absurd; that shows when the parameters are asked for
            let range = len..shape.iter().fold(1, |n: usize, size| n.saturating_mul(*size)).saturating_add(len);
            len = range.end;
            by_name.insert(name, (range.clone(), shape));
            range
        };
        let embed_tokens = place("embed_tokens.weight");
        let embed_positions = place("embed_positions.weight");
        let projected = config.embedding_width() != config.hidden_size;
        let projections = projected.then(|| (place("project_in.weight"), place("project_out.weight")));
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let mut qkv = |kind: &str| {
                    let [q, _, v] =
                        ["q", "k", "v"].map(|p| place(&format!("layers.{layer}.self_attn.{p}_proj.{kind}")));
                    q.start..v.end
                };
                let qkv = Affine { weight: qkv("weight"), bias: qkv("bias") };
                let mut affine = |name: &str| Affine {
                    weight: place(&format!("layers.{layer}.{name}.weight")),
                    bias: place(&format!("layers.{layer}.{name}.bias")),
                };
                LayerLayout {
                    qkv,
                    out_proj: affine("self_attn.out_proj"),
                    self_attn_layer_norm: affine("self_attn_layer_norm"),
                    fc1: affine("fc1"),
                    fc2: affine("fc2"),
                    final_layer_norm: affine("final_layer_norm"),
                }
            })
            .collect();
        let final_layer_norm = config
            .has_final_layer_norm()
            .then(|| Affine { weight: place("final_layer_norm.weight"), bias: place("final_layer_norm.bias") });
        Self { embed_tokens, embed_positions, projections, layers, final_layer_norm, by_name }
    }

    /// The norm that makes what sub-block k reads (0: attention of layer 0, 1: its feed-forward part, 2: attention of
    /// layer 1, ...), or what goes into the head where k is the number of sub-blocks. It reads the state k of the
    /// stream; `None` where nothing comes between. `before`: whether norms come before their sub-blocks, or after them.
    pub(super) fn norm(&self, k: usize, before: bool) -> Option<&Affine> {
        let of_sub_block = |j: usize| {
            let layer = self.layers.get(j / 2)?;
            Some(if j.is_multiple_of(2) { &layer.self_attn_layer_norm } else { &layer.final_layer_norm })
        };
        if before { of_sub_block(k).or(self.final_layer_norm.as_ref()) } else { of_sub_block(k.checked_sub(1)?) }
    }
}

/// The parameters of an OPT in CPU memory.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    pub(super) layout: Arc<Layout>,
    pub(super) values: Vec<f32>,
}

impl Parameters {
    /// Takes each parameter's values from `value(name, shape)`, which must return as many as the shape says. Nothing is
    /// allocated for sizes that `value` has not confirmed by then.
    pub(super) fn build<E>(
        config: &OptConfig,
        mut value: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let layout = Layout::new(config);
        let mut in_place: Vec<_> = layout.by_name.iter().collect();
        in_place.sort_by_key(|(_, (range, _))| range.start);
        let mut values = Vec::new();
        for (name, (range, shape)) in in_place {
            values.extend_from_slice(&value(name, shape)?);
            assert!(values.len() == range.end, "{name} has other values than its shape {shape:?} says");
        }
        values.shrink_to_fit();
        Ok(Self { layout: Arc::new(layout), values })
    }

    /// Name, shape and values of every parameter, in the order of names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        named(&self.layout, &self.values)
    }
}

/// Any buffer with the layout of parameters (their gradients, say) cut into name, shape and values, in the order of
/// names.
pub(super) fn named<'a>(
    layout: &'a Layout,
    values: &'a [f32],
) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])> {
    layout.by_name.iter().map(|(name, (range, shape))| (name.as_str(), shape.as_slice(), &values[range.clone()]))
}
