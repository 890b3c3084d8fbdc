//! The instructions of the unit, which the compiler does not offer yet. It has eight registers of 16 rows of 64 bytes.

use std::cell::Cell;

use crate::block::{Block, Pair, Start};
use crate::tile::{HALF, PANEL, Parts};

thread_local! {
    /// Sessions of this thread: the first sets the unit up, and the last lets it go.
    static SESSIONS: Cell<usize> = const { Cell::new(0) };
}

/// # Safety
/// The CPU must have the unit, and the process may use it.
pub(crate) unsafe fn begin() {
    /// Palette 1; eight tiles of 16 rows of 64 bytes.
    #[repr(C, align(64))]
    struct Set {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    if SESSIONS.replace(SESSIONS.get() + 1) == 0 {
        let mut set = Set { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        set.row_bytes[..8].fill(64);
        set.rows[..8].fill(16);
        // SAFETY: the caller's promise
        unsafe { std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const set, options(nostack, readonly)) };
    }
}

/// # Safety
/// Once for each `begin` on this thread.
pub(crate) unsafe fn end() {
    if SESSIONS.replace(SESSIONS.get() - 1) == 1 {
        // SAFETY: the unit was set up
        unsafe { std::arch::asm!("tilerelease", options(nostack)) };
    }
}

/// Loads two tiles of a matrix: its part `$part`.
macro_rules! load {
    (left $part:literal) => {
        load!("left" $part "tmm4" "tmm5")
    };
    (right $part:literal) => {
        load!("right" $part "tmm6" "tmm7")
    };
    ($matrix:literal $part:literal $first:literal $second:literal) => {
        concat!(
            "tileloadd ", $first, ", [{", $matrix, "} + {row} + ", $part, " * 2048]\n",
            "tileloadd ", $second, ", [{", $matrix, "} + {row} + ", $part, " * 2048 + 1024]\n"
        )
    };
}

macro_rules! multiply {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\ntdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7\n"
    };
}

/// Asks for lines of the right panel two chunks ahead, of 2048 bytes each. A single product of parts is done before
/// they come by themselves, even from the second-level cache.
macro_rules! ahead {
    ($($line:literal)*) => {
        concat!($("prefetcht0 [{right} + 4096 + 64 * ", $line, "]\n"),*)
    };
}

/// The sums of a block over all chunks of its pair, where a chunk is `$bytes` long and what is done for it `$chunk`.
macro_rules! sums {
    ($block:expr, $bytes:literal, $($chunk:expr),+ $(,)?) => {{
        let Block { pair: Pair { left, right, .. }, start, out, stride } = $block;
        let out_row = stride * size_of::<f32>();
        // where the sums begin: numbers, and how many bytes one row is from the next
        const ZEROS: &[f32; PANEL] = &[0.0; PANEL];
        let (start, start_row) = match start {
            Start::Zero => (ZEROS.as_ptr(), 0),
            Start::Out => (out.cast_const(), out_row),
        };
        std::arch::asm!(
            "tileloadd tmm0, [{start} + {start_row}]",
            "tileloadd tmm1, [{start} + {start_row} + 64]",
            "tileloadd tmm2, [{start_half} + {start_row}]",
            "tileloadd tmm3, [{start_half} + {start_row} + 64]",
            "2:",
            $($chunk,)+
            concat!("add {left}, ", $bytes),
            concat!("add {right}, ", $bytes),
            "cmp {left}, {end}",
            "jne 2b",
            "tilestored [{out} + {out_row}], tmm0",
            "tilestored [{out} + {out_row} + 64], tmm1",
            "tilestored [{out_half} + {out_row}], tmm2",
            "tilestored [{out_half} + {out_row} + 64], tmm3",
            left = inout(reg) left.as_ptr() => _,
            right = inout(reg) right.as_ptr() => _,
            end = in(reg) left.as_ptr_range().end,
            row = in(reg) 64usize,
            start = in(reg) start,
            start_half = in(reg) start.wrapping_byte_add(HALF * start_row),
            start_row = in(reg) start_row,
            out = in(reg) out,
            out_half = in(reg) out.wrapping_byte_add(HALF * out_row),
            out_row = in(reg) out_row,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }};
}

impl Block<'_> {
    /// Four registers hold the sums, two hold tiles of the left and two of the right matrix; parts meet in the order of
    /// [`Parts::products`].
    ///
    /// # Safety
    /// The unit must be set up on this thread; 32 rows of 32 numbers must lie at `out`.
    pub(crate) unsafe fn amx(self) {
        match self.pair.parts {
            // SAFETY: both panels have as many chunks of two tiles of 1024 bytes, and out has 32 rows of 128 bytes
            Parts::One => unsafe {
                sums!(
                    self,
                    "2048",
                    load!(left 0),
                    load!(right 0),
                    multiply!(),
                    ahead!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31),
                );
            },
            // SAFETY: the same with six tiles
            Parts::Three => unsafe {
                sums!(
                    self,
                    "6144",
                    load!(left 2),
                    load!(right 0),
                    multiply!(),
                    load!(left 1),
                    multiply!(),
                    load!(right 1),
                    multiply!(),
                    load!(left 0),
                    multiply!(),
                    load!(right 2),
                    multiply!(),
                    load!(right 0),
                    multiply!(),
                );
            },
        }
    }
}
