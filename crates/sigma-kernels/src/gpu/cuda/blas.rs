//! Matrix products by cuBLAS. It thinks in columns: a row-major matrix is to it the transpose, so c = op(a) op(b) is
//! asked for as c^T = op(b)^T op(a)^T, with b as the first operand, and strides of rows as leading dimensions.

use std::ffi::c_int;
use std::sync::Arc;

use cudarc::cublas::result::{CublasError, create_handle, destroy_handle, set_stream};
use cudarc::cublas::sys::{self, cublasComputeType_t, cublasGemmAlgo_t, cublasMath_t, cublasOperation_t, cudaDataType};
use cudarc::driver::{CudaStream, result};

use super::super::{Dtype, Gemm, GemmBatched, GpuError};
use super::failed;

/// What cuBLAS itself would take on an H100. With memory of its own it allocates nothing, so that products can be
/// recorded.
const WORKSPACE_BYTES: usize = 32 << 20;

/// Accumulates in f32. TF32 would have to be asked for, by another compute type or math mode.
const COMPUTE: cublasComputeType_t = cublasComputeType_t::CUBLAS_COMPUTE_32F;
const ALGORITHM: cublasGemmAlgo_t = cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT;

pub(super) struct Blas {
    handle: sys::cublasHandle_t,
    workspace: u64,
    stream: Arc<CudaStream>,
}

fn blas(what: &'static str) -> impl Fn(CublasError) -> GpuError {
    move |error| GpuError::Blas { what, text: format!("{:?}", error.0) }
}

fn operation(transposed: bool) -> cublasOperation_t {
    if transposed { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N }
}

fn data_type(dtype: Dtype) -> cudaDataType {
    match dtype {
        Dtype::F16 => cudaDataType::CUDA_R_16F,
        Dtype::Bf16 => cudaDataType::CUDA_R_16BF,
        _ => cudaDataType::CUDA_R_32F,
    }
}

/// Sizes and strides were found to fit.
fn int(n: usize) -> c_int {
    c_int::try_from(n).unwrap_or(c_int::MAX)
}

impl Blas {
    /// The stream's context must be bound to the calling thread.
    pub(super) fn new(stream: Arc<CudaStream>) -> Result<Self, GpuError> {
        const OPENING: &str = "opening";
        let handle = create_handle().map_err(blas(OPENING))?;
        let mut opened = Self { handle, workspace: 0, stream };
        // SAFETY: a new handle, a stream that lives as long as it, and memory that is freed after it
        unsafe {
            set_stream(handle, opened.stream.cu_stream().cast()).map_err(blas(OPENING))?;
            opened.workspace = result::malloc_sync(WORKSPACE_BYTES).map_err(failed("allocating cuBLAS's workspace"))?;
            // after the stream, which resets it
            sys::cublasSetWorkspace_v2(handle, opened.workspace as *mut _, WORKSPACE_BYTES)
                .result()
                .map_err(blas(OPENING))?;
            // partial sums of f16 products are not rounded to f16
            sys::cublasSetMathMode(handle, cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)
                .result()
                .map_err(blas(OPENING))?;
        }
        Ok(opened)
    }

    /// Of the library that was found.
    pub(super) fn version(&self) -> Result<String, GpuError> {
        let mut version = 0;
        // SAFETY: writes one number
        unsafe { sys::cublasGetVersion_v2(self.handle, &mut version) }
            .result()
            .map_err(blas("asking for its version"))?;
        Ok(format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100))
    }

    pub(super) fn gemm(&self, g: &Gemm<'_>) -> Result<(), GpuError> {
        let (alpha, beta) = (g.scale, if g.accumulate { 1f32 } else { 0.0 });
        // SAFETY: the matrices lie inside live buffers, as `Gemm::check` has seen; alpha and beta are read before the
        // return
        unsafe {
            sys::cublasGemmEx(
                self.handle,
                operation(g.b.transposed),
                operation(g.a.transposed),
                int(g.n),
                int(g.m),
                int(g.k),
                std::ptr::from_ref(&alpha).cast(),
                g.b.view.address() as *const _,
                data_type(g.b.view.dtype()),
                int(g.b.stride),
                g.a.view.address() as *const _,
                data_type(g.a.view.dtype()),
                int(g.a.stride),
                std::ptr::from_ref(&beta).cast(),
                g.c.address() as *mut _,
                data_type(g.c.dtype()),
                int(g.c_stride),
                COMPUTE,
                ALGORITHM,
            )
        }
        .result()
        .map_err(blas("a product"))
    }

    pub(super) fn gemm_batched(&self, g: &GemmBatched<'_>) -> Result<(), GpuError> {
        let (alpha, beta) = (g.scale, if g.accumulate { 1f32 } else { 0.0 });
        // SAFETY: arrays of at least `count` addresses in device memory, which the caller has made of live buffers
        unsafe {
            sys::cublasGemmBatchedEx(
                self.handle,
                operation(g.b.transposed),
                operation(g.a.transposed),
                int(g.n),
                int(g.m),
                int(g.k),
                std::ptr::from_ref(&alpha).cast(),
                g.b.addresses.address() as *const _,
                data_type(g.b.dtype),
                int(g.b.stride),
                g.a.addresses.address() as *const _,
                data_type(g.a.dtype),
                int(g.a.stride),
                std::ptr::from_ref(&beta).cast(),
                g.c.address() as *const _,
                data_type(g.c_dtype),
                int(g.c_stride),
                int(g.count),
                COMPUTE,
                ALGORITHM,
            )
        }
        .result()
        .map_err(blas("a batched product"))
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        // SAFETY: made once, destroyed once; the workspace after its user
        unsafe {
            let _ = destroy_handle(self.handle);
            if self.workspace != 0 {
                context.record_err(result::free_sync(self.workspace));
            }
        }
    }
}
