//! The `regeneration` and `evaluation` sections of a config. Defaults are the paper's protocol.

use serde::{Deserialize, Serialize};

use crate::{GenerateError, Nucleus};

/// How the synthetic pool is written: one continuation per real context, as long as a context, eos suppressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegenerationConfig {
    /// 0 means greedy.
    pub temperature: f64,
    /// The smallest set of most probable tokens whose mass reaches this is kept, the token that crosses it included.
    pub top_p: f64,
    /// Rows that are decoded together; by default 64 on the CPU, and on a GPU all texts in rounds of equal size, of up to 1,024. Does
    /// not change the text on the CPU; on a GPU another number may change last bits, and with them a text.
    pub batch_size: Option<usize>,
}

impl Default for RegenerationConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 0.95, batch_size: None }
    }
}

/// How the prompt bank is answered, and how answers are cut into embedded blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    pub temperature: f64,
    pub top_p: f64,
    /// An answer ends at eos or after this many tokens.
    pub max_new_tokens: usize,
    /// Tokens per embedded block.
    pub window_tokens: usize,
    /// Distance between the starts of two blocks.
    pub stride_tokens: usize,
    pub batch_size: Option<usize>,
    /// Further evaluations of the base checkpoint, each under another evaluation seed: their spread is the noise floor of
    /// every drift. 0 makes none.
    pub noise_replicates: u32,
    /// Also measure the perplexity of each model on real text that it is not trained on, and that of its answers under the base.
    pub perplexity: bool,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 0.95,
            max_new_tokens: 256,
            window_tokens: 64,
            stride_tokens: 48,
            batch_size: None,
            noise_replicates: 8,
            perplexity: false,
        }
    }
}

impl RegenerationConfig {
    pub fn nucleus(&self) -> Result<Nucleus, GenerateError> {
        check_batch("regeneration", self.batch_size)?;
        Nucleus::new("regeneration", self.temperature, self.top_p)
    }
}

impl EvaluationConfig {
    pub fn nucleus(&self) -> Result<Nucleus, GenerateError> {
        check_batch("evaluation", self.batch_size)?;
        for (field, count) in [
            ("max_new_tokens", self.max_new_tokens),
            ("window_tokens", self.window_tokens),
            ("stride_tokens", self.stride_tokens),
        ] {
            if count == 0 {
                let rule = "it must be at least 1";
                return Err(GenerateError::Config { section: "evaluation", field, value: 0.0, rule });
            }
        }
        Nucleus::new("evaluation", self.temperature, self.top_p)
    }
}

fn check_batch(section: &'static str, batch_size: Option<usize>) -> Result<(), GenerateError> {
    if batch_size == Some(0) {
        let rule = "it must be at least 1 (leave it out for a default)";
        return Err(GenerateError::Config { section, field: "batch_size", value: 0.0, rule });
    }
    Ok(())
}
