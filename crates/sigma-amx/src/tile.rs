//! A matrix as the unit wants it: panels of 32 vectors (rows of a left matrix, columns of a right one), cut along the inner
//! dimension into chunks of 32, and for each chunk the three parts of every number, each as two tiles of 16 vectors.

/// Vectors of a panel; the last one is filled up with zeros.
pub const PANEL: usize = 32;
/// Inner elements of a chunk; the last one is filled up with zeros.
pub const CHUNK: usize = 32;
/// Vectors of a tile.
pub(crate) const HALF: usize = PANEL / 2;
/// Numbers of bf16 whose sum is a number of f32.
pub(crate) const PARTS: usize = 3;
/// Tiles of a panel's chunk.
pub(crate) const TILES: usize = PARTS * PANEL / HALF;

/// 16 rows of 32 numbers of bf16. On the left a row is a vector, with its elements side by side; on the right a row is a pair of inner
/// elements, with the pairs of the vectors side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Tile(pub(crate) [[u16; CHUNK]; HALF]);

impl Tile {
    pub const ZERO: Self = Self([[0; CHUNK]; HALF]);
}

/// How many tiles hold so many vectors of so many elements.
pub const fn tiles(vectors: usize, inner: usize) -> usize {
    vectors.div_ceil(PANEL) * inner.div_ceil(CHUNK) * TILES
}
