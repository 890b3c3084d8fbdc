//! Access to the memory of contiguous CPU tensors, and a pointer that threads may share when they write disjoint parts.

use candle_core::{CpuStorage, DType, Device, Error, Layout, Result, Storage, Tensor};

/// True where the fused path applies: every tensor is a contiguous `f32` tensor in CPU memory.
pub(crate) fn fused(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| matches!(t.device(), Device::Cpu) && t.dtype() == DType::F32 && t.is_contiguous())
}

/// The elements of a contiguous `f32` storage.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let (from, to) = layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op })?;
    Ok(&storage.as_slice::<f32>()?[from..to])
}

/// Runs `f` on the elements of a contiguous `f32` CPU tensor.
pub(crate) fn with_slice<R>(tensor: &Tensor, op: &'static str, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(slice(storage, layout, op)?)),
        _ => candle_core::bail!("{op}: expected a tensor in CPU memory"),
    }
}

/// A mutable buffer that several threads write to at once.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    pointer: *mut f32,
    len: usize,
}

// SAFETY: `Shared` only hands out addresses, and `at` makes its caller promise disjoint writes.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self { pointer: slice.as_mut_ptr(), len: slice.len() }
    }

    /// The address of element `offset`, for strided writes by gemm.
    ///
    /// # Safety
    /// Everything written through it must stay inside the buffer and be disjoint from other writers' elements.
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut f32 {
        assert!(offset < self.len.max(1));
        // SAFETY: in bounds by the assertion
        unsafe { self.pointer.add(offset) }
    }
}
