//! A file for the bytes of one execution: the readers under test take paths.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of this process, in memory where the system has such a place.
pub fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = base.join(format!("sigma-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the scratch folder can be made");
    folder
}

/// Puts `bytes` into the file `name` of that folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("the scratch file can be written");
    path
}
