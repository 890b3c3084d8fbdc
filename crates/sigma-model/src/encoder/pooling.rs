//! How the states of a text's tokens become one row: the modes of sentence-transformers, one or several side by side.
//! Where the states come from is not known here.

use std::path::Path;

use serde_json::{Value, json};

use crate::ModelError;
use crate::families::config_file::ConfigFile;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The first token that counts.
    Cls,
    Max,
    Mean,
    MeanSqrtLen,
    /// The i-th token, from 1, counts i times.
    WeightedMean,
    LastToken,
}

/// Modes by their names in `pooling_mode`, and by the older key of each, in the order in which rows stand side by side.
const MODES: [(&str, &str, Mode); 6] = [
    ("cls", "pooling_mode_cls_token", Mode::Cls),
    ("max", "pooling_mode_max_tokens", Mode::Max),
    ("mean", "pooling_mode_mean_tokens", Mode::Mean),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", Mode::MeanSqrtLen),
    ("weightedmean", "pooling_mode_weightedmean_tokens", Mode::WeightedMean),
    ("lasttoken", "pooling_mode_lasttoken", Mode::LastToken),
];

#[derive(Debug, Clone)]
pub(super) struct Pooling {
    modes: Vec<Mode>,
    /// Whether the prompt's tokens count.
    pub(super) include_prompt: bool,
    /// Of a token's state.
    pub(super) width: usize,
}

impl Pooling {
    /// The mean of all tokens, where no file says otherwise.
    pub(super) fn mean(width: usize) -> Self {
        Self { modes: vec![Mode::Mean], include_prompt: true, width }
    }

    /// Reads the config.json of a Pooling in either spelling.
    pub(super) fn read(path: &Path) -> Result<Self, ModelError> {
        let mut keys = ConfigFile::read(path.to_path_buf())?;
        let old = keys.size_or_null("word_embedding_dimension", None)?;
        let Some(width) = keys.size_or_null("embedding_dimension", old)? else {
            let remedy = "it must be the width of the transformer's states";
            return keys.refuse("embedding_dimension", &Value::Null, remedy);
        };
        let include_prompt = keys.flag("include_prompt", true)?;
        let mut modes = Vec::new();
        for (_, key, mode) in MODES {
            if keys.flag(key, false)? {
                modes.push(mode);
            }
        }
        if let Some(value) = keys.some("pooling_mode") {
            modes = named(&keys, &value)?;
        }
        keys.finish_with(&[])?;
        if modes.is_empty() {
            modes.push(Mode::Mean);
        }
        Ok(Self { modes, include_prompt, width })
    }

    /// Whether rows are plain means of all tokens, for which a GPU has a kernel.
    pub(super) fn is_plain_mean(&self) -> bool {
        self.modes == [Mode::Mean]
    }

    pub(super) fn output_width(&self) -> usize {
        self.modes.len() * self.width
    }

    /// The rows of several texts, whose states lie one after another.
    pub(super) fn rows(&self, texts: &[&[u32]], states: &[f32], skipped: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(texts.len() * self.output_width());
        let mut rest = states;
        for text in texts {
            let (states, others) = rest.split_at(text.len() * self.width);
            rows.extend(self.row(states, skipped));
            rest = others;
        }
        rows
    }

    /// The row of one text's states `[T, width]`, of which the first `skipped` do not count; zeros if none counts.
    pub(super) fn row(&self, states: &[f32], skipped: usize) -> Vec<f32> {
        let width = self.width;
        let counting = states.get(skipped * width..).unwrap_or_default();
        let count = counting.len() / width;
        let mut row = Vec::with_capacity(self.output_width());
        for mode in &self.modes {
            match mode {
                // as the reference does, the first token stands in where none counts
                Mode::Cls => row.extend(counting.get(..width).or(states.get(..width)).unwrap_or(&vec![0.0; width])),
                Mode::LastToken => {
                    row.extend(counting.rchunks_exact(width).next().unwrap_or(&vec![0.0; width]));
                }
                Mode::Max if count == 0 => row.extend(std::iter::repeat_n(0.0, width)),
                Mode::Max => {
                    let mut most = vec![f32::NEG_INFINITY; width];
                    for state in counting.chunks_exact(width) {
                        most.iter_mut().zip(state).for_each(|(most, x)| *most = most.max(*x));
                    }
                    row.extend(most);
                }
                Mode::Mean => row.extend(sums(counting, width, |_| 1.0).iter().map(|x| (x / of(count)) as f32)),
                Mode::MeanSqrtLen => {
                    row.extend(sums(counting, width, |_| 1.0).iter().map(|x| (x / of(count).sqrt()) as f32));
                }
                Mode::WeightedMean => {
                    let weight = |i: usize| (skipped + i + 1) as f64;
                    let total: f64 = (0..count).map(weight).sum::<f64>().max(1e-9);
                    row.extend(sums(counting, width, weight).iter().map(|x| (x / total) as f32));
                }
            }
        }
        row
    }
}

/// At least 1, so that nothing is divided by zero.
fn of(count: usize) -> f64 {
    count.max(1) as f64
}

fn sums(states: &[f32], width: usize, weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0f64; width];
    for (i, state) in states.chunks_exact(width).enumerate() {
        let weight = weight(i);
        sums.iter_mut().zip(state).for_each(|(sum, x)| *sum += weight * f64::from(*x));
    }
    sums
}

/// The modes of `pooling_mode`: one name, or a list of them.
fn named(keys: &ConfigFile, value: &Value) -> Result<Vec<Mode>, ModelError> {
    let list = match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mode = |name: &Value| MODES.iter().find(|(mode, ..)| json!(mode) == *name).map(|(.., mode)| *mode);
    match list.iter().map(mode).collect::<Option<Vec<_>>>() {
        Some(modes) if (1..=MODES.len()).contains(&modes.len()) => Ok(modes),
        _ => {
            let names = MODES.map(|(name, ..)| name).join(", ");
            keys.refuse("pooling_mode", value, &format!("it must be one or several of {names}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_counts_the_tokens_behind_the_prompt() {
        let states = [9.0, 9.0, 1.0, -4.0, 3.0, 2.0];
        let pooling = |modes: &[Mode]| Pooling { modes: modes.to_vec(), include_prompt: false, width: 2 };
        let row = |mode, skipped| pooling(&[mode]).row(&states, skipped);
        assert_eq!(row(Mode::Cls, 0), [9.0, 9.0]);
        assert_eq!(row(Mode::Cls, 1), [1.0, -4.0]);
        assert_eq!(row(Mode::Max, 1), [3.0, 2.0]);
        assert_eq!(row(Mode::Mean, 1), [2.0, -1.0]);
        assert_eq!(row(Mode::LastToken, 1), [3.0, 2.0]);
        let root = 2f64.sqrt();
        assert_eq!(row(Mode::MeanSqrtLen, 1), [(4.0 / root) as f32, (-2.0 / root) as f32]);
        assert_eq!(row(Mode::WeightedMean, 1), [11.0 / 5.0, -2.0 / 5.0]);
        assert_eq!(pooling(&[Mode::Mean, Mode::Max]).row(&states, 1), [2.0, -1.0, 3.0, 2.0]);
        for mode in [Mode::Max, Mode::Mean, Mode::MeanSqrtLen, Mode::WeightedMean, Mode::LastToken] {
            assert_eq!(row(mode, 3), [0.0, 0.0], "{mode:?}");
            assert_eq!(pooling(&[mode]).row(&[], 0), [0.0, 0.0], "{mode:?}");
        }
    }
}
