//! Compiles `cuda/kernels.cu`: with nvcc to PTX (feature `cuda`), with a C++ compiler for the emulation (feature
//! `emulator`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cuda");
    #[cfg(feature = "cuda")]
    cuda::compile();
    #[cfg(feature = "emulator")]
    emulator::compile();
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::env;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// A100 and newer; the driver makes machine code for the GPU at hand when the program starts.
    const COMPUTE_CAPABILITY: &str = "80";

    pub(super) fn compile() {
        for name in ["NVCC", "NVCC_CCBIN", "CUDA_HOME", "CUDA_PATH", "CUDA_COMPUTE_CAP"] {
            println!("cargo:rerun-if-env-changed={name}");
        }
        let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
        let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| COMPUTE_CAPABILITY.to_owned());
        let capability = capability.replace('.', "");
        println!("cargo:rustc-env=SIGMA_COMPUTE_CAPABILITY={capability}");
        let mut nvcc = Command::new(nvcc());
        nvcc.args(["--ptx", "-std=c++17", "-O3", &format!("-arch=compute_{capability}")]);
        if let Some(compiler) = env::var_os("NVCC_CCBIN") {
            nvcc.arg("-ccbin").arg(compiler);
        }
        nvcc.arg("-o").arg(&out).arg(Path::new("cuda").join("kernels.cu"));
        match nvcc.output() {
            Ok(done) if done.status.success() => {}
            Ok(done) => panic!(
                "{nvcc:?} failed:\n{}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            ),
            Err(error) => {
                panic!("feature `cuda` needs nvcc (in PATH, or named by NVCC or CUDA_HOME); {nvcc:?}: {error}")
            }
        }
    }

    fn nvcc() -> PathBuf {
        if let Some(nvcc) = env::var_os("NVCC") {
            return nvcc.into();
        }
        let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os).map(PathBuf::from);
        let candidates = homes.chain([PathBuf::from("/usr/local/cuda")]).map(|home| home.join("bin").join("nvcc"));
        candidates.into_iter().find(|path| path.exists()).unwrap_or_else(|| "nvcc".into())
    }
}

#[cfg(feature = "emulator")]
mod emulator {
    /// The same bits on every CPU: no fused multiply-add but where a kernel asks for it. Optimised in every profile,
    /// because tests run whole models through it.
    pub(super) fn compile() {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").opt_level(2).flag("-ffp-contract=off").flag("-Wno-unknown-pragmas");
        build.define("SIGMA_EMULATOR", None).include("cuda").file("cuda/emulator/emulator.cpp");
        if let Err(error) = build.try_compile("sigma_emulator") {
            panic!("tests of the CUDA kernels (feature `emulator`) need a C++17 compiler such as g++: {error}");
        }
    }
}
