//! Who works in parallel: rayon does. candle's own pool for elementwise operations spins while it waits, which on a few
//! cores takes them from rayon's workers.

/// Turns candle's elementwise pool off, unless CANDLE_NUM_THREADS asks for it. Does nothing once the process has more
/// than one thread (or where that cannot be told): candle reads this from the environment, which must not be written
/// while another thread may read it. So: call it first.
pub fn leave_parallelism_to_rayon() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads == 1 && std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: this is the only thread of the process
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
}

/// Runs `f` on one of rayon's threads. Each of the many short operations of a step would otherwise wake them from
/// outside, and wait asleep for the result.
pub fn on_a_worker<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}
