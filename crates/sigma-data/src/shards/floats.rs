//! Floating-point numbers of a file as float32.

use std::io::{self, Read};

use half::{bf16, f16};

/// Values converted at a time where the file's type is not float32.
const PIECE: usize = 1 << 16;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatType {
    F16,
    Bf16,
    F32,
    F64,
}

/// How the bytes of a value lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl FloatType {
    /// Bytes of one value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Fills `values` from the reader.
    pub(super) fn read(self, endian: Endian, reader: &mut impl Read, values: &mut [f32]) -> io::Result<()> {
        if self == Self::F32 {
            reader.read_exact(bytemuck::cast_slice_mut(values))?;
            match endian {
                // nothing to do where memory is little-endian
                Endian::Little => values.iter_mut().for_each(|value| *value = f32::from_le_bytes(value.to_ne_bytes())),
                Endian::Big => values.iter_mut().for_each(|value| *value = f32::from_be_bytes(value.to_ne_bytes())),
            }
            return Ok(());
        }
        let mut bytes = vec![0; PIECE.min(values.len()) * self.size()];
        for values in values.chunks_mut(PIECE) {
            let bytes = &mut bytes[..values.len() * self.size()];
            reader.read_exact(bytes)?;
            if endian == Endian::Big {
                bytes.chunks_exact_mut(self.size()).for_each(<[u8]>::reverse);
            }
            match self {
                Self::F16 => convert(values, bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
                Self::Bf16 => convert(values, bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
                Self::F32 => convert(values, bytes, f32::from_le_bytes),
                Self::F64 => convert(values, bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            }
        }
        Ok(())
    }
}

fn convert<const N: usize>(values: &mut [f32], bytes: &[u8], convert: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (value, bytes) in values.iter_mut().zip(chunks) {
        *value = convert(*bytes);
    }
}
