//! Products of f32 matrices on the matrix unit of Intel CPUs (AMX), to the accuracy of f32 or of bf16.
//!
//! The unit multiplies bf16 numbers and adds in f32, 16 times as fast as the vector units multiply f32. A number x of
//! f32 is, without error, the sum of three numbers of bf16: x0, x rounded to 8 bits; x1, what is missing, rounded to 8
//! bits; x2, the rest. So
//!
//! x y = x0 y0 + (x0 y1 + x1 y0) + (x0 y2 + x1 y1 + x2 y0) + ...
//!
//! where what is left out is below 2^-26 of |x y|, a quarter of what rounding one product to f32 costs. Six products of
//! bf16 stand for one of f32.
//!
//! Who wants less can have the numbers rounded to bf16 and one product for each: [`Parts`] says which. That a CPU
//! without the unit can do as well, by vectors of bf16 ([`Unit::dot`]).
//!
//! It works on blocks of 32 x 32 sums, and knows nothing of threads or of what the matrices mean. [`Unit::Emulated`]
//! does what the unit does in plain Rust, to the bit, on every CPU: it is the oracle.

#[cfg(target_arch = "x86_64")]
mod amx;
mod block;
mod cpu;
#[cfg(target_arch = "x86_64")]
mod dot;
mod emulated;
mod pack;
mod tile;

pub use block::{Pair, Session, Start};
pub use cpu::Unit;
pub use pack::{Side, Source};
pub use tile::{CHUNK, PANEL, Parts, Tile, tiles};
