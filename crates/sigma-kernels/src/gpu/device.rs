//! What [`super::Gpu`] needs of a device. Two have it: CUDA's, and the emulation.

use std::fmt::Debug;

use super::{Arg, Gemm, GemmBatched, GpuError};

/// Addresses and sizes in bytes. Everything but `read` and `synchronize` may return before the work is done, but not
/// before the host's memory is free again.
pub(super) trait Device: Debug + Send + Sync {
    fn name(&self) -> String;
    fn index(&self) -> usize;
    fn is_emulated(&self) -> bool;
    /// Bytes of dynamic shared memory that a block can ask for.
    fn most_shared_bytes(&self) -> u32;
    /// Zeroed memory; `bytes` > 0.
    fn alloc(&self, bytes: usize) -> Result<u64, GpuError>;
    /// Never fails: what goes wrong is reported by what comes next.
    fn free(&self, address: u64);
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError>;
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError>;
    /// The same of memory that is written no more and whose writing is over, beside whatever other threads have the
    /// device do, a recording included.
    fn read_settled(&self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError>;
    fn clear(&self, address: u64, bytes: usize) -> Result<(), GpuError>;
    fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), GpuError>;
    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError>;
    /// Sizes are checked and not 0.
    fn gemm(&self, g: &Gemm<'_>) -> Result<(), GpuError>;
    fn gemm_batched(&self, g: &GemmBatched<'_>) -> Result<(), GpuError>;
    /// From here to `end_capture` work is recorded. Nothing else than clears, copies, launches, products and frees is
    /// asked for.
    fn begin_capture(&self) -> Result<(), GpuError>;
    fn end_capture(&self) -> Result<Box<dyn Replay>, GpuError>;
    fn synchronize(&self) -> Result<(), GpuError>;
    fn memory(&self) -> Result<(u64, u64), GpuError>;
}

/// A recorded graph.
pub(super) trait Replay: Debug + Send + Sync {
    fn launch(&self) -> Result<(), GpuError>;
}

/// A launch with valid sizes. In a program without any device nobody reads it.
#[cfg_attr(not(any(feature = "cuda", feature = "emulator")), allow(dead_code))]
pub(super) struct Launch<'a> {
    pub(super) kernel: &'a str,
    pub(super) grid: (u32, u32),
    pub(super) block: u32,
    pub(super) shared_bytes: u32,
    pub(super) args: &'a [Arg<'a>],
}
