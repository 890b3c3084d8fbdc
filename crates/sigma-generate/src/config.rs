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
    /// Rows that are decoded together; by default 64 on the CPU, and on a GPU all texts in rounds of equal size, of up
    /// to 1,024. Does not change the text on the CPU; on a GPU another number may change last bits, and with them a
    /// text.
    pub batch_size: Option<usize>,
}

impl Default for RegenerationConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 0.95, batch_size: None }
    }
}

/// How the prompt bank is answered, and what of an answer is embedded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// r: answers to each prompt, each with a random stream of its own.
    pub responses_per_prompt: usize,
    pub temperature: f64,
    pub top_p: f64,
    /// An answer ends at eos or after this many tokens.
    pub max_new_tokens: usize,
    pub blocks: Blocks,
    /// Tokens per window; for `blocks: windows` alone, 64 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_tokens: Option<usize>,
    /// Distance between the starts of two windows; for `blocks: windows` alone, 48 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride_tokens: Option<usize>,
    pub empty: Empty,
    /// As in [`RegenerationConfig::batch_size`].
    pub batch_size: Option<usize>,
    /// Further evaluations of the base checkpoint, each under another evaluation seed: their spread is the noise floor
    /// of every drift. 0 makes none.
    pub noise_replicates: u32,
    /// Also measure the perplexity of each model on real text that it is not trained on, and that of its answers under
    /// the base.
    pub perplexity: bool,
}

/// What of an answer becomes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// The answer as a whole, as far as the encoder reads it: one row per answer.
    Whole,
    /// Windows of `window_tokens` tokens, each a row.
    Windows,
}

/// What becomes of an answer without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// It has no row, and is counted.
    Drop,
    /// Its text is embedded like any other.
    Embed,
}

/// How long windows are, and how far apart, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub tokens: usize,
    pub stride: usize,
}

const WINDOWS: Windows = Windows { tokens: 64, stride: 48 };

/// More answers to a prompt, or replicates of the base, are a slip of the keyboard; plans multiply them.
const MOST: usize = 10_000;

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            responses_per_prompt: 5,
            temperature: 1.0,
            top_p: 0.95,
            max_new_tokens: 256,
            blocks: Blocks::Whole,
            window_tokens: None,
            stride_tokens: None,
            empty: Empty::Drop,
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
    /// How answers are cut; `None` where they are embedded whole.
    pub fn windows(&self) -> Option<Windows> {
        let Windows { tokens, stride } = WINDOWS;
        (self.blocks == Blocks::Windows).then(|| Windows {
            tokens: self.window_tokens.unwrap_or(tokens),
            stride: self.stride_tokens.unwrap_or(stride),
        })
    }

    /// The same settings with every default that depends on another key written out.
    pub fn completed(self) -> Self {
        let windows = self.windows();
        Self {
            window_tokens: windows.map(|windows| windows.tokens),
            stride_tokens: windows.map(|windows| windows.stride),
            ..self
        }
    }

    /// Checks every setting of the section.
    pub fn nucleus(&self) -> Result<Nucleus, GenerateError> {
        let section = "evaluation";
        let wrong =
            |field, value: usize, rule| Err(GenerateError::Config { section, field, value: value as f64, rule });
        check_batch(section, self.batch_size)?;
        for (field, count) in [
            ("responses_per_prompt", self.responses_per_prompt),
            ("max_new_tokens", self.max_new_tokens),
            ("window_tokens", self.window_tokens.unwrap_or(1)),
            ("stride_tokens", self.stride_tokens.unwrap_or(1)),
        ] {
            if count == 0 {
                return wrong(field, 0, "it must be at least 1");
            }
        }
        for (field, count) in
            [("responses_per_prompt", self.responses_per_prompt), ("noise_replicates", self.noise_replicates as usize)]
        {
            if count > MOST {
                return wrong(field, count, "it must be at most 10000");
            }
        }
        for (field, given) in [("window_tokens", self.window_tokens), ("stride_tokens", self.stride_tokens)] {
            if let (Blocks::Whole, Some(given)) = (self.blocks, given) {
                return wrong(
                    field,
                    given,
                    "it cuts answers into windows, but `blocks: whole` embeds them whole; leave it out, or say `blocks: windows`",
                );
            }
        }
        Nucleus::new(section, self.temperature, self.top_p)
    }
}

fn check_batch(section: &'static str, batch_size: Option<usize>) -> Result<(), GenerateError> {
    if batch_size == Some(0) {
        let rule = "it must be at least 1 (leave it out for a default)";
        return Err(GenerateError::Config { section, field: "batch_size", value: 0.0, rule });
    }
    Ok(())
}
