//! A GPU: memory, launches of the kernels in `cuda/`, matrix products and recorded graphs, in order on one stream. The
//! same kernels run on a CUDA device (feature `cuda`) and, block by block, on the CPU (feature `emulator`), where every
//! test of them runs. This module knows no operation of a model.
//!
//! Sizes and ranges that do not fit are a mistake of the calling code and panic, as everywhere in this crate; whatever
//! can go wrong with a machine is a [`GpuError`].

#[cfg(feature = "cuda")]
mod cuda;
mod device;
#[cfg(feature = "emulator")]
mod emulated;
mod error;
mod gemm;
mod memory;
#[cfg(any(feature = "cuda", feature = "emulator"))]
mod signature;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

pub use error::GpuError;
pub use gemm::{BatchedOperand, Gemm, GemmBatched, Operand};
pub use memory::{Buffer, Dtype, Element, Settled, View};

use device::{Device, Replay};

/// The most threads of a block; kernels are compiled for it.
pub const MAX_BLOCK: u32 = 512;

/// A GPU, or its emulation on the CPU; clones are the same one. All work goes in order onto one stream: when a function
/// returns the work may not have been done yet, but what comes after sees its results.
#[derive(Debug, Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: Box<dyn Device>,
    /// The thread that records a graph now.
    recorder: Mutex<Option<ThreadId>>,
}

/// An argument of a kernel, in the order of its parameters.
#[derive(Debug, Clone, Copy)]
pub enum Arg<'a> {
    View(View<'a>),
    /// A pointer to nothing, where a kernel allows it.
    Null,
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
}

/// Work that was recorded once and can be started as a whole. It holds the arguments, not the memory: the buffers that
/// it uses must outlive it, so keep them beside it.
#[derive(Debug)]
pub struct Graph {
    replay: Box<dyn Replay>,
    gpu: Gpu,
}

/// Whether it is the same stream, and so the same order of work. A GPU that was opened twice is two.
impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Gpu {
    /// The CUDA device of this number.
    #[cfg(feature = "cuda")]
    pub fn open(index: usize) -> Result<Gpu, GpuError> {
        Ok(Gpu::new(cuda::open(index)?))
    }

    /// The CUDA device of this number; this program was built without CUDA.
    #[cfg(not(feature = "cuda"))]
    pub fn open(_index: usize) -> Result<Gpu, GpuError> {
        Err(GpuError::NotBuiltIn)
    }

    /// A GPU of its own that the CPU emulates.
    #[cfg(feature = "emulator")]
    pub fn emulated() -> Gpu {
        Gpu::new(Box::new(emulated::EmulatedDevice::new()))
    }

    /// The same where the feature may be missing, which is [`GpuError::NotBuiltIn`] then.
    pub fn open_emulated() -> Result<Gpu, GpuError> {
        #[cfg(feature = "emulator")]
        return Ok(Gpu::emulated());
        #[cfg(not(feature = "emulator"))]
        Err(GpuError::NotBuiltIn)
    }

    pub fn is_emulated(&self) -> bool {
        self.shared.device.is_emulated()
    }

    #[cfg(any(feature = "cuda", feature = "emulator"))]
    fn new(device: Box<dyn Device>) -> Gpu {
        Gpu { shared: Arc::new(Shared { device, recorder: Mutex::new(None) }) }
    }

    /// The device and the libraries that compute there.
    pub fn name(&self) -> String {
        self.shared.device.name()
    }

    pub fn index(&self) -> usize {
        self.shared.device.index()
    }

    /// Bytes of shared memory that a block can ask for in a launch; what its kernel declares itself is part of them.
    pub fn most_shared_bytes(&self) -> u32 {
        self.shared.device.most_shared_bytes()
    }

    /// Memory for `len` elements, all zero.
    pub fn alloc(&self, dtype: Dtype, len: usize) -> Result<Buffer, GpuError> {
        self.not_recording("an allocation")?;
        Buffer::new(self, dtype, len)
    }

    pub fn upload<T: Element>(&self, values: &[T]) -> Result<Buffer, GpuError> {
        let buffer = self.alloc(T::DTYPE, values.len())?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// Starts `grid` blocks of `block` threads, each block with `shared_bytes` of dynamic shared memory. An empty grid
    /// is no work.
    pub fn launch(
        &self,
        kernel: &str,
        grid: (u32, u32),
        block: u32,
        shared_bytes: u32,
        args: &[Arg<'_>],
    ) -> Result<(), GpuError> {
        self.may_work("a launch")?;
        if block == 0 || block > MAX_BLOCK || grid.0 > i32::MAX as u32 || grid.1 > 65_535 {
            return Err(GpuError::Launch { kernel: kernel.to_owned(), grid, block, shared_bytes });
        }
        if grid.0 == 0 || grid.1 == 0 {
            return Ok(());
        }
        self.shared.device.launch(&device::Launch { kernel, grid, block, shared_bytes, args })
    }

    pub fn gemm(&self, g: &Gemm<'_>) -> Result<(), GpuError> {
        g.check();
        self.may_work("a product")?;
        if g.m == 0 || g.n == 0 { Ok(()) } else { self.shared.device.gemm(g) }
    }

    pub fn gemm_batched(&self, g: &GemmBatched<'_>) -> Result<(), GpuError> {
        g.check();
        self.may_work("a product")?;
        if g.count == 0 || g.m == 0 || g.n == 0 { Ok(()) } else { self.shared.device.gemm_batched(g) }
    }

    /// Records the launches, products, clears and copies on the device that `work` makes; nothing of it runs. Whatever
    /// needs the host in between (allocations, uploads, reads) is an error there, and so is work by other threads
    /// meanwhile.
    pub fn capture(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<Graph, GpuError> {
        self.not_recording("another recording")?;
        *self.recorder() = Some(thread::current().id());
        let recording = Recording { gpu: self };
        self.shared.device.begin_capture()?;
        let outcome = work();
        let replay = self.shared.device.end_capture();
        drop(recording);
        outcome?;
        Ok(Graph { replay: replay?, gpu: self.clone() })
    }

    /// Waits for all work, and reports what went wrong in it.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        self.not_recording("waiting for the device")?;
        self.shared.device.synchronize()
    }

    /// Bytes of device memory: free, and in total.
    pub fn memory(&self) -> Result<(u64, u64), GpuError> {
        self.shared.device.memory()
    }

    fn recorder(&self) -> std::sync::MutexGuard<'_, Option<ThreadId>> {
        self.shared.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_recording(&self, what: &'static str) -> Result<(), GpuError> {
        if self.recorder().is_some() { Err(GpuError::Captured { what }) } else { Ok(()) }
    }

    /// Work that can be recorded is refused only on other threads than the one that records.
    fn may_work(&self, what: &'static str) -> Result<(), GpuError> {
        match *self.recorder() {
            Some(thread) if thread != thread::current().id() => Err(GpuError::Captured { what }),
            _ => Ok(()),
        }
    }
}

/// Ends the recording however `work` is left.
struct Recording<'a> {
    gpu: &'a Gpu,
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // the recording is thrown away, and the panic goes on
            let _ = self.gpu.shared.device.end_capture();
        }
        *self.gpu.recorder() = None;
    }
}

impl Graph {
    /// Does the recorded work, with the arguments of then and the contents of memory now.
    pub fn launch(&self) -> Result<(), GpuError> {
        self.gpu.not_recording("a graph")?;
        self.replay.launch()
    }
}

impl Arg<'_> {
    /// The value as it lies in memory, padded with zeros.
    #[cfg(any(feature = "cuda", feature = "emulator"))]
    fn bits(&self) -> u64 {
        let padded = |[a, b, c, d]: [u8; 4]| u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]);
        match *self {
            Arg::View(view) => view.address(),
            Arg::Null => 0,
            Arg::U32(value) => padded(value.to_ne_bytes()),
            Arg::U64(value) => value,
            Arg::F32(value) => padded(value.to_ne_bytes()),
            Arg::F64(value) => value.to_bits(),
        }
    }
}

impl<'a> From<View<'a>> for Arg<'a> {
    fn from(view: View<'a>) -> Self {
        Arg::View(view)
    }
}

impl<'a> From<&'a Buffer> for Arg<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Arg::View(buffer.view())
    }
}

impl From<u32> for Arg<'_> {
    fn from(value: u32) -> Self {
        Arg::U32(value)
    }
}

impl From<u64> for Arg<'_> {
    fn from(value: u64) -> Self {
        Arg::U64(value)
    }
}

impl From<f32> for Arg<'_> {
    fn from(value: f32) -> Self {
        Arg::F32(value)
    }
}

impl From<f64> for Arg<'_> {
    fn from(value: f64) -> Self {
        Arg::F64(value)
    }
}
