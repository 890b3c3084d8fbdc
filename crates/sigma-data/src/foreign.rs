//! Files that are not what their name says, told by their first bytes: a download that was not unpacked, a table under
//! the name of a text, another encoding. What a reader takes is not known here.

use std::path::Path;

use crate::error::DataError;

/// Bytes that [`refuse`] looks at.
pub(crate) const LOOK: usize = 16;

/// Begins a Parquet file.
pub(crate) const PARQUET: &[u8] = b"PAR1";

/// Kinds of files that no reader of texts or arrays takes: their first bytes, what they are, and what to do.
const KINDS: [(&[u8], &str, &str); 15] = [
    (b"\x1f\x8b\x08", "compressed with gzip", "unpack it with gunzip"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with unzstd"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it with unlz4"),
    (b"\xff\x06\0\0sNaPpY", "compressed with snappy", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"PK\x03\x04", "a zip archive (as .npz, .docx and .xlsx are)", "unpack it, or save what is in it on its own"),
    (b"PK\x05\x06", "an empty zip archive", "it holds nothing"),
    (b"Rar!\x1a\x07", "a rar archive", "unpack it"),
    (b"ARROW1\0\0", "an Arrow or Feather file", "write it as Parquet"),
    (b"\x89HDF", "an HDF5 file", "write what it holds as .npy, Parquet or JSON Lines"),
    (b"SQLite format 3\0", "an SQLite database", "write its table as CSV or JSON Lines"),
    (b"%PDF-", "a PDF file", "extract its text"),
    (b"\xff\xfe\0\0", "not UTF-8 but UTF-32", "convert the file to UTF-8"),
    (b"\0\0\xfe\xff", "not UTF-8 but UTF-32", "convert the file to UTF-8"),
];

/// Refuses a file by its first [`LOOK`] bytes, or all of a shorter one.
pub(crate) fn refuse(path: &Path, start: &[u8]) -> Result<(), DataError> {
    let found = KINDS.iter().find(|(magic, ..)| start.starts_with(magic)).map(|(_, kind, advice)| (*kind, *advice));
    match (found, start) {
        (Some((kind, advice)), _) => Err(foreign(path, kind, advice)),
        // the fourth byte is the size of its blocks
        (None, [b'B', b'Z', b'h', _, b'1', b'A', b'Y', ..]) => {
            Err(foreign(path, "compressed with bzip2", "unpack it with bunzip2"))
        }
        (None, _) => Ok(()),
    }
}

fn foreign(path: &Path, kind: &'static str, advice: &'static str) -> DataError {
    DataError::Foreign { path: path.to_path_buf(), kind, advice }
}

/// The same for a file that should be text.
pub(crate) fn refuse_for_text(path: &Path, start: &[u8]) -> Result<(), DataError> {
    refuse(path, start)?;
    let refused = |kind, advice| Err(foreign(path, kind, advice));
    match start {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refused("not UTF-8 but UTF-16", "convert the file to UTF-8"),
        // of an encoder that left the mark out
        [b'{', 0, ..] | [0, b'{', ..] => refused("not UTF-8 but UTF-16", "convert the file to UTF-8"),
        // behind the four letters, which a text may begin with, the file's first structure does
        _ if start.starts_with(PARQUET) && start.get(4) == Some(&0x15) => {
            refused("a Parquet file", "give it the extension .parquet")
        }
        _ if start.starts_with(b"\x93NUMPY") => refused("a NumPy array", "give texts here"),
        _ => Ok(()),
    }
}
