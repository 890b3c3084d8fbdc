//! Buffers that are used again.

/// A buffer whose contents do not matter, resized to `len`.
pub(crate) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}
