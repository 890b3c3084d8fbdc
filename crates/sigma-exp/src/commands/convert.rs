//! `sigma-exp convert`: a GGUF file becomes a Hugging Face folder.

use anyhow::Result;
use sigma_model::gguf;

use super::output::ModelFolder;
use crate::cli;

pub fn execute(arguments: &cli::Convert) -> Result<()> {
    let cli::Convert { file, out, force } = arguments;
    let folder = ModelFolder::new(out, *force)?;
    let mut converted = None;
    folder.write(|partial| {
        converted = Some(gguf::convert(file, partial)?);
        Ok(())
    })?;
    if let Some(gguf::Converted { architecture, tensors, parameters, types }) = converted {
        let types: Vec<String> = types.iter().map(|(name, count)| format!("{count} of {name}")).collect();
        tracing::info!(
            "{}: {architecture}, {parameters} parameters in {tensors} tensors ({}), as float32",
            out.display(),
            types.join(", ")
        );
    }
    Ok(())
}
