//! What the config.json of a BERT, or of a network that differs from it in little, says: keys and defaults of each
//! family in Hugging Face's names, and what of it is implemented.

use std::path::Path;

use serde_json::{Value, json};

use crate::ModelError;
use crate::families::config_file::{ConfigFile, Unknown};
use crate::spec::Activation;

/// The families by `model_type`.
pub const FAMILIES: [&str; 6] = ["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet"];

/// Keys that change nothing in the states of the last layer.
const HARMLESS: [&str; 17] = [
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "directionality",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "attention_dropout",
    "dropout",
    "qa_dropout",
    "seq_classif_dropout",
    "tie_weights_",
    "tie_word_embeddings",
];

/// How tensors are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    Bert,
    DistilBert,
    MpNet,
}

#[derive(Debug, Clone)]
pub struct BertConfig {
    pub naming: Naming,
    /// Before the names of tensors in files of whole models.
    pub prefix: &'static str,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub hidden_act: Activation,
    /// Rows of the table of positions.
    pub max_position_embeddings: usize,
    /// None in families without types.
    pub type_vocab_size: Option<usize>,
    pub layer_norm_eps: f64,
    /// RoBERTa's count of positions: from the one behind the pad token's id, and that token has this id's position.
    pub padding_position: Option<u32>,
    /// Buckets of distances in MPNet's attention.
    pub relative_buckets: Option<usize>,
}

impl BertConfig {
    /// Reads the file, and refuses what would be computed wrongly or not at all.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let mut keys = ConfigFile::load(folder)?;
        let model_type = keys.value("model_type").unwrap_or(Value::Null);
        let config = match model_type.as_str() {
            Some("distilbert") => Self::distilbert(&mut keys)?,
            Some("mpnet") => Self::mpnet(&mut keys)?,
            Some(family) => Self::of_bert_or_roberta(&mut keys, family)?,
            None => return keys.refuse("model_type", &model_type, "it must name the family of the model"),
        };
        keys.only("is_decoder", &[json!(false)], "the tokens of an encoder see each other")?;
        let rule = "only learned absolute positions (absolute) are implemented";
        keys.only("position_embedding_type", &[json!("absolute"), Value::Null], rule)?;
        keys.ignore(&HARMLESS);
        keys.finish(Unknown::Refuse)?;
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let key = if config.naming == Naming::DistilBert { "n_heads" } else { "num_attention_heads" };
            let remedy = format!("it must divide the width of the states, which is {}", config.hidden_size);
            return keys.refuse(key, &json!(config.num_attention_heads), &remedy);
        }
        if config.capacity() == 0 {
            let value = json!(config.max_position_embeddings);
            return keys.refuse("max_position_embeddings", &value, "no position is left behind that of the pad token");
        }
        Ok(config)
    }

    fn of_bert_or_roberta(keys: &mut ConfigFile, family: &str) -> Result<Self, ModelError> {
        let is_bert = family == "bert";
        let (vocabulary, padding) = if is_bert { (30_522, None) } else { (50_265, Some(1)) };
        Ok(Self {
            naming: Naming::Bert,
            prefix: if is_bert { "bert." } else { "roberta." },
            type_vocab_size: Some(keys.size("type_vocab_size", 2)?),
            padding_position: if is_bert { None } else { padding_position(keys, padding)? },
            relative_buckets: None,
            ..Self::common(keys, vocabulary)?
        })
    }

    fn mpnet(keys: &mut ConfigFile) -> Result<Self, ModelError> {
        keys.only("relative_attention_num_buckets", &[json!(32)], "transformers computes with 32 whatever it is")?;
        // the class does not look at pad_token_id
        let padding_position = Some(1);
        Ok(Self { padding_position, relative_buckets: Some(32), ..Self::common(keys, 30_527)? })
    }

    /// What BERT, RoBERTa and MPNet share; of the rest, MPNet's.
    fn common(keys: &mut ConfigFile, vocabulary: usize) -> Result<Self, ModelError> {
        Ok(Self {
            naming: Naming::MpNet,
            prefix: "mpnet.",
            vocab_size: keys.size("vocab_size", vocabulary)?,
            hidden_size: keys.size("hidden_size", 768)?,
            num_hidden_layers: keys.layers("num_hidden_layers", 12)?,
            num_attention_heads: keys.size("num_attention_heads", 12)?,
            intermediate_size: keys.size("intermediate_size", 3072)?,
            hidden_act: activation(keys, "hidden_act")?,
            max_position_embeddings: keys.size("max_position_embeddings", 512)?,
            type_vocab_size: None,
            layer_norm_eps: keys.number("layer_norm_eps", 1e-12)?,
            padding_position: None,
            relative_buckets: None,
        })
    }

    fn distilbert(keys: &mut ConfigFile) -> Result<Self, ModelError> {
        // the table of positions is in the file either way
        keys.only("sinusoidal_pos_embds", &[json!(false), json!(true)], "it must be true or false")?;
        Ok(Self {
            naming: Naming::DistilBert,
            prefix: "distilbert.",
            vocab_size: keys.size("vocab_size", 30_522)?,
            hidden_size: keys.size("dim", 768)?,
            num_hidden_layers: keys.layers("n_layers", 6)?,
            num_attention_heads: keys.size("n_heads", 12)?,
            intermediate_size: keys.size("hidden_dim", 3072)?,
            hidden_act: activation(keys, "activation")?,
            max_position_embeddings: keys.size("max_position_embeddings", 512)?,
            type_vocab_size: None,
            layer_norm_eps: 1e-12,
            padding_position: None,
            relative_buckets: None,
        })
    }

    /// Tokens that a text may have.
    pub fn capacity(&self) -> usize {
        let behind = self.padding_position.map_or(0, |padding| padding as usize + 1);
        self.max_position_embeddings.saturating_sub(behind)
    }

    /// The position of each token of a text.
    pub fn positions(&self, row: &[u32]) -> Vec<u32> {
        let Some(padding) = self.padding_position else { return (0..row.len() as u32).collect() };
        let mut before = padding;
        let position = |id: &u32| {
            if *id == padding {
                return padding;
            }
            before += 1;
            before
        };
        row.iter().map(position).collect()
    }
}

/// `pad_token_id`, which is a row of the table of positions too.
fn padding_position(keys: &mut ConfigFile, default: Option<u32>) -> Result<Option<u32>, ModelError> {
    let value = keys.value("pad_token_id");
    let id = match &value {
        None => default,
        Some(value) => value.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id < u32::MAX / 2),
    };
    match id {
        Some(id) => Ok(Some(id)),
        None => keys.refuse(
            "pad_token_id",
            &value.unwrap_or(Value::Null),
            "positions are counted from it, so it must be an id",
        ),
    }
}

fn activation(keys: &mut ConfigFile, key: &str) -> Result<Activation, ModelError> {
    match keys.activation(key, Activation::Gelu)? {
        Activation::Silu => {
            let value = keys.value(key).unwrap_or(Value::Null);
            keys.refuse(key, &value, "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast and relu are implemented")
        }
        known => Ok(known),
    }
}
