//! Whether this CPU has the unit and the system lets this process use it.

use std::sync::OnceLock;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The matrix unit of this CPU. Only [`Unit::of_this_cpu`] gives it.
    Amx(Present),
    /// Plain Rust that gives the same bits, slowly.
    Emulated,
}

/// A proof that the unit is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present(());

impl Unit {
    /// The unit of this CPU, unless there is none, the system forbids it, or the environment variable `SIGMA_EXP_AMX` is `0`. The first
    /// call decides for the whole process.
    pub fn of_this_cpu() -> Option<Self> {
        static UNIT: OnceLock<Option<Unit>> = OnceLock::new();
        *UNIT.get_or_init(|| {
            let forbidden = std::env::var_os("SIGMA_EXP_AMX").is_some_and(|value| value == "0");
            (!forbidden && usable()).then_some(Unit::Amx(Present(())))
        })
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn usable() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    // the vector instructions that packing uses
    let vectors = std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512bf16");
    #[allow(unused_unsafe, reason = "calling cpuid has become safe in later compilers")]
    // SAFETY: every 64-bit x86 CPU has the instruction
    let leaf7 = unsafe { (__cpuid(0).eax >= 7).then(|| __cpuid_count(7, 0).edx) };
    vectors && leaf7.is_some_and(|edx| edx & AMX_BF16 != 0 && edx & AMX_TILE != 0) && permitted()
}

/// Asks Linux for the 8 KB of register state that tiles add to a thread (since 5.16; an older one refuses).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: the call changes nothing but this process's permission
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn usable() -> bool {
    false
}
