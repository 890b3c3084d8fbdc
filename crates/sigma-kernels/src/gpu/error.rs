//! What can go wrong with a GPU.

/// The message says what was asked, what the machine answered, and where there is something to do, what.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("this program was built without CUDA; build it with `--features cuda`")]
    NotBuiltIn,
    #[error("no NVIDIA driver: {detail}")]
    NoDriver { detail: String },
    #[error("the loader does not find {name} of CUDA 12 or 13 (add its folder to LD_LIBRARY_PATH)")]
    NoLibrary { name: &'static str },
    #[error("no CUDA device {index}: the driver shows {found}")]
    NoDevice { index: usize, found: usize },
    #[error("out of device memory: {asked} bytes were asked for, {free} are free")]
    OutOfMemory { asked: u64, free: u64 },
    #[error("{what} failed: {text}")]
    Driver { what: &'static str, text: String },
    #[error("{what} failed in cuBLAS: {text}")]
    Blas { what: &'static str, text: String },
    #[error("there is no kernel `{name}`")]
    UnknownKernel { name: String },
    #[error("kernel `{kernel}` takes ({expected}), not ({got})")]
    Arguments { kernel: String, expected: String, got: String },
    #[error(
        "kernel `{kernel}` cannot start with a grid of {grid:?} blocks of {block} threads and {shared_bytes} bytes each"
    )]
    Launch { kernel: String, grid: (u32, u32), block: u32, shared_bytes: u32 },
    #[error("{what} is not possible while a graph is recorded")]
    Captured { what: &'static str },
    /// A kernel did what no kernel may do; nothing on this GPU can be trusted any more.
    #[error("{what}")]
    Fault { what: String },
}
