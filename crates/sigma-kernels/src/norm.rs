//! The L2 norm over all gradients together, in f64, summed in an order that does not depend on threads.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::bias::TASK;
use crate::lanes;

/// sqrt of the sum of squares. NaN or infinite elements make the result so.
pub fn global_norm(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(TASK)
        .map(|part| {
            lanes::vectorized(
                #[inline(always)]
                || lanes::sum_squares(part),
            )
        })
        .collect();
    parts.iter().sum::<f64>().sqrt()
}

/// The same over tensors on any one device by candle's operations; one transfer from the device in all.
pub fn reference(tensors: &[&Tensor]) -> Result<f64> {
    let parts =
        tensors.iter().map(|t| t.to_dtype(DType::F32)?.flatten_all()?.sqr()?.sum_all()).collect::<Result<Vec<_>>>()?;
    if parts.is_empty() {
        return Ok(0.0);
    }
    let parts = Tensor::stack(&parts, 0)?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
    Ok(parts.iter().map(|x| f64::from(*x)).sum::<f64>().sqrt())
}
