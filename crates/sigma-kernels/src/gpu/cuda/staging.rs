//! Large reads beside other work: on a stream of their own and through page-locked memory. A copy straight into the
//! host's pageable memory would hold up every other call into the driver until it has ended.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, result};

use super::super::GpuError;
use super::failed;

/// Bytes of each of the two halves, of which the device fills one while the host empties the other.
const HALF: usize = 16 << 20;

/// Page-locked memory of the host, freed when dropped.
struct Staging<'a> {
    memory: *mut c_void,
    context: &'a CudaContext,
}

impl<'a> Staging<'a> {
    /// The context must be bound to the calling thread.
    fn new(context: &'a CudaContext, bytes: usize) -> Result<Self, GpuError> {
        // SAFETY: plain memory, which nobody reads before it was written
        let memory = unsafe { result::malloc_host(bytes, 0) }.map_err(failed("allocating page-locked memory"))?;
        Ok(Self { memory, context })
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated once, freed once; no copy into it is under way, see `read`
        self.context.record_err(unsafe { result::free_host(self.memory) });
    }
}

/// Copies device memory from `address` on, which nobody writes meanwhile. The context must be bound to the calling
/// thread.
pub(super) fn read(stream: &Arc<CudaStream>, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
    let staging = Staging::new(stream.context(), 2 * HALF.min(bytes.len()))?;
    let half = HALF.min(bytes.len());
    let place = |i: usize| {
        // SAFETY: the start of the first or the second half
        unsafe { staging.memory.cast::<u8>().add(i % 2 * half) }
    };
    let begin = |i: usize, len: usize| {
        // SAFETY: `half` bytes, of which nobody reads or writes any until the stream was waited for
        let to = unsafe { std::slice::from_raw_parts_mut(place(i), len) };
        // SAFETY: inside a live buffer
        unsafe { result::memcpy_dtoh_async(to, address + (i * half) as u64, stream.cu_stream()) }
            .map_err(failed("a read"))
    };
    let wait = || stream.synchronize().map_err(failed("a read"));
    let lens: Vec<usize> = bytes.chunks(half).map(<[u8]>::len).collect();
    begin(0, lens[0])?;
    for (i, part) in bytes.chunks_mut(half).enumerate() {
        wait()?;
        if let Some(len) = lens.get(i + 1) {
            begin(i + 1, *len)?;
        }
        // SAFETY: the copy into this half has ended, and the next goes into the other
        part.copy_from_slice(unsafe { std::slice::from_raw_parts(place(i), part.len()) });
    }
    Ok(())
}
