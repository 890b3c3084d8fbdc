//! Device memory: buffers that own it, views of their parts, and the types of elements.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::{Gpu, GpuError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    U32,
    U64,
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 | Dtype::U32 => 4,
            Dtype::U64 | Dtype::F64 => 8,
        }
    }

    /// How kernels of this type end: `cast_bf16`.
    pub const fn suffix(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::U32 => "u32",
            Dtype::U64 => "u64",
            Dtype::F64 => "f64",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

mod sealed {
    /// # Safety
    /// Every pattern of bytes must be a value, and no byte of a value may be padding.
    pub unsafe trait Bytes: Copy + Send + Sync + 'static {}
}

/// A number that device memory can hold.
pub trait Element: sealed::Bytes {
    const DTYPE: Dtype;
    const ZERO: Self;
}

macro_rules! element {
    ($($type:ty, $dtype:ident, $zero:expr;)*) => {$(
        // SAFETY: a number without padding, for which all bits are a value
        unsafe impl sealed::Bytes for $type {}
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            const ZERO: Self = $zero;
        }
    )*};
}

element! {
    f32, F32, 0.0;
    f64, F64, 0.0;
    u32, U32, 0;
    u64, U64, 0;
    half::f16, F16, half::f16::ZERO;
    half::bf16, Bf16, half::bf16::ZERO;
}

fn bytes<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: `Bytes` promises that no byte is padding, and u8 has no alignment
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn bytes_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `bytes`, and any bytes make a value
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// A buffer that nobody writes any more: it can be read beside the work of other threads.
#[derive(Debug)]
pub struct Settled {
    buffer: Arc<Buffer>,
}

impl Settled {
    /// All elements.
    pub fn read<T: Element>(&self) -> Result<Vec<T>, GpuError> {
        let buffer = &self.buffer;
        assert!(T::DTYPE == buffer.dtype, "a read of {} from a buffer of {}", T::DTYPE, buffer.dtype);
        let mut values = vec![T::ZERO; buffer.len];
        if !values.is_empty() {
            buffer.gpu.shared.device.read_settled(buffer.address, bytes_mut(&mut values))?;
        }
        Ok(values)
    }
}

/// Device memory of its own, freed when dropped, after the work that was given to the GPU before.
pub struct Buffer {
    gpu: Gpu,
    address: u64,
    len: usize,
    dtype: Dtype,
}

impl Buffer {
    pub(super) fn new(gpu: &Gpu, dtype: Dtype, len: usize) -> Result<Self, GpuError> {
        let bytes = len.max(1).checked_mul(dtype.size()).ok_or(GpuError::OutOfMemory { asked: u64::MAX, free: 0 })?;
        Ok(Self { address: gpu.shared.device.alloc(bytes)?, gpu: gpu.clone(), len, dtype })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn view(&self) -> View<'_> {
        View { address: self.address, len: self.len, dtype: self.dtype, buffer: PhantomData }
    }

    pub fn slice(&self, range: Range<usize>) -> View<'_> {
        self.view().slice(range)
    }

    /// Copies host values to the elements that begin at `at`; the values may be dropped after the return.
    pub fn write<T: Element>(&self, at: usize, values: &[T]) -> Result<(), GpuError> {
        assert!(T::DTYPE == self.dtype, "a write of {} into a buffer of {}", T::DTYPE, self.dtype);
        let target = self.slice(at..at + values.len());
        self.gpu.not_recording("an upload")?;
        if values.is_empty() { Ok(()) } else { self.gpu.shared.device.write(target.address, bytes(values)) }
    }

    /// The elements of `range`, when all work before is done.
    pub fn read<T: Element>(&self, range: Range<usize>) -> Result<Vec<T>, GpuError> {
        assert!(T::DTYPE == self.dtype, "a read of {} from a buffer of {}", T::DTYPE, self.dtype);
        let source = self.slice(range);
        self.gpu.not_recording("a read")?;
        let mut values = vec![T::ZERO; source.len];
        if !values.is_empty() {
            self.gpu.shared.device.read(source.address, bytes_mut(&mut values))?;
        }
        Ok(values)
    }

    /// Waits until all work before is done, after which nobody may write to this buffer any more.
    pub fn settle(self: &Arc<Self>) -> Result<Settled, GpuError> {
        self.gpu.synchronize()?;
        Ok(Settled { buffer: self.clone() })
    }

    /// Makes every element zero.
    pub fn clear(&self) -> Result<(), GpuError> {
        self.gpu.may_work("a clear")?;
        if self.len == 0 {
            return Ok(());
        }
        self.gpu.shared.device.clear(self.address, self.len * self.dtype.size())
    }

    /// Copies `from` to the elements that begin at `at`, on the device. The two must not overlap.
    pub fn copy_from(&self, at: usize, from: View<'_>) -> Result<(), GpuError> {
        assert!(from.dtype == self.dtype, "a copy of {} into a buffer of {}", from.dtype, self.dtype);
        let target = self.slice(at..at + from.len);
        self.gpu.may_work("a copy")?;
        if from.len == 0 {
            return Ok(());
        }
        self.gpu.shared.device.copy(target.address, from.address, from.len * self.dtype.size())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu.shared.device.free(self.address);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} x {} at {:#x})", self.len, self.dtype, self.address)
    }
}

/// Elements of a buffer that follow each other.
#[derive(Clone, Copy)]
pub struct View<'a> {
    address: u64,
    len: usize,
    dtype: Dtype,
    buffer: PhantomData<&'a Buffer>,
}

impl<'a> View<'a> {
    /// Of the first element, on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub fn slice(&self, range: Range<usize>) -> View<'a> {
        let Range { start, end } = range;
        assert!(start <= end && end <= self.len, "elements {start}..{end} of a view of {}", self.len);
        View { address: self.address + (start * self.dtype.size()) as u64, len: end - start, ..*self }
    }

    /// The same for a recording, which promises nothing about the buffer's life.
    #[cfg(feature = "emulator")]
    pub(super) fn recorded(self) -> View<'static> {
        View { address: self.address, len: self.len, dtype: self.dtype, buffer: PhantomData }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} x {} at {:#x})", self.len, self.dtype, self.address)
    }
}
