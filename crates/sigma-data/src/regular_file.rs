//! Files are opened here, after a look at what they are: opening a named pipe waits until somebody writes to it, and a
//! device may never end. What a file holds is not known here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Links that are followed from one to the next; the system itself follows 40.
const MOST_LINKS: usize = 40;

/// Opens a regular file, or a descriptor that this program was started with.
///
/// # Errors
/// The system's, or that `path` is a pipe, a socket or a device. A folder is opened, and fails when it is read.
pub fn open(path: &Path) -> io::Result<File> {
    check(path)?;
    File::open(path)
}

/// All bytes of such a file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    check(path)?;
    fs::read(path)
}

/// The text of such a file.
///
/// # Errors
/// As [`open`], and for a file that is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Refuses what cannot be opened at once and read to its end.
///
/// # Errors
/// As [`open`].
pub fn check(path: &Path) -> io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() || kind.is_dir() || is_descriptor(path) {
        return Ok(());
    }
    let kind = if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let problem = format!("it is not a regular file but {kind}; write what it gives to a file, and name that");
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// Whether `path` stands for something that this program was started with, such as /dev/stdin or the shell's `<(...)`.
/// Its other end is there already, so opening it does not wait.
pub fn is_descriptor(path: &Path) -> bool {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let stream = ["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name));
        let numbered = ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)));
        if stream || numbered {
            return true;
        }
        let Ok(target) = fs::read_link(&path) else { return false };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    false
}
