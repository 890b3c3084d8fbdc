//! A folder that is there as a whole or not at all: it is built under another name, flushed, and appears by one rename,
//! which is flushed too. It knows nothing of what is in it.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use sigma_report::run_files;

/// Makes `built` appear as `place`, which must not exist.
pub fn appear(built: &Path, place: &Path) -> Result<()> {
    flush(built)?;
    run_files::rename(built, place)?;
    match place.parent() {
        Some(parent) if parent == Path::new("") => sync(Path::new(".")),
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

/// Brings `folder` and everything below it to the disk.
pub fn flush(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { flush(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

/// Brings the file `path`, or the names in the folder `path`, to the disk.
pub fn sync(path: &Path) -> Result<()> {
    let flushed = File::open(path).and_then(|file| file.sync_all());
    flushed.with_context(|| format!("{} cannot be flushed", path.display()))
}
