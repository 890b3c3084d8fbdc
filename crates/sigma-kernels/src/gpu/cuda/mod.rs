//! A CUDA device: the driver's and cuBLAS's functions, found when the device is opened, so that a program with CUDA
//! starts on a machine without. One stream of its own, memory by stream-ordered allocation, kernels from the PTX that
//! build.rs made.

mod blas;
mod kernels;
mod staging;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUmemPool_attribute as PoolAttribute};
use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DriverError, result};

use super::device::{Device, Launch, Replay};
use super::{Gemm, GemmBatched, GpuError};
use blas::Blas;
use kernels::Kernels;

/// Drivers for CUDA 12 and newer have every function that is called here.
const OLDEST_DRIVER: i32 = 12_000;
/// Up to this size the driver has copied pageable memory of the host when an asynchronous copy returns. For more it
/// may.
const STAGED_BYTES: usize = 64 * 1024;

// Fields are dropped in this order: handles before the stream that they use.
struct CudaDevice {
    kernels: Kernels,
    blas: Mutex<Blas>,
    /// What was freed while a graph is recorded: a free would become part of the graph.
    freed: Mutex<Option<Vec<u64>>>,
    pool: Option<sys::CUmemoryPool>,
    stream: Arc<CudaStream>,
    /// For what is read beside the work on the other.
    reads: Arc<CudaStream>,
    context: Arc<CudaContext>,
    name: String,
    most_shared_bytes: u32,
}

// SAFETY: the driver may be called from every thread once the context is bound, which every function here does;
// cuBLAS's handle is behind a mutex, and the pool is the device's own and outlives everything
unsafe impl Send for CudaDevice {}
unsafe impl Sync for CudaDevice {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's own words for an error.
fn text(error: DriverError) -> String {
    match error.error_string() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => format!("{:?}", error.0),
    }
}

fn failed(what: &'static str) -> impl Fn(DriverError) -> GpuError {
    move |error| GpuError::Driver { what, text: text(error) }
}

pub(super) fn open(index: usize) -> Result<Box<dyn Device>, GpuError> {
    // cudarc panics at the first call into a library that is missing
    // SAFETY: loads the library, which runs its initialisers
    if !unsafe { sys::is_culib_present() } {
        return Err(GpuError::NoDriver { detail: "the loader does not find libcuda.so.1".to_owned() });
    }
    let mut version = 0;
    // SAFETY: writes one number
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(failed("asking for the driver's version"))?;
    if version < OLDEST_DRIVER {
        let detail = format!("it is for CUDA {}, and 12.0 is the oldest that will do", driver_version(version));
        return Err(GpuError::NoDriver { detail });
    }
    let found = match result::init().and_then(|()| result::device::get_count()) {
        Ok(count) => usize::try_from(count).unwrap_or(0),
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
        Err(error) => return Err(GpuError::NoDriver { detail: text(error) }),
    };
    if index >= found {
        return Err(GpuError::NoDevice { index, found });
    }
    // SAFETY: as for the driver
    if !unsafe { cudarc::cublas::sys::is_culib_present() } {
        return Err(GpuError::NoLibrary { name: "libcublas" });
    }
    Ok(Box::new(CudaDevice::new(index, version)?))
}

fn driver_version(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

impl CudaDevice {
    fn new(index: usize, driver: i32) -> Result<Self, GpuError> {
        let context = CudaContext::new(index).map_err(failed("opening the device"))?;
        check_capability(&context)?;
        // SAFETY: all that writes goes onto one stream, and the other reads only what nobody writes any more
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        let reads = context.new_stream().map_err(failed("making a stream"))?;
        let pool = if context.has_async_alloc() { Some(keeping_pool(&context)?) } else { None };
        let kernels = Kernels::load(context.clone())?;
        let blas = Blas::new(stream.clone())?;
        let name = context.name().map_err(failed("asking for the device's name"))?;
        let most = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        let most = context.attribute(most).map_err(failed("asking for the device's shared memory"))?;
        let most_shared_bytes = u32::try_from(most).unwrap_or(0);
        let name = format!("{name}, driver for CUDA {}, cuBLAS {}", driver_version(driver), blas.version()?);
        Ok(Self {
            kernels,
            blas: Mutex::new(blas),
            freed: Mutex::new(None),
            pool,
            stream,
            reads,
            context,
            name,
            most_shared_bytes,
        })
    }

    fn bind(&self) -> Result<(), GpuError> {
        self.context.bind_to_thread().map_err(failed("work on the device"))
    }

    fn pool_bytes(&self, attribute: PoolAttribute) -> Result<u64, GpuError> {
        let mut bytes = 0u64;
        if let Some(pool) = self.pool {
            // SAFETY: the device's pool; the attributes asked for are 64-bit numbers
            unsafe { result::mem_pool::get_attribute(pool, attribute, std::ptr::from_mut(&mut bytes).cast()) }
                .map_err(failed("asking for the memory in use"))?;
        }
        Ok(bytes)
    }

    fn free_now(&self, address: u64) {
        let done = self.context.bind_to_thread().and_then(|()| {
            // SAFETY: from `alloc`, and freed once; work on the stream before this may still use it
            unsafe {
                match self.pool {
                    Some(_) => result::free_async(address, self.stream.cu_stream()),
                    None => result::free_sync(address),
                }
            }
        });
        self.context.record_err(done);
    }
}

/// The driver's own message for kernels that were made for newer GPUs does not say so.
fn check_capability(context: &CudaContext) -> Result<(), GpuError> {
    const OPENING: &str = "opening the device";
    let built_for: i32 = env!("SIGMA_COMPUTE_CAPABILITY").trim_end_matches(char::is_alphabetic).parse().unwrap_or(0);
    let (major, minor) = context.compute_capability().map_err(failed(OPENING))?;
    if 10 * major + minor >= built_for {
        return Ok(());
    }
    let (needed, of) = (format!("{}.{}", built_for / 10, built_for % 10), format!("{major}.{minor}"));
    let text = format!("its compute capability is {of}, and this program was built for {needed} (CUDA_COMPUTE_CAP)");
    Err(GpuError::Driver { what: OPENING, text })
}

/// The device's pool of memory, told to keep what is freed instead of giving it back to the system at each
/// synchronisation.
fn keeping_pool(context: &CudaContext) -> Result<sys::CUmemoryPool, GpuError> {
    let mut all = u64::MAX;
    // SAFETY: the device is the context's; the attribute is a 64-bit number
    unsafe {
        let pool =
            result::device::get_default_mem_pool(context.cu_device()).map_err(failed("asking for the memory pool"))?;
        let value = std::ptr::from_mut(&mut all).cast();
        result::mem_pool::set_attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, value)
            .map_err(failed("setting up the memory pool"))?;
        Ok(pool)
    }
}

impl Device for CudaDevice {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn index(&self) -> usize {
        self.context.ordinal()
    }

    fn is_emulated(&self) -> bool {
        false
    }

    fn most_shared_bytes(&self) -> u32 {
        self.most_shared_bytes
    }

    fn alloc(&self, bytes: usize) -> Result<u64, GpuError> {
        self.bind()?;
        // SAFETY: zeroed before anyone sees it, and used on this stream alone
        let address = unsafe {
            match self.pool {
                Some(_) => result::malloc_async(self.stream.cu_stream(), bytes),
                None => result::malloc_sync(bytes),
            }
        };
        let address = address.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                GpuError::OutOfMemory { asked: bytes as u64, free: self.memory().map_or(0, |(free, _)| free) }
            }
            _ => failed("an allocation")(error),
        })?;
        self.clear(address, bytes).inspect_err(|_| self.free_now(address))?;
        Ok(address)
    }

    fn free(&self, address: u64) {
        match lock(&self.freed).as_mut() {
            Some(freed) => freed.push(address),
            None => self.free_now(address),
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: inside a live buffer; the host's bytes are not needed after the return, see `STAGED_BYTES`
        unsafe { result::memcpy_htod_async(address, bytes, self.stream.cu_stream()) }.map_err(failed("an upload"))?;
        if bytes.len() > STAGED_BYTES { self.synchronize() } else { Ok(()) }
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: inside a live buffer; the host's bytes are there until the copy has ended
        unsafe { result::memcpy_dtoh_async(bytes, address, self.stream.cu_stream()) }.map_err(failed("a read"))?;
        self.synchronize()
    }

    fn read_settled(&self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.bind()?;
        staging::read(&self.reads, address, bytes)
    }

    fn clear(&self, address: u64, bytes: usize) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: inside a live buffer
        unsafe { result::memset_d8_async(address, 0, bytes, self.stream.cu_stream()) }.map_err(failed("a clear"))
    }

    fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: inside live buffers
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }.map_err(failed("a copy"))
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError> {
        self.bind()?;
        self.kernels.launch(launch, &self.stream)
    }

    fn gemm(&self, g: &Gemm<'_>) -> Result<(), GpuError> {
        self.bind()?;
        lock(&self.blas).gemm(g)
    }

    fn gemm_batched(&self, g: &GemmBatched<'_>) -> Result<(), GpuError> {
        self.bind()?;
        lock(&self.blas).gemm_batched(g)
    }

    fn begin_capture(&self) -> Result<(), GpuError> {
        // thread-local: what other threads do on other streams meanwhile is no error here
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // another thread that frees memory meanwhile waits until it is known where to
        let mut freed = lock(&self.freed);
        self.stream.begin_capture(mode).map_err(failed("the start of a recording"))?;
        *freed = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&self) -> Result<Box<dyn Replay>, GpuError> {
        let graph = {
            let mut freed = lock(&self.freed);
            let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0));
            for address in freed.take().unwrap_or_default() {
                self.free_now(address);
            }
            graph
        };
        match graph.map_err(failed("the recording"))? {
            Some(graph) => Ok(Box::new(RecordedGraph { graph: Mutex::new(graph) })),
            None => Err(GpuError::Driver { what: "the recording", text: "the driver gave no graph".to_owned() }),
        }
    }

    fn synchronize(&self) -> Result<(), GpuError> {
        self.stream.synchronize().map_err(failed("work on the device"))
    }

    /// What the pool keeps but nobody uses is free.
    fn memory(&self) -> Result<(u64, u64), GpuError> {
        let (free, total) = self.context.mem_get_info().map_err(failed("asking for free memory"))?;
        let reserved = self.pool_bytes(PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        let used = self.pool_bytes(PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
        Ok((free as u64 + reserved.saturating_sub(used), total as u64))
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // before the kernels and the workspace go
        self.context.record_err(self.stream.synchronize());
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaDevice({}, {})", self.context.ordinal(), self.name)
    }
}

struct RecordedGraph {
    graph: Mutex<CudaGraph>,
}

// SAFETY: the driver wants one thread at a time for each graph, which the mutex sees to
unsafe impl Send for RecordedGraph {}
unsafe impl Sync for RecordedGraph {}

impl Replay for RecordedGraph {
    fn launch(&self) -> Result<(), GpuError> {
        lock(&self.graph).launch().map_err(failed("a graph"))
    }
}

impl fmt::Debug for RecordedGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordedGraph")
    }
}
