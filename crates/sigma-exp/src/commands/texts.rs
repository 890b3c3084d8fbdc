//! Texts of a user's own, as `metrics` and `embed` take them. What is done with them is not known here.

use std::path::Path;

use anyhow::Result;
use sigma_data::DataError;
use sigma_data::documents::read_texts;

/// Names of texts that a message repeats.
const MOST_NAMES: usize = 10;

/// All texts of a file that hold a word; says on stderr how many others there are, and which.
pub(super) fn read(path: &Path, text_column: Option<&str>) -> Result<Vec<String>> {
    let read = read_texts(path, text_column).map_err(DataError::for_options)?;
    let (left, all) = (read.without_words.len(), read.texts.len() + read.without_words.len());
    if left > 0 {
        let more = if left > MOST_NAMES { " ..." } else { "" };
        let names = read.without_words.iter().take(MOST_NAMES).map(|name| format!("`{name}`"));
        tracing::warn!(
            "{}: {left} of {all} texts hold nothing but white space and are left out: {}{more}",
            path.display(),
            names.collect::<Vec<_>>().join(", ")
        );
    }
    Ok(read.texts)
}
