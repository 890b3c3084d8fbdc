//! Documents of a corpus, from JSON Lines, CSV, plain text, a folder of plain text, or Parquet. Everything is checked
//! here, so that later stages can rely on unique ids and texts that hold something; cutting into contexts is done in
//! `blocks`.

pub(crate) mod json_lines;
pub(crate) mod parquet;
pub(crate) mod plain_text;
pub(crate) mod table;

use std::path::Path;
use std::sync::Arc;

use crate::error::DataError;
use crate::limits::{Budget, Limits};
use crate::place::Place;
use crate::records::{Repeated, check_id, check_text, repeated};

/// What [`read_documents`] takes, for messages.
const SUPPORTED: &str =
    ".jsonl, .json (one object a line), .csv, .tsv, .txt, .md, .parquet, or a folder of .txt and .md files";

/// One text of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub id: String,
    pub text: String,
}

/// A document as a file gives it, before the checks that need to see all of them.
pub(crate) struct RawDocument {
    pub(crate) place: Place,
    pub(crate) id: Option<String>,
    /// Only where [`Columns::bucket`] asks for it.
    pub(crate) bucket: Option<String>,
    /// Which of the answers to one prompt it is, where it is an answer.
    pub(crate) response: Option<u32>,
    pub(crate) text: String,
}

/// Bytes of a document beside its texts: itself as it is read and as it is kept, in lists that grow, and what each text
/// takes at least.
const RECORD: u64 = 320;

impl RawDocument {
    /// Refuses a text that is too long, and one document too many for the file's memory.
    pub(crate) fn pay(&self, memory: &mut Budget<'_>) -> Result<(), DataError> {
        Limits::in_force().check_text(self.text.len(), &self.place)?;
        let more = [&self.id, &self.bucket].into_iter().flatten().map(String::len).sum::<usize>() + self.text.len();
        memory.take(RECORD + more as u64, "what its records hold")
    }
}

/// Which fields or columns hold what. A named id must be there; the default one may be missing from a whole file.
pub(crate) struct Columns<'a> {
    pub(crate) text: &'a str,
    pub(crate) id: &'a str,
    pub(crate) id_required: bool,
    /// The bucket of a prompt, and whether each must have one. Documents of a corpus have none.
    pub(crate) bucket: Option<(&'a str, bool)>,
}

/// Reads a corpus in file order, a folder in the order of its file names. The extension decides how; `text_column` and
/// `id_column` rename the fields `text` and `id`. Where no record has an id, and `id_column` names none, documents are
/// numbered `<file stem>-000001`, ...
pub fn read_documents(
    path: &Path,
    text_column: Option<&str>,
    id_column: Option<&str>,
) -> Result<Vec<Document>, DataError> {
    check(read_raw(path, text_column, id_column)?)
}

/// Texts that are to be measured, whoever wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// At least one.
    pub texts: Vec<String>,
    /// The names of those that hold nothing but white space, and are left out: a model may answer so.
    pub without_words: Vec<String>,
}

/// The texts of what [`read_documents`] reads, and of answers: several to one prompt, numbered by `response`, share its
/// id.
pub fn read_texts(path: &Path, text_column: Option<&str>) -> Result<Texts, DataError> {
    let raw = read_raw(path, text_column, None)?;
    let taken = Taken::of_answers(&raw);
    let (mut texts, mut without_words) = (Vec::new(), Vec::new());
    for (number, RawDocument { place, id, response, text, .. }) in raw.into_iter().enumerate() {
        let mut id = id.unwrap_or_default();
        if let Some(response) = response {
            id = format!("{id}, response {response}");
        }
        taken.check(number, &id, &place)?;
        if text.trim().is_empty() {
            without_words.push(id);
        } else {
            check_text(&id, &text, &place)?;
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "texts with a word" });
    }
    Ok(Texts { texts, without_words })
}

fn read_raw(path: &Path, text_column: Option<&str>, id_column: Option<&str>) -> Result<Vec<RawDocument>, DataError> {
    let columns = Columns {
        text: text_column.unwrap_or("text"),
        id: id_column.unwrap_or("id"),
        id_required: id_column.is_some(),
        bucket: None,
    };
    let metadata = std::fs::metadata(path).map_err(DataError::read(path))?;
    let shared: Arc<Path> = path.into();
    let raw = if metadata.is_dir() {
        plain_text::read_folder(path)?
    } else {
        match extension(path).as_str() {
            "jsonl" | "json" => json_lines::read(path, &columns)?,
            "txt" | "md" => vec![plain_text::read_file(path)?],
            "parquet" => parquet::read(&shared, &columns)?,
            "csv" => table::read(path, b',', &columns)?,
            "tsv" => table::read(path, b'\t', &columns)?,
            other => return Err(unknown_format(path, other, SUPPORTED)),
        }
    };
    if raw.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "documents" });
    }
    numbered(raw, path)
}

/// Gives ids where no document has one.
pub(crate) fn numbered(mut raw: Vec<RawDocument>, path: &Path) -> Result<Vec<RawDocument>, DataError> {
    let without = raw.iter().find(|document| document.id.is_none());
    let with = raw.iter().find(|document| document.id.is_some());
    if let (Some(without), Some(with)) = (without, with) {
        return Err(DataError::MissingId { place: without.place.clone(), other: with.place.clone() });
    }
    let stem = stem(path);
    for (document, number) in raw.iter_mut().zip(1..) {
        document.id.get_or_insert_with(|| format!("{stem}-{number:06}"));
    }
    Ok(raw)
}

fn check(raw: Vec<RawDocument>) -> Result<Vec<Document>, DataError> {
    let repeated = Taken::of(&raw);
    let document = |(number, RawDocument { place, id, text, .. }): (usize, RawDocument)| {
        let id = id.unwrap_or_default();
        repeated.check(number, &id, &place)?;
        check_text(&id, &text, &place)?;
        Ok(Document { id, text })
    };
    raw.into_iter().enumerate().map(document).collect()
}

/// Which document of a file is the first whose id is taken, and by which.
pub(crate) struct Taken(Option<(usize, Place)>);

impl Taken {
    pub(crate) fn of(raw: &[RawDocument]) -> Self {
        Self::by(raw, |document| document.id.as_deref())
    }

    /// The same of answers, whose id is their prompt's: their number tells them from each other.
    fn of_answers(raw: &[RawDocument]) -> Self {
        Self::by(raw, |document| (document.id.as_deref(), document.response))
    }

    fn by<'a, K: Ord>(raw: &'a [RawDocument], key: impl Fn(&'a RawDocument) -> K) -> Self {
        let found = repeated(raw, key);
        Self(found.map(|Repeated { again, first }| (again, raw[first].place.clone())))
    }

    /// Refuses document `number` by its id.
    pub(crate) fn check(&self, number: usize, id: &str, place: &Place) -> Result<(), DataError> {
        check_id(id, place)?;
        match &self.0 {
            Some((again, first)) if *again == number => {
                Err(DataError::DuplicateId { place: place.clone(), id: id.to_string(), first: first.clone() })
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(crate) fn unknown_format(path: &Path, extension: &str, supported: &'static str) -> DataError {
    DataError::UnknownFormat { path: path.to_path_buf(), extension: extension.to_string(), supported }
}
