//! 32 x 32 sums over the chunks of two panels: four tiles of sums, and two of each matrix, in the unit's eight registers.

use std::marker::PhantomData;

use crate::cpu::Unit;
use crate::tile::{HALF, PANEL, TILES, Tile};

/// Which parts of left and right are multiplied, in the order in which they are added to the sums: each step loads few tiles anew.
pub(crate) const PRODUCTS: [(usize, usize); 6] = [(2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)];

/// The unit, set up for this thread until it is dropped.
#[derive(Debug)]
pub struct Session {
    unit: Unit,
    /// The set-up belongs to the thread.
    _thread: PhantomData<*const ()>,
}

/// What the products are added to.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    Zero,
    /// The numbers that `out` holds.
    Out,
    /// The same row for each of the 32.
    Row(&'a [f32; PANEL]),
}

pub(crate) struct Block<'a> {
    pub(crate) left: &'a [Tile],
    pub(crate) right: &'a [Tile],
    pub(crate) start: Start<'a>,
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
}

impl Unit {
    /// Sets the unit up for the calling thread.
    pub fn begin(self) -> Session {
        #[cfg(target_arch = "x86_64")]
        if let Unit::Amx(_) = self {
            /// Palette 1; eight tiles of 16 rows of 64 bytes.
            #[repr(C, align(64))]
            struct Set {
                palette: u8,
                start_row: u8,
                reserved: [u8; 14],
                row_bytes: [u16; 16],
                rows: [u8; 16],
            }
            let mut set = Set { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
            set.row_bytes[..8].fill(64);
            set.rows[..8].fill(16);
            // SAFETY: the CPU has the unit and the process may use it, or there were no `Unit::Amx`
            unsafe { std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const set, options(nostack, readonly)) };
        }
        Session { unit: self, _thread: PhantomData }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if let Unit::Amx(_) = self.unit {
            // SAFETY: as in `begin`
            unsafe { std::arch::asm!("tilerelease", options(nomem, nostack)) };
        }
    }
}

impl Session {
    /// out = start + left right for one panel of each, packed with the same inner length, where out is 32 rows of 32 numbers.
    pub fn multiply(&self, out: &mut [[f32; PANEL]; PANEL], start: Start<'_>, left: &[Tile], right: &[Tile]) {
        // SAFETY: `out` has these rows, and is ours alone
        unsafe { self.multiply_into(out.as_flattened_mut().as_mut_ptr(), PANEL, start, left, right) };
    }

    /// The same for rows that are `stride` numbers apart.
    ///
    /// # Safety
    /// 32 rows of 32 numbers must lie at `out`, and nobody else may use them meanwhile.
    pub unsafe fn multiply_into(&self, out: *mut f32, stride: usize, start: Start<'_>, left: &[Tile], right: &[Tile]) {
        assert!(left.len() == right.len() && left.len().is_multiple_of(TILES) && !left.is_empty());
        let block = Block { left, right, start, out, stride };
        match self.unit {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the unit, and this session has set it up on this thread; the rest is the caller's promise
            Unit::Amx(_) => unsafe { block.amx() },
            #[cfg(not(target_arch = "x86_64"))]
            Unit::Amx(_) => {}
            // SAFETY: the caller's promise
            Unit::Emulated => unsafe { block.emulated() },
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Block<'_> {
    /// # Safety
    /// The unit must be set up on this thread; 32 rows of 32 numbers must lie at `out`.
    unsafe fn amx(self) {
        /// Loads two tiles of a matrix: its part `$part`.
        macro_rules! load {
            (left $part:literal) => {
                concat!(
                    "tileloadd tmm4, [{left} + {row} + ",
                    $part,
                    " * 2048]\n",
                    "tileloadd tmm5, [{left} + {row} + ",
                    $part,
                    " * 2048 + 1024]\n",
                )
            };
            (right $part:literal) => {
                concat!(
                    "tileloadd tmm6, [{right} + {row} + ",
                    $part,
                    " * 2048]\n",
                    "tileloadd tmm7, [{right} + {row} + ",
                    $part,
                    " * 2048 + 1024]\n",
                )
            };
        }
        macro_rules! multiply {
            () => {
                "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\ntdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7\n"
            };
        }
        let end = self.left.as_ptr_range().end;
        // where the sums begin: numbers, and how many bytes one row is from the next
        const ZEROS: &[f32; PANEL] = &[0.0; PANEL];
        let (start, start_row) = match self.start {
            Start::Zero => (ZEROS.as_ptr(), 0),
            Start::Out => (self.out.cast_const(), self.stride * size_of::<f32>()),
            Start::Row(row) => (row.as_ptr(), 0),
        };
        let (half, out_row) = (HALF * self.stride * size_of::<f32>(), self.stride * size_of::<f32>());
        // SAFETY: both panels have as many chunks of six tiles of 1024 bytes, and out has 32 rows of 128 bytes
        unsafe {
            std::arch::asm!(
                "tileloadd tmm0, [{start} + {start_row}]",
                "tileloadd tmm1, [{start} + {start_row} + 64]",
                "tileloadd tmm2, [{start_half} + {start_row}]",
                "tileloadd tmm3, [{start_half} + {start_row} + 64]",
                "2:",
                load!(left 2), load!(right 0), multiply!(),
                load!(left 1), multiply!(),
                load!(right 1), multiply!(),
                load!(left 0), multiply!(),
                load!(right 2), multiply!(),
                load!(right 0), multiply!(),
                "add {left}, 6144",
                "add {right}, 6144",
                "cmp {left}, {end}",
                "jne 2b",
                "tilestored [{out} + {out_row}], tmm0",
                "tilestored [{out} + {out_row} + 64], tmm1",
                "tilestored [{out_half} + {out_row}], tmm2",
                "tilestored [{out_half} + {out_row} + 64], tmm3",
                left = inout(reg) self.left.as_ptr() => _,
                right = inout(reg) self.right.as_ptr() => _,
                end = in(reg) end,
                row = in(reg) 64usize,
                start = in(reg) start,
                start_half = in(reg) start.wrapping_byte_add(HALF * start_row),
                start_row = in(reg) start_row,
                out = in(reg) self.out,
                out_half = in(reg) self.out.wrapping_byte_add(half),
                out_row = in(reg) out_row,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
