//! Answers of a model to the prompt bank as they are stored, and the windows they are cut into before they are
//! embedded.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::jsonl;
use crate::records::{Repeated, check_id, repeated, string_or_integer};

/// One answer to one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The id of the prompt.
    #[serde(deserialize_with = "string_or_integer")]
    pub id: String,
    pub bucket: String,
    /// Which of the answers to this prompt it is, from 0.
    #[serde(default)]
    pub response: u32,
    /// The decoded tokens. Empty when the model stopped at once, which is an answer too.
    pub text: String,
    /// What was sampled, without the eos that ended it.
    pub tokens: Vec<u32>,
    pub finish_reason: FinishReason,
    /// The key of the random stream that the answer was sampled with.
    pub seed: String,
}

impl Answer {
    /// Whether it holds no word: not one letter or digit.
    pub fn is_empty(&self) -> bool {
        !self.text.contains(char::is_alphanumeric)
    }

    /// What stands for it wherever one name is needed, as in keys of random streams. No two answers of a file share it,
    /// because ids hold no control characters.
    pub fn key(&self) -> String {
        response_key(&self.id, self.response)
    }
}

/// The name of answer number `response` to the prompt `id`: see [`Answer::key`].
pub fn response_key(id: &str, response: u32) -> String {
    format!("{id}\n{response}")
}

/// Why sampling stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Eos,
    Length,
}

pub fn read_answers(path: &Path) -> Result<Vec<Answer>, DataError> {
    let read = jsonl::read_lines::<Answer>(path)?;
    let repeated = repeated(&read, |(_, answer)| (&answer.id, answer.response));
    for (number, (place, answer)) in read.iter().enumerate() {
        check_id(&answer.id, place)?;
        if let Some(Repeated { first, .. }) = repeated.as_ref().filter(|repeated| repeated.again == number) {
            let id = format!("{}, response {}", answer.id, answer.response);
            return Err(DataError::DuplicateId { place: place.clone(), id, first: read[*first].0.clone() });
        }
    }
    if read.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "answers" });
    }
    Ok(read.into_iter().map(|(_, answer)| answer).collect())
}

pub fn write_answers(path: &Path, answers: &[Answer]) -> Result<(), DataError> {
    jsonl::write_jsonl(path, answers)
}

/// The windows of `window` tokens that start at 0, `stride`, 2 `stride`, ... and fit. Tokens that are fewer than one
/// window give one shorter window, and no tokens give none: at 64 / 48, 256 tokens make 5 windows, 255 make 4, 64 and
/// 10 make 1, 0 make 0.
pub fn windows(tokens: &[u32], window: usize, stride: usize) -> Vec<&[u32]> {
    assert!(window > 0 && stride > 0, "a window of {window} tokens every {stride} covers nothing");
    if tokens.is_empty() {
        return Vec::new();
    }
    if tokens.len() < window {
        return vec![tokens];
    }
    (0..=tokens.len() - window).step_by(stride).map(|start| &tokens[start..start + window]).collect()
}
