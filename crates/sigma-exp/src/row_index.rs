//! `rows.csv` of a generation: which answer each row of embeddings.npy is of, and whether it is observed. It knows no
//! numbers.

use std::path::Path;

use anyhow::{Context, Result, bail};
use sigma_data::answers::Answer;
use sigma_report::run_files;

use crate::stage::EmbeddedBlock;

const HEADER: [&str; 6] = ["row", "prompt", "response", "window", "bucket", "observed"];

/// One row of embeddings.npy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOrigin {
    /// Id of the prompt.
    pub prompt: String,
    pub response: u32,
    pub window: usize,
    pub observed: bool,
}

pub fn write(path: &Path, answers: &[Answer], blocks: &[EmbeddedBlock]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(HEADER)?;
    for (row, EmbeddedBlock { answer, window, observed }) in blocks.iter().enumerate() {
        let Answer { id, response, bucket, .. } = &answers[*answer];
        let [row, window, observed] = [row, *window, usize::from(*observed)].map(|number| number.to_string());
        csv.write_record([&row, id, &response.to_string(), &window, bucket, &observed])?;
    }
    let bytes = csv.into_inner().map_err(|error| error.into_error())?;
    Ok(run_files::replace(path, bytes)?)
}

pub fn read(path: &Path) -> Result<Vec<RowOrigin>> {
    let unread = || format!("{} cannot be read", path.display());
    let mut csv = csv::Reader::from_path(path).with_context(unread)?;
    if csv.headers().with_context(unread)?.iter().ne(HEADER) {
        bail!("{} has other columns than {}", path.display(), HEADER.join(", "));
    }
    let origin = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.with_context(unread)?;
        let of = |column: usize| record.get(column).unwrap_or_default();
        let line = record.position().map_or(0, csv::Position::line);
        let broken = || format!("{}:{line}: `response` or `window` is not a number", path.display());
        Ok(RowOrigin {
            prompt: of(1).to_string(),
            response: of(2).parse().with_context(broken)?,
            window: of(3).parse().with_context(broken)?,
            observed: of(5) == "1",
        })
    };
    csv.records().map(origin).collect()
}
