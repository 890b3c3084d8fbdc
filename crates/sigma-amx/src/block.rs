//! 32 x 32 sums over the chunks of two panels.

use std::marker::PhantomData;

use crate::cpu::Unit;
use crate::tile::{PANEL, Parts, Tile};

/// The unit, set up for this thread until it is dropped.
#[derive(Debug)]
pub struct Session {
    unit: Unit,
    /// The set-up belongs to the thread.
    _thread: PhantomData<*const ()>,
}

/// What the products are added to.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    Zero,
    /// The numbers that `out` holds.
    Out,
}

/// A panel of the left and one of the right matrix, packed with the same inner length in the same parts.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    pub left: &'a [Tile],
    pub right: &'a [Tile],
    pub parts: Parts,
}

pub(crate) struct Block<'a> {
    pub(crate) pair: Pair<'a>,
    pub(crate) start: Start,
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
}

impl Unit {
    /// Sets the unit up for the calling thread.
    pub fn begin(self) -> Session {
        #[cfg(target_arch = "x86_64")]
        if let Unit::Amx(_) = self {
            // SAFETY: there is a `Unit::Amx` only where the CPU has the unit and the process may use it
            unsafe { crate::amx::begin() };
        }
        Session { unit: self, _thread: PhantomData }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if let Unit::Amx(_) = self.unit {
            // SAFETY: `begin` was called for this session, which has not left its thread
            unsafe { crate::amx::end() };
        }
    }
}

impl Session {
    /// out = start + left right, where out is 32 rows of 32 numbers.
    pub fn multiply(&self, out: &mut [[f32; PANEL]; PANEL], start: Start, pair: Pair<'_>) {
        // SAFETY: `out` has these rows, and is ours alone
        unsafe { self.multiply_into(out.as_flattened_mut().as_mut_ptr(), PANEL, start, pair) };
    }

    /// The same for rows that are `stride` numbers apart.
    ///
    /// # Safety
    /// 32 rows of 32 numbers must lie at `out`, and nobody else may use them meanwhile.
    pub unsafe fn multiply_into(&self, out: *mut f32, stride: usize, start: Start, pair: Pair<'_>) {
        let Pair { left, right, parts } = pair;
        assert!(left.len() == right.len() && left.len().is_multiple_of(parts.tiles()) && !left.is_empty());
        let block = Block { pair, start, out, stride };
        match self.unit {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the unit, and this session has set it up on this thread; the rest is the caller's
            // promise
            Unit::Amx(_) => unsafe { block.amx() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there is a `Unit::Dot` only where the CPU has the instructions; the rest is the caller's promise
            Unit::Dot(_) => unsafe { block.dot() },
            #[cfg(not(target_arch = "x86_64"))]
            Unit::Amx(_) | Unit::Dot(_) => {}
            // SAFETY: the caller's promise
            Unit::Emulated => unsafe { block.emulated() },
        }
    }
}
