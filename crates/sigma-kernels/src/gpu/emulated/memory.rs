//! Device memory of the emulator: memory of the host between guards that nobody may write.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;

use super::super::GpuError;

const TOTAL: u64 = 8 << 30;
/// Before and behind each allocation; also its alignment.
const GUARD_BYTES: usize = 256;
/// NaN for every floating point type, an impossible index for every integer: reads of it are noticed too.
const GUARD: [u8; GUARD_BYTES] = {
    let mut guard = [0xFD; GUARD_BYTES];
    let mut i = 1;
    while i < GUARD_BYTES {
        guard[i] = 0xFF;
        i += 2;
    }
    guard
};

#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Bytes by address.
    allocations: BTreeMap<u64, usize>,
    used: u64,
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(2 * GUARD_BYTES)?, GUARD_BYTES).ok()
}

impl Memory {
    pub(super) fn alloc(&mut self, bytes: usize) -> Result<u64, GpuError> {
        let free = TOTAL - self.used;
        let out_of_memory = || GpuError::OutOfMemory { asked: bytes as u64, free };
        let layout = layout(bytes).filter(|_| bytes as u64 <= free).ok_or_else(out_of_memory)?;
        // SAFETY: the size is not 0
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            return Err(out_of_memory());
        }
        for guard in [0, GUARD_BYTES + bytes] {
            // SAFETY: inside the allocation, whose size is bytes + 2 * GUARD_BYTES
            unsafe { start.add(guard).cast::<[u8; GUARD_BYTES]>().write(GUARD) };
        }
        let address = start as u64 + GUARD_BYTES as u64;
        self.allocations.insert(address, bytes);
        self.used += bytes as u64;
        Ok(address)
    }

    pub(super) fn free(&mut self, address: u64) {
        let Some(bytes) = self.allocations.remove(&address) else { return };
        self.used -= bytes as u64;
        if let Some(layout) = layout(bytes) {
            // SAFETY: allocated in `alloc` with this layout, and freed once because it is in the table no more
            unsafe { dealloc((address - GUARD_BYTES as u64) as *mut u8, layout) };
        }
    }

    /// Whether these bytes lie in one live allocation.
    pub(super) fn contains(&self, address: u64, bytes: usize) -> bool {
        let before = self.allocations.range(..=address).next_back();
        before
            .is_some_and(|(start, len)| address.checked_add(bytes as u64).is_some_and(|end| end <= start + *len as u64))
    }

    /// The first write outside of an allocation, in words.
    pub(super) fn damaged(&self) -> Option<String> {
        self.allocations.iter().find_map(|(&address, &bytes)| {
            let behind = address + bytes as u64;
            for (guard, where_) in [(address - GUARD_BYTES as u64, "before the start"), (behind, "past the end")] {
                // SAFETY: the guards belong to the allocation
                if unsafe { (guard as *const [u8; GUARD_BYTES]).read() } != GUARD {
                    return Some(format!("{where_} of a buffer of {bytes} bytes"));
                }
            }
            None
        })
    }

    pub(super) fn free_and_total(&self) -> (u64, u64) {
        (TOTAL - self.used, TOTAL)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for address in self.allocations.keys().copied().collect::<Vec<_>>() {
            self.free(address);
        }
    }
}
