//! What can go wrong with a model's files or its arithmetic.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error("{path}: cannot be read or written")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: not the JSON that was expected")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error(
        "{folder}: no weights found; a model folder needs one of model.safetensors, model.safetensors.index.json, \
         pytorch_model.bin, pytorch_model.bin.index.json"
    )]
    NoWeights { folder: PathBuf },
    #[error("{path}: the weights cannot be read: {reason}; the file is probably truncated or damaged, fetch it again")]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "{path}: the file calls `{function}`, which weights do not need; it was not run, and nothing else of the file is used: \
         take the weights from somewhere you trust, best as model.safetensors"
    )]
    Forbidden { path: PathBuf, function: String },
    #[error("{index}: shard name `{name}` is not a plain file name in that folder")]
    ShardName { index: PathBuf, name: String },
    #[error("{path}: tensor `{name}` is missing; tensors there: {found}")]
    MissingTensor { path: PathBuf, name: String, found: String },
    #[error(
        "{path}: `num_hidden_layers` is {layers}, but the {tensors} tensors of {weights} cannot be so many layers; \
         config.json and the weights belong to different models"
    )]
    Layers { path: PathBuf, layers: usize, weights: PathBuf, tensors: usize },
    #[error("{path}: tensor `{name}` has shape {got:?}, but config.json asks for {expected:?}")]
    Shape { path: PathBuf, name: String, expected: Vec<usize>, got: Vec<usize> },
    #[error("{path}: tensor `{name}` holds NaN or infinite values (first at element {element})")]
    NotFinite { path: PathBuf, name: String, element: usize },
    #[error("{path}: `{field}` is {value}, which is not supported; {supported}")]
    Unsupported { path: PathBuf, field: &'static str, value: String, supported: &'static str },
    #[error("{path}: `{key}` is {value}, which is not supported; {remedy}")]
    ConfigKey { path: PathBuf, key: String, value: String, remedy: String },
    #[error("{path}: `{key}` is missing; {remedy}")]
    ConfigMissing { path: PathBuf, key: String, remedy: String },
    #[error(
        "{path}: `tie_word_embeddings` says that the head is the token table, but the file has another `{name}`; set \
         it to false in config.json if the head is meant to be used, or remove that tensor"
    )]
    TiedHead { path: PathBuf, name: String },
    #[error(
        "{path}: tensors that this model does not use: {tensors}; config.json and the weights belong to different \
         models, or the file has parts that are not supported"
    )]
    LeftOver { path: PathBuf, tensors: String },
    #[error("{path}: `{key}` {problem}; {remedy}")]
    Gguf { path: PathBuf, key: String, problem: String, remedy: &'static str },
    #[error("a sequence needs {needed} positions, but the model has {max} (max_position_embeddings)")]
    TooLong { needed: usize, max: usize },
    #[error("token id {id} is outside the model's vocabulary of {vocabulary}")]
    TokenId { id: u32, vocabulary: usize },
    #[error("a batch of {rows} rows cannot be made of {inputs} inputs and {labels} labels")]
    Batch { inputs: usize, labels: usize, rows: usize },
    #[error("{what} needs a model on the CPU, but this one is on a GPU")]
    OnGpu { what: &'static str },
    #[error("{what} needs a model on a GPU, but this one is on the CPU")]
    OnCpu { what: &'static str },
    #[error(
        "the GPU has {free} bytes free, but decoding {rows} texts together needs {needed}; fewer at a time would change texts: free \
         its memory, or begin another run with a smaller batch_size"
    )]
    DecoderMemory { rows: usize, needed: u64, free: u64 },
    #[error(
        "models of the family `{model_type}` are computed on the CPU alone so far; set `device: cpu`, or take a model \
         of the family `opt`"
    )]
    FamilyOnGpu { model_type: &'static str },
    #[error("a prompt has no tokens; it needs at least BOS")]
    EmptyPrompt,
    #[error("the tokenizer at {folder} has {tokenizer} entries, but the model's vocabulary has only {model}")]
    Vocabulary { folder: PathBuf, tokenizer: usize, model: usize },
    #[error("{path}: the encoder's tokenizer failed: {reason}")]
    EncoderTokenizer { path: PathBuf, reason: String },
    #[error("text {index} gives an embedding that is not finite; the encoder's weights are damaged")]
    Embedding { index: usize },
    #[error(transparent)]
    Data(#[from] sigma_data::DataError),
    #[error(transparent)]
    Gpu(#[from] sigma_kernels::gpu::GpuError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}
