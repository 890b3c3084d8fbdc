//! The named tensors of a Hugging Face folder, from safetensors, sharded safetensors or PyTorch's zip format, as f32 on
//! the CPU. It checks that files are whole and values finite; what the names mean is the models' business.

mod pickle;
mod torch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use sigma_data::regular_file;

use crate::ModelError;

/// Tensors by name, and the file or folder they came from (for messages).
#[derive(Debug, Clone)]
pub struct Weights {
    origin: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Reads all tensors of `folder`, whichever format it has.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let Found { origin, files } = find(folder)?;
        let mut tensors = BTreeMap::new();
        for path in &files {
            let safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
            tensors.append(&mut if safetensors { read_safetensors(path)? } else { read_pickle(path)? });
        }
        Ok(Self { tensors, origin })
    }

    /// The files that [`Self::load`] reads tensors from.
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
        Ok(find(folder)?.files)
    }

    pub fn from_tensors(origin: &Path, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { origin: origin.to_path_buf(), tensors }
    }

    /// Rewrites every name.
    pub fn rename(self, rule: impl Fn(&str) -> String) -> Self {
        let tensors = self.tensors.into_iter().map(|(name, tensor)| (rule(&name), tensor)).collect();
        Self { origin: self.origin, tensors }
    }

    /// The same without one tensor.
    pub fn without(mut self, name: &str) -> Self {
        self.tensors.remove(name);
        self
    }

    pub fn origin(&self) -> &Path {
        &self.origin
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Removes and returns the tensor `name`, which must have the shape `expected`.
    pub fn take(&mut self, name: &str, expected: &[usize]) -> Result<Tensor, ModelError> {
        let Some(tensor) = self.tensors.remove(name) else {
            let mut found: Vec<&str> = self.tensors.keys().take(6).map(String::as_str).collect();
            if self.tensors.len() > found.len() {
                found.push("...");
            }
            let found = found.join(", ");
            return Err(ModelError::MissingTensor { path: self.origin.clone(), name: name.to_string(), found });
        };
        if tensor.dims() != expected {
            return Err(ModelError::Shape {
                path: self.origin.clone(),
                name: name.to_string(),
                expected: expected.to_vec(),
                got: tensor.dims().to_vec(),
            });
        }
        Ok(tensor)
    }

    /// How many have not been taken.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// What has not been taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn into_tensors(self) -> BTreeMap<String, Tensor> {
        self.tensors
    }
}

/// Shape and little-endian f32 bytes of tensors by name.
pub type TensorBytes = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// Writes tensors as one safetensors file that every version of transformers accepts (metadata `format: pt`), readable
/// by everyone, flushed to the disk.
pub fn save_safetensors(path: &Path, tensors: &TensorBytes) -> Result<(), ModelError> {
    let io = |source| ModelError::Io { path: path.to_path_buf(), source };
    let mut views = Vec::new();
    for (name, (shape, data)) in tensors {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
        views.push((name, view.map_err(|e| io(std::io::Error::other(e)))?));
    }
    let metadata = Some([("format".to_string(), "pt".to_string())].into());
    let serialized = safetensors::serialize(views, metadata).map_err(|e| io(std::io::Error::other(e)))?;
    fs::write(path, serialized).and_then(|()| fs::File::open(path)?.sync_all()).map_err(io)
}

/// Where a folder's tensors are: the file or index that says so, and the files that hold them.
struct Found {
    origin: PathBuf,
    files: Vec<PathBuf>,
}

fn find(folder: &Path) -> Result<Found, ModelError> {
    let alone = |origin: PathBuf| Found { files: vec![origin.clone()], origin };
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(alone(single));
    }
    let pickled = folder.join("pytorch_model.bin");
    for index in ["model.safetensors.index.json", "pytorch_model.bin.index.json"].map(|n| folder.join(n)) {
        if !index.exists() || (pickled.exists() && index.ends_with("pytorch_model.bin.index.json")) {
            continue;
        }
        let files = shards(&index)?.into_iter().map(|shard| folder.join(shard)).collect();
        return Ok(Found { origin: index, files });
    }
    if pickled.exists() {
        return Ok(alone(pickled));
    }
    Err(ModelError::NoWeights { folder: folder.to_path_buf() })
}

/// The distinct shard files that an index names, in order.
fn shards(index: &Path) -> Result<Vec<String>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text =
        regular_file::read_to_string(index).map_err(|source| ModelError::Io { path: index.to_path_buf(), source })?;
    let parsed: Index =
        serde_json::from_str(&text).map_err(|source| ModelError::Json { path: index.to_path_buf(), source })?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    for name in &names {
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(ModelError::ShardName { index: index.to_path_buf(), name: name.clone() });
        }
    }
    Ok(names)
}

fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let bytes = regular_file::read(path).map_err(|source| ModelError::Io { path: path.to_path_buf(), source })?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| damaged(path, &e))?;
    to_f32(path, tensors)
}

fn read_pickle(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    to_f32(path, torch::read(path)?)
}

fn damaged(path: &Path, error: &candle_core::Error) -> ModelError {
    // candle's errors may carry a backtrace after the first line
    let reason = error.to_string().lines().next().unwrap_or_default().to_string();
    ModelError::Damaged { path: path.to_path_buf(), reason }
}

/// Floating-point tensors as f32, checked to be finite; integer tensors (position ids) are left out.
fn to_f32(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Tensor)>,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut result = BTreeMap::new();
    for (name, tensor) in tensors {
        if !tensor.dtype().is_float() {
            continue;
        }
        let tensor = tensor.to_dtype(DType::F32).and_then(|t| t.contiguous()).map_err(|e| damaged(path, &e))?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        if let Some(element) = values.iter().position(|v| !v.is_finite()) {
            return Err(ModelError::NotFinite { path: path.to_path_buf(), name, element });
        }
        result.insert(name, tensor);
    }
    Ok(result)
}
