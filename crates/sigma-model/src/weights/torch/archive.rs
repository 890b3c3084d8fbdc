//! The zip file of PyTorch since 1.6: an entry for the pickle, and one for each storage.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::Tensor;
use sigma_data::regular_file;
use zip::{CompressionMethod, ZipArchive};

use super::super::pickle::Pickle;
use super::place::Storage;
use super::{Storages, in_pickle, tensors};
use crate::ModelError;

type Archive = ZipArchive<BufReader<File>>;

struct Entries {
    archive: Archive,
    /// Before the names of all entries.
    folder: String,
    length: u64,
}

impl Storages for Entries {
    fn read(&mut self, storage: &Storage) -> Result<Vec<u8>, String> {
        entry(&mut self.archive, &format!("{}data/{}", self.folder, storage.key), self.length)
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    let damaged = |reason: String| ModelError::Damaged { path: path.to_path_buf(), reason };
    let io = |source| ModelError::Io { path: path.to_path_buf(), source };
    let file = regular_file::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
    let Some(name) = index(&mut archive) else { return Err(damaged("no tensors in it".to_string())) };
    let bytes = entry(&mut archive, &name, length).map_err(damaged)?;
    let pickle = Pickle::read(&bytes).map_err(in_pickle(path, &name))?;
    let folder = name.trim_end_matches("data.pkl").to_string();
    let order = format!("{folder}byteorder");
    if archive.index_for_name(&order).is_some() && entry(&mut archive, &order, length).map_err(damaged)? != b"little" {
        return Err(damaged("its numbers are big-endian, which is not supported".to_string()));
    }
    tensors(path, &pickle, &mut Entries { archive, folder, length }, length)
}

/// The name of the pickle.
fn index(archive: &mut Archive) -> Option<String> {
    (0..archive.len()).find_map(|number| {
        let entry = archive.by_index(number).ok()?;
        let name = entry.name().ok()?.to_string();
        (name == "data.pkl" || name.ends_with("/data.pkl")).then_some(name)
    })
}

/// An entry's bytes, of which there may be `most`. PyTorch compresses nothing; a file that does could be as small as it
/// likes.
fn entry(archive: &mut Archive, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name).map_err(|e| format!("{name}: {e}"))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(format!("{name} is compressed, which torch.save does not do"));
    }
    let size = file.size();
    if size > most {
        return Err(format!("{name} is said to have {size} bytes, which is more than the file can hold"));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(format!("{name} ends early")) }
}
