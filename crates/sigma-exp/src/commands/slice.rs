//! `sigma-exp data slice`: texts of one's own into contexts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sigma_data::Tokenizer;
use sigma_data::blocks::{slice, write_blocks};
use sigma_data::documents::read_documents;

use crate::assets::fetch_tokenizer;
use crate::hub::Hub;

pub fn execute(
    hub: Hub,
    texts: &[PathBuf],
    tokenizer: &str,
    out: &Path,
    context_tokens: usize,
    max_contexts: Option<usize>,
    (text_column, id_column): (Option<&str>, Option<&str>),
) -> Result<()> {
    let tokenizer = Tokenizer::load(&fetch_tokenizer(hub, tokenizer)?)?;
    let mut documents = Vec::new();
    let mut places = std::collections::HashMap::new();
    for path in texts {
        for document in read_documents(path, text_column, id_column)? {
            if let Some(other) = places.insert(document.id.clone(), path) {
                bail!(
                    "document id `{}` is in {} and in {}; ids must be unique over all files",
                    document.id,
                    other.display(),
                    path.display()
                );
            }
            documents.push(document);
        }
    }
    let blocks = slice(&documents, &tokenizer, context_tokens, max_contexts)?;
    write_blocks(out, &blocks).with_context(|| format!("{} can not be written", out.display()))?;
    tracing::info!(
        "{}: {} contexts of {context_tokens} tokens from {} documents",
        out.display(),
        blocks.len(),
        documents.len()
    );
    Ok(())
}
