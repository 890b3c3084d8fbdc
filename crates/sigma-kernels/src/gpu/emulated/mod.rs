//! A GPU that the CPU emulates: the kernels of `cuda/` compiled as C++, memory of the host between guards, matrix
//! products by this crate's own. It is for tests: it finds writes outside of buffers, barriers that never open and
//! arguments of wrong types, and its results do not depend on the number of threads. It says nothing about a real GPU's
//! speed.

mod kernels;
mod memory;
mod product;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::device::{Device, Launch, Replay};
use super::{Arg, BatchedOperand, Gemm, GemmBatched, GpuError, Operand, signature};
use kernels::Kernel;
use memory::Memory;

#[derive(Debug)]
pub(super) struct EmulatedDevice {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: Mutex<Memory>,
    recording: Mutex<Option<Vec<Operation>>>,
    /// What a kernel did that no kernel may do; every later call fails with it.
    fault: Mutex<Option<String>>,
}

/// One step of a stream, with all its arguments.
#[derive(Debug, Clone)]
enum Operation {
    Launch { kernel: Kernel, grid: (u32, u32), block: u32, shared_bytes: u32, args: Vec<Arg<'static>> },
    Gemm(Gemm<'static>),
    GemmBatched(GemmBatched<'static>),
    Clear { address: u64, bytes: usize },
    Copy { to: u64, from: u64, bytes: usize },
}

#[derive(Debug)]
struct EmulatedGraph {
    state: Arc<State>,
    operations: Vec<Operation>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmulatedDevice {
    pub(super) fn new() -> Self {
        Self { state: Arc::default() }
    }
}

impl State {
    fn healthy(&self) -> Result<(), GpuError> {
        match &*lock(&self.fault) {
            Some(what) => Err(GpuError::Fault { what: what.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers the first fault.
    fn fault(&self, what: String) -> GpuError {
        let mut fault = lock(&self.fault);
        GpuError::Fault { what: fault.get_or_insert(what).clone() }
    }

    /// Records the operation, or carries it out.
    fn submit(&self, operation: Operation) -> Result<(), GpuError> {
        self.healthy()?;
        if let Some(recorded) = lock(&self.recording).as_mut() {
            recorded.push(operation);
            return Ok(());
        }
        self.carry_out(&operation)
    }

    /// No lock is held meanwhile: rayon may give the waiting thread other work, which may use this GPU too.
    fn carry_out(&self, operation: &Operation) -> Result<(), GpuError> {
        match operation {
            Operation::Launch { kernel, grid, block, shared_bytes, args } => {
                for arg in args {
                    if let Arg::View(view) = arg {
                        let what = || format!("kernel `{}` was given", kernel.name());
                        self.lives(view.address(), view.len() * view.dtype().size(), what)?;
                    }
                }
                kernel.run(*grid, *block, *shared_bytes, args).map_err(|what| self.fault(what))?;
                self.guards_are_whole(|| format!("kernel `{}`", kernel.name()))
            }
            Operation::Gemm(g) => self.products(&product::Product::of(g)),
            Operation::GemmBatched(g) => {
                for addresses in [g.a.addresses, g.b.addresses, g.c] {
                    self.lives(addresses.address(), g.count * 8, || "a batched product was given".to_owned())?;
                }
                let products = product::Product::of_batch(g);
                products.iter().try_for_each(|product| self.in_memory(product))?;
                if !products.iter().all(product::Product::is_aligned) {
                    return Err(GpuError::Blas { what: "a batched product", text: product::ALIGNMENT.to_owned() });
                }
                product::run_all(&products);
                Ok(())
            }
            Operation::Clear { address, bytes } => {
                self.lives(*address, *bytes, || "a clear was given".to_owned())?;
                // SAFETY: memory of this device, by the line before
                unsafe { std::ptr::write_bytes(*address as *mut u8, 0, *bytes) };
                Ok(())
            }
            Operation::Copy { to, from, bytes } => {
                self.lives(*to, *bytes, || "a copy was given".to_owned())?;
                self.lives(*from, *bytes, || "a copy was given".to_owned())?;
                // SAFETY: memory of this device, by the lines before
                unsafe { std::ptr::copy(*from as *const u8, *to as *mut u8, *bytes) };
                Ok(())
            }
        }
    }

    fn products(&self, product: &product::Product) -> Result<(), GpuError> {
        self.in_memory(product)?;
        product::run_all(std::slice::from_ref(product));
        Ok(())
    }

    fn in_memory(&self, product: &product::Product) -> Result<(), GpuError> {
        for (address, bytes) in product.memory() {
            self.lives(address, bytes, || "a product was given".to_owned())?;
        }
        Ok(())
    }

    fn lives(&self, address: u64, bytes: usize, what: impl Fn() -> String) -> Result<(), GpuError> {
        if lock(&self.memory).contains(address, bytes) {
            return Ok(());
        }
        Err(self.fault(format!("{} {bytes} bytes at {address:#x} that are not memory of this GPU, or freed", what())))
    }

    fn guards_are_whole(&self, who: impl Fn() -> String) -> Result<(), GpuError> {
        let damaged = lock(&self.memory).damaged();
        match damaged {
            Some(what) => Err(self.fault(format!("{} wrote {what}", who()))),
            None => Ok(()),
        }
    }
}

impl Device for EmulatedDevice {
    fn name(&self) -> String {
        "emulated GPU".to_owned()
    }

    fn is_emulated(&self) -> bool {
        true
    }

    fn most_shared_bytes(&self) -> u32 {
        kernels::MOST_SHARED_BYTES
    }

    fn index(&self) -> usize {
        0
    }

    fn alloc(&self, bytes: usize) -> Result<u64, GpuError> {
        self.state.healthy()?;
        lock(&self.state.memory).alloc(bytes)
    }

    fn free(&self, address: u64) {
        let mut memory = lock(&self.state.memory);
        memory.free(address);
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        self.state.healthy()?;
        self.state.lives(address, bytes.len(), || "an upload was given".to_owned())?;
        // SAFETY: memory of this device, by the line before
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
        Ok(())
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.state.healthy()?;
        self.state.lives(address, bytes.len(), || "a read was given".to_owned())?;
        // SAFETY: memory of this device, by the line before
        unsafe { std::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn read_settled(&self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.read(address, bytes)
    }

    fn clear(&self, address: u64, bytes: usize) -> Result<(), GpuError> {
        self.state.submit(Operation::Clear { address, bytes })
    }

    fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), GpuError> {
        self.state.submit(Operation::Copy { to, from, bytes })
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), GpuError> {
        let Launch { kernel: name, grid, block, shared_bytes, args } = *launch;
        let kernel = Kernel::by_name(name).ok_or_else(|| GpuError::UnknownKernel { name: name.to_owned() })?;
        signature::check(name, kernel.parameters(), args)?;
        if shared_bytes > kernels::MOST_SHARED_BYTES {
            return Err(GpuError::Launch { kernel: name.to_owned(), grid, block, shared_bytes });
        }
        let args = args.iter().map(recorded).collect();
        self.state.submit(Operation::Launch { kernel, grid, block, shared_bytes, args })
    }

    fn gemm(&self, g: &Gemm<'_>) -> Result<(), GpuError> {
        let operand = |o: Operand<'_>| Operand { view: o.view.recorded(), ..o };
        let g = Gemm { a: operand(g.a), b: operand(g.b), c: g.c.recorded(), ..*g };
        self.state.submit(Operation::Gemm(g))
    }

    fn gemm_batched(&self, g: &GemmBatched<'_>) -> Result<(), GpuError> {
        let operand = |o: BatchedOperand<'_>| BatchedOperand { addresses: o.addresses.recorded(), ..o };
        let g = GemmBatched { a: operand(g.a), b: operand(g.b), c: g.c.recorded(), ..*g };
        self.state.submit(Operation::GemmBatched(g))
    }

    fn begin_capture(&self) -> Result<(), GpuError> {
        self.state.healthy()?;
        *lock(&self.state.recording) = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&self) -> Result<Box<dyn Replay>, GpuError> {
        let operations = lock(&self.state.recording).take().unwrap_or_default();
        Ok(Box::new(EmulatedGraph { state: self.state.clone(), operations }))
    }

    fn synchronize(&self) -> Result<(), GpuError> {
        self.state.healthy()
    }

    fn memory(&self) -> Result<(u64, u64), GpuError> {
        Ok(lock(&self.state.memory).free_and_total())
    }
}

/// What a kernel takes, if there is one of this name.
#[cfg(all(test, feature = "cuda"))]
pub(super) fn parameters(kernel: &str) -> Option<&'static [signature::Parameter]> {
    Kernel::by_name(kernel).map(Kernel::parameters)
}

fn recorded(arg: &Arg<'_>) -> Arg<'static> {
    match *arg {
        Arg::View(view) => Arg::View(view.recorded()),
        Arg::Null => Arg::Null,
        Arg::U32(value) => Arg::U32(value),
        Arg::U64(value) => Arg::U64(value),
        Arg::F32(value) => Arg::F32(value),
        Arg::F64(value) => Arg::F64(value),
    }
}

impl Replay for EmulatedGraph {
    fn launch(&self) -> Result<(), GpuError> {
        self.state.healthy()?;
        self.operations.iter().try_for_each(|operation| self.state.carry_out(operation))
    }
}
