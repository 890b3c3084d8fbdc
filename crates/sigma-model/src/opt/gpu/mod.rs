//! OPT on a GPU by the project's own engine: parameters in one device buffer of the host's layout, explicit passes over
//! buffers that are allocated once, steps that are captured as graphs. Weights that are trained, the residual stream,
//! norms, softmax, loss and optimizer are f32; products run in `dtype`. `super::host` is what it is compared with, on
//! any CPU by the emulated GPU.
//!
//! Legend: R tokens of all rows of a batch, D hidden size, F feed-forward size, V vocabulary, L layers.

mod attention;
mod backward;
mod decoding;
mod forward;
mod head;
mod prompts;
mod recorded;
mod rows;
mod training;

use std::ops::Range;
use std::sync::Arc;

use candle_core::DType;
use sigma_kernels::gpu::{Buffer, Dtype, Gpu, GpuError, Settled, View};

pub use decoding::{GpuDecoder, RowState, Sampling, Slot};
pub(super) use forward::hidden_states;
pub(super) use head::{logits, losses};
pub use training::{Found, GpuTraining};

use super::parameters::{Affine, Layout, Parameters};
use crate::launches::Kernels;
use crate::opt::NORM_EPS;

/// The precision of products by candle's name for it; what is no half precision is f32.
pub(super) fn dtype(compute: DType) -> Dtype {
    match compute {
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        _ => Dtype::F32,
    }
}

/// The parameters of an OPT on a GPU. Cloning shares them.
#[derive(Debug, Clone)]
pub(in crate::opt) struct GpuParameters {
    pub(super) gpu: Gpu,
    pub(super) layout: Arc<Layout>,
    /// f32.
    values: Arc<Buffer>,
    /// The same in the precision of products, where that is not f32.
    operands: Option<Arc<Buffer>>,
}

impl GpuParameters {
    pub(super) fn upload(gpu: &Gpu, parameters: &Parameters) -> Result<Self, GpuError> {
        let values = Arc::new(gpu.upload(&parameters.values)?);
        Ok(Self { gpu: gpu.clone(), layout: parameters.layout.clone(), values, operands: None })
    }

    /// Waits for the device; from then on another thread can read the parameters, which nobody changes any more.
    pub(super) fn settle(&self) -> Result<SettledParameters, GpuError> {
        Ok(SettledParameters { layout: self.layout.clone(), values: self.values.settle()? })
    }

    pub(super) fn download(&self) -> Result<Parameters, GpuError> {
        self.settle()?.download()
    }

    /// The same parameters with products in `dtype`.
    pub(super) fn in_precision(&self, dtype: Dtype) -> Result<Self, GpuError> {
        let operands = match dtype {
            Dtype::F32 => None,
            _ => {
                let operands = self.gpu.alloc(dtype, self.values.len())?;
                Kernels { gpu: &self.gpu, dtype }.cast(operands.view(), self.values.view())?;
                Some(Arc::new(operands))
            }
        };
        Ok(Self { operands, ..self.clone() })
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.operands.as_ref().map_or(Dtype::F32, |operands| operands.dtype())
    }

    fn weights(&self) -> Weights<'_> {
        let operands = self.operands.as_ref().unwrap_or(&self.values);
        Weights { gpu: &self.gpu, layout: &self.layout, values: &self.values, operands }
    }
}

/// Parameters on a GPU that can be read beside the work of other threads.
#[derive(Debug)]
pub(in crate::opt) struct SettledParameters {
    layout: Arc<Layout>,
    values: Settled,
}

impl SettledParameters {
    pub(super) fn download(&self) -> Result<Parameters, GpuError> {
        Ok(Parameters { layout: self.layout.clone(), values: self.values.read()? })
    }
}

/// What a pass reads: the parameters in f32 and in the precision of products.
#[derive(Debug, Clone, Copy)]
struct Weights<'a> {
    gpu: &'a Gpu,
    layout: &'a Layout,
    values: &'a Buffer,
    operands: &'a Buffer,
}

impl<'a> Weights<'a> {
    fn kernels(&self) -> Kernels<'a> {
        Kernels { gpu: self.gpu, dtype: self.operands.dtype() }
    }

    /// In f32: embeddings, biases, norms.
    fn value(&self, range: &Range<usize>) -> View<'a> {
        self.values.slice(range.clone())
    }

    /// Weight, bias and epsilon of a layer norm.
    fn norm(&self, norm: &Affine) -> (View<'a>, View<'a>, f64) {
        (self.value(&norm.weight), self.value(&norm.bias), NORM_EPS)
    }

    /// In the precision of products: matrices.
    fn operand(&self, range: &Range<usize>) -> View<'a> {
        self.operands.slice(range.clone())
    }
}
