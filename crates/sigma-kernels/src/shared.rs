//! A pointer that threads may share when they write disjoint parts of one buffer.

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

    /// The address of element `offset`, for strided writes of a matrix.
    ///
    /// # Safety
    /// Everything written through it must stay inside the buffer and be disjoint from other writers' elements.
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut f32 {
        assert!(offset < self.len.max(1));
        // SAFETY: in bounds by the assertion
        unsafe { self.pointer.add(offset) }
    }
}
