//! From `auto`, `cpu`, `cuda` or `cuda:<index>` to a device. The only place that knows whether CUDA was built in.

use anyhow::{Context, Result, bail};
use sigma_kernels::gpu::Gpu;
use sigma_model::Device;

pub fn built_with_cuda() -> bool {
    cfg!(feature = "cuda")
}

/// The CPU in a GPU's place, kernel by kernel: for the tests, which are built with it, and far too slow for anything
/// else.
const EMULATED: &str = "emulated";

/// Checks the spelling only.
pub fn check(text: &str) -> Result<()> {
    match text {
        "auto" | "cpu" | "cuda" | EMULATED => Ok(()),
        _ => match text.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(_)) => Ok(()),
            _ => bail!("`{text}` is not a device; use auto, cpu, cuda or cuda:<index>"),
        },
    }
}

/// Opens the device. `auto` is the first CUDA device where there is one, and the CPU otherwise.
pub fn open(text: &str) -> Result<Device> {
    check(text)?;
    match text {
        "cpu" => Ok(Device::Cpu),
        "auto" if !built_with_cuda() => Ok(Device::Cpu),
        "auto" => match Gpu::open(0) {
            Ok(gpu) => Ok(Device::Gpu(gpu)),
            Err(error) => {
                tracing::warn!(%error, "no CUDA device can be used; running on the CPU");
                Ok(Device::Cpu)
            }
        },
        EMULATED => match Gpu::open_emulated() {
            Ok(gpu) => Ok(Device::Gpu(gpu)),
            Err(_) => bail!("device `{EMULATED}` is for the tests, which are built with it; use cpu or cuda"),
        },
        _ if !built_with_cuda() => {
            bail!("device `{text}`: this program was built without CUDA; build it with --features cuda (docs/gpu.md)")
        }
        _ => {
            let index = text.strip_prefix("cuda:").map_or(Ok(0), str::parse)?;
            let gpu = Gpu::open(index).with_context(|| format!("CUDA device {index} cannot be used"))?;
            Ok(Device::Gpu(gpu))
        }
    }
}

/// The device's name for people and manifests.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu => "cpu".to_string(),
        Device::Gpu(gpu) if gpu.is_emulated() => EMULATED.to_string(),
        Device::Gpu(gpu) => format!("cuda:{}", gpu.index()),
    }
}

/// What decides the arithmetic of a device, whichever of its kind it is: `cpu`, `cuda`.
pub fn kind(name: &str) -> &str {
    name.split_once(':').map_or(name, |(kind, _)| kind)
}

/// The maker's name of a GPU, with the versions of what computes there.
pub fn gpu_name(device: &Device) -> Option<String> {
    match device {
        Device::Cpu => None,
        Device::Gpu(gpu) => Some(gpu.name()),
    }
}

/// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: that variable where it is set, and otherwise
/// all that the driver lists.
pub fn visible_gpus() -> Vec<String> {
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(text) => named_gpus(&text),
        Err(_) => {
            let listed = std::fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count);
            (0..listed).map(|index| index.to_string()).collect()
        }
    }
}

/// CUDA stops at the first name that is none.
fn named_gpus(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).take_while(|name| !name.is_empty() && *name != "-1").map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_gpu_is_not_its_kind() {
        assert_eq!(["cpu", "cuda", "cuda:1", "emulated"].map(kind), ["cpu", "cuda", "cuda", "emulated"]);
    }

    #[test]
    fn visible_gpus_are_those_that_cuda_would_see() {
        assert_eq!(named_gpus("0,2"), ["0", "2"]);
        assert_eq!(named_gpus("GPU-8f, MIG-1"), ["GPU-8f", "MIG-1"]);
        assert_eq!(named_gpus("1,-1,2"), ["1"]);
        assert!(named_gpus("").is_empty());
    }
}
