//! From `auto`, `cpu`, `cuda` or `cuda:<index>` to a device. The only place that knows whether CUDA was built in.

use anyhow::{Context, Result, bail};
use candle_core::Device;

/// Checks the spelling only.
pub fn check(text: &str) -> Result<()> {
    match text {
        "auto" | "cpu" | "cuda" => Ok(()),
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
        "auto" if !cfg!(feature = "cuda") => Ok(Device::Cpu),
        "auto" => match Device::new_cuda(0) {
            Ok(device) => Ok(device),
            Err(error) => {
                tracing::warn!(%error, "no CUDA device can be used; running on the CPU");
                Ok(Device::Cpu)
            }
        },
        _ if !cfg!(feature = "cuda") => {
            bail!("device `{text}`: this program was built without CUDA; build it with --features cuda (docs/gpu.md)")
        }
        _ => {
            let index = text.strip_prefix("cuda:").map_or(Ok(0), str::parse)?;
            Device::new_cuda(index).with_context(|| format!("CUDA device {index} can not be used"))
        }
    }
}

/// The device's name for people and manifests.
pub fn describe(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_string(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: that variable where it is set, and otherwise all that the
/// driver lists.
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
    fn visible_gpus_are_those_that_cuda_would_see() {
        assert_eq!(named_gpus("0,2"), ["0", "2"]);
        assert_eq!(named_gpus("GPU-8f, MIG-1"), ["GPU-8f", "MIG-1"]);
        assert_eq!(named_gpus("1,-1,2"), ["1"]);
        assert!(named_gpus("").is_empty());
    }
}
