//! Damaged copies of a valid file, always the same ones: bytes changed, cut out, doubled or cut off. Every reader of
//! the project must answer each with a value or an error, and soon.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Long enough for a busy machine, short of anything that grows with what a header claims.
const SLOW: Duration = Duration::from_secs(5);

/// Calls `read` on `count` damaged copies of `valid` under the name `name`. A panic fails the test by itself.
pub(crate) fn survives(valid: &[u8], name: &str, count: u64, read: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    for number in 0..count {
        fs::write(&path, damaged(valid, number)).unwrap();
        let started = Instant::now();
        read(&path);
        assert!(started.elapsed() < SLOW, "mutation {number} of {name} takes {:?}", started.elapsed());
    }
}

fn damaged(valid: &[u8], number: u64) -> Vec<u8> {
    // xorshift64*, so that this file needs no crate
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    };
    let mut bytes = valid.to_vec();
    for _ in 0..=below(4) {
        // headers come first, and say the most: half of the damage is there
        let reach = if below(2) == 0 { bytes.len() } else { bytes.len().min(256) };
        let at = below(reach);
        let length = below(16).min(bytes.len() - at);
        match below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 0xff, 0x7f, 0x80, b'"', b'[', b'{', b'9'][below(8)],
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes[at..at + length].fill(0xff),
            _ => bytes.truncate(at),
        }
    }
    bytes
}
