//! The places of a decoder that parameters go to. Families translate the names of their files into these.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    EmbedTokens,
    EmbedPositions,
    ProjectIn,
    AttentionNorm,
    Q,
    K,
    V,
    QNorm,
    KNorm,
    O,
    AttentionPostNorm,
    MlpNorm,
    Gate,
    Up,
    Down,
    MlpPostNorm,
    FinalNorm,
    ProjectOut,
    Head,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::EmbedTokens => "embed_tokens",
            Self::EmbedPositions => "embed_positions",
            Self::ProjectIn => "project_in",
            Self::AttentionNorm => "attention_norm",
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::QNorm => "q_norm",
            Self::KNorm => "k_norm",
            Self::O => "o_proj",
            Self::AttentionPostNorm => "attention_post_norm",
            Self::MlpNorm => "mlp_norm",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
            Self::MlpPostNorm => "mlp_post_norm",
            Self::FinalNorm => "norm",
            Self::ProjectOut => "project_out",
            Self::Head => "lm_head",
        }
    }

    /// Whether it scales a normalized row.
    pub fn is_norm(self) -> bool {
        use Part::{AttentionNorm, AttentionPostNorm, FinalNorm, KNorm, MlpNorm, MlpPostNorm, QNorm};
        matches!(self, AttentionNorm | AttentionPostNorm | FinalNorm | KNorm | MlpNorm | MlpPostNorm | QNorm)
    }
}

/// One parameter. Its text is its name in our own files: `layers.3.q_proj.weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub layer: Option<usize>,
    pub part: Part,
    pub is_bias: bool,
}

impl Slot {
    pub fn weight(layer: Option<usize>, part: Part) -> Self {
        Self { layer, part, is_bias: false }
    }

    pub fn bias(layer: Option<usize>, part: Part) -> Self {
        Self { layer, part, is_bias: true }
    }

    /// `weight` or `bias`.
    pub fn kind(&self) -> &'static str {
        if self.is_bias { "bias" } else { "weight" }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "layers.{layer}.")?;
        }
        write!(f, "{}.{}", self.part.name(), self.kind())
    }
}
