//! Which dtype products run in.

use candle_core::DType;
use sigma_model::Device;

use crate::config::Precision;

impl Precision {
    /// The dtype on `device`.
    pub fn dtype(self, device: &Device) -> DType {
        match self {
            Precision::Auto if device.is_gpu() => DType::F16,
            Precision::Auto | Precision::Fp32 => DType::F32,
            Precision::Fp16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        }
    }
}
