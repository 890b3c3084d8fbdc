//! The kernels as PTX: loaded as one module, for which the driver makes machine code, and found by name.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute};
use cudarc::driver::{CudaContext, CudaStream, result};

use super::super::device::Launch;
use super::super::signature::{self, Parameter};
use super::super::{Arg, GpuError};
use super::{failed, text};

static PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

pub(super) struct Kernels {
    by_name: HashMap<String, Kernel>,
    module: sys::CUmodule,
    context: Arc<CudaContext>,
}

struct Kernel {
    function: sys::CUfunction,
    parameters: Vec<Parameter>,
    /// Bytes of dynamic shared memory that launches may ask for; more must be announced once.
    shared_bytes: AtomicU32,
}

/// Has the driver make machine code of a PTX text, or tells why it cannot, in its compiler's own words.
fn compile(ptx: &CStr) -> Result<sys::CUmodule, String> {
    let mut log = [0u8; 4096];
    let mut options =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER];
    let mut values = [log.len() as *mut c_void, log.as_mut_ptr().cast()];
    let mut module = std::ptr::null_mut();
    // SAFETY: a text that ends with a zero byte, and two options with a value each: the size of the log is the value
    // itself
    let answer = unsafe {
        sys::cuModuleLoadDataEx(&mut module, ptx.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr())
    };
    answer.result().map(|()| module).map_err(|error| {
        let log =
            CStr::from_bytes_until_nul(&log).map_or_else(|_| String::new(), |log| log.to_string_lossy().into_owned());
        format!("{} {}", text(error), log.trim()).trim_end().to_owned()
    })
}

impl Kernels {
    /// The context must be bound to the calling thread.
    pub(super) fn load(context: Arc<CudaContext>) -> Result<Self, GpuError> {
        const LOADING: &str = "loading the kernels";
        let no_text = |_| GpuError::Driver { what: LOADING, text: "a zero byte in a name".to_owned() };
        let ptx = CString::new(PTX).map_err(no_text)?;
        let module = compile(&ptx).map_err(|text| GpuError::Driver { what: LOADING, text })?;
        let mut kernels = Self { by_name: HashMap::new(), module, context };
        for (name, parameters) in signature::from_ptx(PTX) {
            let symbol = CString::new(name.as_str()).map_err(no_text)?;
            // SAFETY: the module was loaded above and lives as long as `kernels`; asking for an attribute also makes
            // the driver load the kernel now, and not in the middle of a recording
            let (function, shared_bytes) = unsafe {
                let function = result::module::get_function(module, symbol).map_err(failed(LOADING))?;
                let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                (function, result::function::get_function_attribute(function, attribute).map_err(failed(LOADING))?)
            };
            let shared_bytes = AtomicU32::new(u32::try_from(shared_bytes).unwrap_or(0));
            kernels.by_name.insert(name, Kernel { function, parameters, shared_bytes });
        }
        Ok(kernels)
    }

    /// The context must be bound to the calling thread.
    pub(super) fn launch(&self, launch: &Launch<'_>, stream: &CudaStream) -> Result<(), GpuError> {
        let Launch { kernel: name, grid, block, shared_bytes, args } = *launch;
        let kernel = self.by_name.get(name).ok_or_else(|| GpuError::UnknownKernel { name: name.to_owned() })?;
        signature::check(name, &kernel.parameters, args)?;
        kernel.allow(shared_bytes)?;
        let mut values: Vec<u64> = args.iter().map(Arg::bits).collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let (grid, block) = ((grid.0, grid.1, 1), (block, 1, 1));
        // SAFETY: one pointer for each parameter, to a value of its size, which the driver has copied at the return;
        // what views point to is alive, and stays so until the stream has passed this launch
        unsafe { result::launch_kernel(kernel.function, grid, block, shared_bytes, stream.cu_stream(), &mut pointers) }
            .map_err(failed("a launch"))
    }
}

impl Kernel {
    fn allow(&self, shared_bytes: u32) -> Result<(), GpuError> {
        if shared_bytes <= self.shared_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
        // SAFETY: the function's module is loaded
        unsafe { result::function::set_function_attribute(self.function, attribute, bytes) }
            .map_err(failed("asking for shared memory"))?;
        self.shared_bytes.fetch_max(shared_bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        let context = &self.context;
        // SAFETY: loaded once, unloaded once; the driver waits for kernels that run
        context.record_err(context.bind_to_thread().and_then(|()| unsafe { result::module::unload(self.module) }));
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use super::super::super::{Dtype, emulated};
    use super::*;

    #[test]
    fn nvcc_and_the_emulator_saw_the_same_kernels() {
        let ptx = signature::from_ptx(PTX);
        assert!(ptx.contains_key("cast_f16"));
        for (name, parameters) in &ptx {
            let emulated = emulated::parameters(name).unwrap_or_else(|| panic!("the emulator has no {name}"));
            assert_eq!(emulated.len(), parameters.len(), "{name}");
            for (a, b) in emulated.iter().zip(parameters) {
                let pointer = matches!(b, Parameter::Pointer(None) | Parameter::PointerOrU64);
                let same = match a {
                    Parameter::Value(Dtype::U64) => *b == Parameter::PointerOrU64,
                    Parameter::Value(_) => a == b,
                    _ => pointer,
                };
                assert!(same, "{name}: {a:?} and {b:?}");
            }
        }
    }
}
