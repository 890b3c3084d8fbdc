//! Where a model computes: the CPU, or a GPU of the project's own engine.

use sigma_kernels::gpu::Gpu;

#[derive(Debug, Clone)]
pub enum Device {
    Cpu,
    Gpu(Gpu),
}

impl Device {
    pub fn is_cpu(&self) -> bool {
        matches!(self, Device::Cpu)
    }

    pub fn is_gpu(&self) -> bool {
        matches!(self, Device::Gpu(_))
    }
}
