//! What this CPU has for products of bf16, and whether the system lets this process use it.

use std::sync::OnceLock;

use crate::tile::Parts;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The matrix unit of this CPU. Only [`Unit::of_this_cpu`] gives it.
    Amx(Present),
    /// Its vector instructions for bf16. Only [`Unit::dot`] gives them.
    Dot(Present),
    /// Plain Rust that gives the bits of the matrix unit, slowly.
    Emulated,
}

/// A proof that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present(());

impl Unit {
    /// The matrix unit of this CPU, unless there is none, the system forbids it, or the environment variable
    /// `SIGMA_EXP_AMX` is `0` or `dot`. The first call decides for the whole process.
    pub fn of_this_cpu() -> Option<Self> {
        static UNIT: OnceLock<Option<Unit>> = OnceLock::new();
        *UNIT.get_or_init(|| (wanted().is_none() && vectors() && has_matrix_unit()).then_some(Unit::Amx(Present(()))))
    }

    /// This CPU's vector instructions for bf16, unless there are none or the variable is `0`.
    pub fn dot() -> Option<Self> {
        static UNIT: OnceLock<Option<Unit>> = OnceLock::new();
        *UNIT.get_or_init(|| (wanted().as_deref() != Some("0") && vectors()).then_some(Unit::Dot(Present(()))))
    }

    /// What multiplies faster here than vectors of f32 do. For three parts only the matrix unit can; for one also
    /// vectors of bf16, but not Intel's, which are slower at it, unless the variable is `dot`.
    pub fn for_parts(parts: Parts) -> Option<Self> {
        static FOR_ONE: OnceLock<Option<Unit>> = OnceLock::new();
        let for_one = || Unit::of_this_cpu().or_else(|| Unit::dot().filter(|_| wanted().is_some() || is_by_amd()));
        match parts {
            Parts::One => *FOR_ONE.get_or_init(for_one),
            Parts::Three => Unit::of_this_cpu(),
        }
    }
}

/// What the environment variable says, if it is one of the two values that mean something.
fn wanted() -> Option<String> {
    std::env::var("SIGMA_EXP_AMX").ok().filter(|value| value == "0" || value == "dot")
}

#[cfg(target_arch = "x86_64")]
fn is_by_amd() -> bool {
    #[allow(unused_unsafe, reason = "calling cpuid has become safe in later compilers")]
    // SAFETY: every 64-bit x86 CPU has the instruction
    let vendor = unsafe { std::arch::x86_64::__cpuid(0) };
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_by_amd() -> bool {
    false
}

/// Whether there are the vector instructions that packing uses.
#[cfg(target_arch = "x86_64")]
fn vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> bool {
    false
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_matrix_unit() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    #[allow(unused_unsafe, reason = "calling cpuid has become safe in later compilers")]
    // SAFETY: every 64-bit x86 CPU has the instruction
    let leaf7 = unsafe { (__cpuid(0).eax >= 7).then(|| __cpuid_count(7, 0).edx) };
    leaf7.is_some_and(|edx| edx & AMX_BF16 != 0 && edx & AMX_TILE != 0) && permitted()
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
fn has_matrix_unit() -> bool {
    false
}
