//! `sigma-exp data slice`: texts of one's own into contexts.

use anyhow::{Result, bail};
use sigma_data::blocks::{slice, write_blocks};
use sigma_data::documents::read_documents;
use sigma_data::{DataError, Tokenizer};

use super::output::Output;
use crate::assets::fetch_tokenizer;
use crate::cli;
use crate::hub::Hub;

pub fn execute(hub: Hub, arguments: &cli::Slice) -> Result<()> {
    let cli::Slice { texts, out, context_tokens, max_contexts, .. } = arguments;
    let output = Output::new(out, arguments.force)?;
    let tokenizer = Tokenizer::load(&fetch_tokenizer(hub, &arguments.tokenizer)?)?;
    let (text_column, id_column) = (arguments.text_column.as_deref(), arguments.id_column.as_deref());
    let mut documents = Vec::new();
    let mut places = std::collections::HashMap::new();
    for path in texts {
        for document in read_documents(path, text_column, id_column).map_err(DataError::for_options)? {
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
    let blocks = slice(&documents, &tokenizer, *context_tokens, *max_contexts)?;
    output.write(|path| write_blocks(path, &blocks))?;
    tracing::info!(
        "{}: {} contexts of {context_tokens} tokens from {} documents",
        out.display(),
        blocks.len(),
        documents.len()
    );
    Ok(())
}
