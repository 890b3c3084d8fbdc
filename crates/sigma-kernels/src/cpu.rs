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

/// A mutable slice that several threads write to at once.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    pointer: *mut f32,
    len: usize,
}

// SAFETY: `Shared` only hands out memory through `rows`, whose contract makes the caller promise disjoint ranges.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self { pointer: slice.as_mut_ptr(), len: slice.len() }
    }

    /// The elements `from..from + len`.
    ///
    /// # Safety
    /// No two live slices of one `Shared` may overlap, and the memory behind it must outlive them.
    #[allow(clippy::mut_from_ref)] // disjointness is the caller's promise
    pub(crate) unsafe fn part<'a>(&self, from: usize, len: usize) -> &'a mut [f32] {
        assert!(from + len <= self.len, "part {from}..{} of a buffer of {}", from + len, self.len);
        // SAFETY: in bounds by the assertion, disjoint and alive by the caller's promise
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(from), len) }
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
