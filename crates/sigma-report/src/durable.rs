//! Replacing a file so that a reader, or a machine that loses power, sees the whole old one or the whole new one.
//! It does not know what is in the file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{ReportError, Result};

/// Makes `bytes` the content of `path`: a temporary file in the same folder, fsync, rename, fsync of the folder.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_io(path, bytes).map_err(ReportError::write(path))
}

/// Makes the folder `path` with its parents.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(ReportError::write(path))
}

fn replace_io(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    // A fixed name, so that what a killed process left behind is overwritten and not collected.
    let temporary = path.with_file_name(format!(".{}.tmp", name.to_string_lossy()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // The first error is the one to tell; a leftover is overwritten next time.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

/// A rename is durable only after the folder that holds the name is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
