//! The kernels that were compiled as C++ (`cuda/emulator`), and how they are run: blocks one after another on each
//! thread, ranges of blocks in parallel.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::LazyLock;

use rayon::prelude::*;

use super::super::Arg;
use super::super::signature::{self, Parameter};

/// What a block can have on every GPU with compute capability 8.0 or more.
pub(super) const MOST_SHARED_BYTES: u32 = 99 * 1024;

const MESSAGE_BYTES: usize = 512;

unsafe extern "C" {
    fn sigma_emulator_kernels() -> usize;
    fn sigma_emulator_name(kernel: usize) -> *const c_char;
    fn sigma_emulator_parameters(kernel: usize) -> *const c_char;
    fn sigma_emulator_run(
        kernel: usize,
        grid_x: c_uint,
        grid_y: c_uint,
        from: u64,
        to: u64,
        threads: c_uint,
        shared_bytes: usize,
        values: *const *const c_void,
        message: *mut c_char,
        message_bytes: usize,
    ) -> c_int;
}

#[derive(Debug)]
struct Entry {
    name: String,
    parameters: Vec<Parameter>,
}

static KERNELS: LazyLock<(Vec<Entry>, HashMap<String, usize>)> = LazyLock::new(|| {
    // SAFETY: the list is complete before `main`, and its strings live as long as the process
    let text = |pointer: *const c_char| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    let entries: Vec<Entry> = (0..unsafe { sigma_emulator_kernels() })
        // SAFETY: as above, and the index is in range
        .map(|kernel| unsafe { (text(sigma_emulator_name(kernel)), text(sigma_emulator_parameters(kernel))) })
        .map(|(name, parameters)| Entry { name, parameters: signature::from_names(&parameters) })
        .collect();
    let by_name = entries.iter().enumerate().map(|(i, entry)| (entry.name.clone(), i)).collect();
    (entries, by_name)
});

#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    index: usize,
}

impl Kernel {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        KERNELS.1.get(name).map(|&index| Self { index })
    }

    pub(super) fn name(self) -> &'static str {
        &KERNELS.0[self.index].name
    }

    pub(super) fn parameters(self) -> &'static [Parameter] {
        &KERNELS.0[self.index].parameters
    }

    /// Runs all blocks. The arguments must fit the parameters, and what they point to must be the kernel's to use.
    pub(super) fn run(self, grid: (u32, u32), block: u32, shared_bytes: u32, args: &[Arg<'_>]) -> Result<(), String> {
        let values: Vec<u64> = args.iter().map(Arg::bits).collect();
        let blocks = u64::from(grid.0) * u64::from(grid.1);
        let ranges = blocks.min(4 * rayon::current_num_threads() as u64);
        let run = |range: u64| {
            let (from, to) = (range * blocks / ranges, (range + 1) * blocks / ranges);
            let pointers: Vec<*const c_void> = values.iter().map(|value| std::ptr::from_ref(value).cast()).collect();
            let mut message = [0u8; MESSAGE_BYTES];
            // SAFETY: one pointer for each parameter, to a value of its size; the message has room for what is said
            let failed = unsafe {
                sigma_emulator_run(
                    self.index,
                    grid.0,
                    grid.1,
                    from,
                    to,
                    block,
                    shared_bytes as usize,
                    pointers.as_ptr(),
                    message.as_mut_ptr().cast(),
                    MESSAGE_BYTES,
                )
            };
            if failed == 0 {
                return None;
            }
            let text = CStr::from_bytes_until_nul(&message).map(|text| text.to_string_lossy().into_owned());
            Some(format!("kernel `{}`, {}", self.name(), text.unwrap_or_default()))
        };
        if ranges <= 1 {
            return (0..ranges).find_map(run).map_or(Ok(()), Err);
        }
        let failures: Vec<Option<String>> = (0..ranges).into_par_iter().map(run).collect();
        failures.into_iter().flatten().next().map_or(Ok(()), Err)
    }
}
