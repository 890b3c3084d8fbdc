//! What can stop text generation.

use sigma_model::ModelError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    #[error("{section}.{field} is {value}; {rule}")]
    Config { section: &'static str, field: &'static str, value: f64, rule: &'static str },
    #[error(
        "prompt `{id}` has {prompt} tokens; with {new} new ones it exceeds the model's {max} positions: shorten the \
         prompt or ask for fewer tokens"
    )]
    TooLong { id: String, prompt: usize, new: usize, max: usize },
    #[error("prompt `{id}` has no tokens")]
    EmptyPrompt { id: String },
    #[error(
        "the model gives NaN or no probability at all for token {position} after prompt `{id}`: its weights are damaged"
    )]
    Logits { id: String, position: usize },
    #[error(
        "the model's texts end at any of the tokens {ends:?} (eos_token_id), but on a GPU at one only: generate on the \
         CPU (--device cpu), or leave one of them in config.json and generation_config.json"
    )]
    Ends { ends: Vec<u32> },
    #[error("generation was interrupted after {finished} of {total} texts")]
    Interrupted { finished: usize, total: usize },
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<candle_core::Error> for GenerateError {
    fn from(error: candle_core::Error) -> Self {
        GenerateError::Model(ModelError::Tensor(error))
    }
}
