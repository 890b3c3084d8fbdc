//! Checks a cached file against what the hub promised, because hf-hub does not. A blob in the cache is named by its
//! etag, and for large files (LFS, xet) that is the sha256 of the content; small ones have only their size. What fails
//! is deleted, so that nothing finds it later.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::HubError;

/// Checks the snapshot file at `path`. The size is known only right after asking the hub.
pub(super) fn check(path: &Path, size: Option<u64>, repo: &str, file: &str) -> Result<(), HubError> {
    let unusable = |source| HubError::io(path, file, source);
    let got = fs::metadata(path).map_err(unusable)?.len();
    if let Some(expected) = size.filter(|&expected| expected != got) {
        delete(path).map_err(unusable)?;
        return Err(HubError::WrongSize { repo: repo.to_owned(), file: file.to_owned(), expected, got });
    }
    if let Some(expected) = promised_sha256(path) {
        let got = sha256(path).map_err(unusable)?;
        if got != expected {
            delete(path).map_err(unusable)?;
            return Err(HubError::WrongHash { repo: repo.to_owned(), file: file.to_owned(), expected, got });
        }
    }
    Ok(())
}

/// None for a small file, and for one that somebody put into the cache by hand, without a blob.
fn promised_sha256(path: &Path) -> Option<String> {
    let blob = fs::read_link(path).ok()?;
    let etag = blob.file_name()?.to_str()?;
    (etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| etag.to_ascii_lowercase())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Blob and pointer: a pointer left alone would be a broken link, a blob left alone would be linked again.
fn delete(path: &Path) -> io::Result<()> {
    let blob = fs::canonicalize(path)?;
    fs::remove_file(path)?;
    if blob != path && blob.exists() { fs::remove_file(blob) } else { Ok(()) }
}
