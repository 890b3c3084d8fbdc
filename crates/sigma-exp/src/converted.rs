//! GGUF files as sources: each is converted once, into a cache beside the hub's, under the hash of its bytes. What is
//! in the folder is `sigma_model::gguf`'s business.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sigma_data::hash::hash_file;
use sigma_model::gguf;

use crate::whole_folder;

/// Goes up when a conversion writes something else than before.
const VERSION: &str = "1";

/// Whether `path` is a file that can only be meant as GGUF.
pub fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gguf") && path.is_file()
}

/// The folder of the model of `file`, which is made if it is not there.
pub fn folder_of(file: &Path) -> Result<PathBuf> {
    let cache = cache(|name| std::env::var_os(name))?;
    let folder = cache.join(VERSION).join(hash_file(file)?);
    if folder.is_dir() {
        return Ok(folder);
    }
    tracing::info!("{}: converting it into {}", file.display(), folder.display());
    let unmade = || format!("{} cannot be made", folder.display());
    let partial = folder.with_extension(format!("{}.partial", std::process::id()));
    fs::create_dir_all(&partial).with_context(unmade)?;
    let appeared =
        gguf::convert(file, &partial).map_err(Into::into).and_then(|_| whole_folder::appear(&partial, &folder));
    if appeared.is_err() {
        // what is not whole is of no use, and neither is the news that it cannot be removed
        let _ = fs::remove_dir_all(&partial);
    }
    match appeared {
        // another process was faster; folders appear whole
        Err(_) if folder.is_dir() => Ok(folder),
        appeared => appeared.map(|()| folder),
    }
}

/// Where Hugging Face's programs keep what can be made again.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HF_HOME")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("huggingface")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/huggingface")));
    match home {
        Some(home) => Ok(home.join("sigma-exp/gguf")),
        None => bail!(
            "there is no place for a converted GGUF file: set HOME or HF_HOME, or make a folder yourself with \
             `sigma-exp convert` and name that"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_kept_beside_the_cache_of_the_hub() {
        let of = |set: &'static [(&str, &str)]| {
            cache(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))).ok()
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(of(&[("HF_HOME", "/a"), ("HOME", "/b")]), path("/a/sigma-exp/gguf"));
        assert_eq!(of(&[("HF_HOME", ""), ("XDG_CACHE_HOME", "/c")]), path("/c/huggingface/sigma-exp/gguf"));
        assert_eq!(of(&[("HOME", "/b")]), path("/b/.cache/huggingface/sigma-exp/gguf"));
        assert_eq!(of(&[]), None);
    }
}
