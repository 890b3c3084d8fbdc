//! Products of the unit and of its emulation: their accuracy, and that they are the same to the bit where this CPU has
//! the unit.

use sigma_amx::{PANEL, Pair, Parts, Side, Source, Start, Tile, Unit, tiles};

/// Numbers in [-1, 1), different for each seed.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let number = |i: u64| {
        let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed << 32);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n as u64).map(number).collect()
}

/// Everything that multiplies here, with one part and with three.
fn all() -> Vec<(Unit, Parts)> {
    let dot = Unit::dot();
    if dot.is_none() {
        println!("NOT TESTED: this CPU has no vector instructions for bf16");
    }
    let units = units().into_iter().flat_map(|unit| BOTH.map(|parts| (unit, parts)));
    units.chain(dot.map(|unit| (unit, Parts::One))).collect()
}

/// The emulation, and the unit where there is one.
fn units() -> Vec<Unit> {
    let unit = Unit::of_this_cpu();
    if unit.is_none() {
        println!("NOT TESTED: this CPU has no matrix unit; its emulation is tested alone");
    }
    std::iter::once(Unit::Emulated).chain(unit).collect()
}

const BOTH: [Parts; 2] = [Parts::One, Parts::Three];

fn packed(
    (unit, parts): (Unit, Parts),
    side: Side,
    source: Source<'_>,
    vectors: (usize, usize),
    inner: (usize, usize),
) -> Vec<Tile> {
    let mut out = vec![Tile::ZERO; tiles(vectors.1, inner.1, parts)];
    unit.pack(&mut out, side, source, vectors, inner, parts);
    out
}

/// The first panels' product, for vectors of `inner` elements one after another.
fn product(
    how: (Unit, Parts),
    start: Start,
    out: &mut [[f32; PANEL]; PANEL],
    left: &[f32],
    right: &[f32],
    inner: usize,
) {
    let pack =
        |side, values: &[f32]| packed(how, side, Source::Vectors(values, inner), (0, values.len() / inner), (0, inner));
    let (left, right) = (&pack(Side::Left, left)[..], &pack(Side::Right, right)[..]);
    how.0.begin().multiply(out, start, Pair { left, right, parts: how.1 });
}

fn bits(block: &[[f32; PANEL]; PANEL]) -> Vec<u32> {
    block.as_flattened().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_product_is_as_close_to_the_exact_one_as_a_chain_of_fused_multiply_adds() {
    for unit in units() {
        for (inner, scale) in [(1, 1.0), (31, 1.0), (64, 1e-15), (500, 1e15), (1024, 1.0)] {
            let (a, b) =
                (values(PANEL * inner, 1).iter().map(|x| x * scale).collect::<Vec<_>>(), values(PANEL * inner, 2));
            let mut out = [[f32::NAN; PANEL]; PANEL];
            product((unit, Parts::Three), Start::Zero, &mut out, &a, &b, inner);
            let (mut ours, mut chains) = (0f64, 0f64);
            for (row, out) in out.iter().enumerate() {
                for (column, out) in out.iter().enumerate() {
                    let terms = a[row * inner..][..inner].iter().zip(&b[column * inner..][..inner]);
                    let exact: f64 = terms.clone().map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                    let size: f64 = terms.clone().map(|(x, y)| (f64::from(*x) * f64::from(*y)).abs()).sum();
                    let chain = terms.fold(0f32, |sum, (x, y)| x.mul_add(*y, sum));
                    ours = ours.max((f64::from(*out) - exact).abs() / size);
                    chains = chains.max((f64::from(chain) - exact).abs() / size);
                }
            }
            // one rounding to f32 is 2^-24; with a single term a chain has no other
            let bound = chains.max(f64::from(f32::EPSILON));
            assert!(ours <= bound, "{unit:?}, {inner} elements of size {scale}: {ours:e}, chain {chains:e}");
        }
    }
}

#[test]
fn with_one_part_the_factors_are_rounded_to_bf16_and_the_sums_are_those_of_f32() {
    // to the nearest number of 8 bits, ties to even
    let rounded = |x: f32| f32::from_bits((x.to_bits() + 0x7FFF + (x.to_bits() >> 16 & 1)) & 0xFFFF_0000);
    for how in all().into_iter().filter(|(_, parts)| *parts == Parts::One) {
        for inner in [1, 40, 700] {
            let (a, b) = (values(PANEL * inner, 14), values(PANEL * inner, 15));
            let mut out = [[f32::NAN; PANEL]; PANEL];
            product(how, Start::Zero, &mut out, &a, &b, inner);
            for (row, out) in out.iter().enumerate() {
                for (column, out) in out.iter().enumerate() {
                    let terms = a[row * inner..][..inner].iter().zip(&b[column * inner..][..inner]);
                    let terms = terms.map(|(x, y)| f64::from(rounded(*x)) * f64::from(rounded(*y)));
                    let (exact, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let error = (f64::from(*out) - exact).abs();
                    assert!(error <= 1e-6 * size, "{how:?}, {inner} elements, {row} {column}: {out} for {exact}");
                }
            }
        }
    }
}

#[test]
fn the_unit_packs_and_multiplies_to_the_bits_of_its_emulation() {
    let Some(unit) = Unit::of_this_cpu() else {
        println!("NOT TESTED: this CPU has no matrix unit");
        return;
    };
    for (total, vectors, length, inner) in
        [(70, (3, 50), 200, (7, 130)), (16, (0, 16), 31, (0, 31)), (33, (0, 33), 32, (0, 32))]
    {
        let matrix = values(total * length, 3);
        for side in [Side::Left, Side::Right] {
            for source in [Source::Vectors(&matrix, length), Source::Elements(&matrix, total)] {
                for parts in BOTH {
                    let pack = |unit| packed((unit, parts), side, source, vectors, inner);
                    assert!(pack(unit) == pack(Unit::Emulated), "{vectors:?} {inner:?} {side:?} {parts:?}");
                }
            }
        }
    }
    for inner in [1, 33, 400] {
        // numbers of very different sizes, down to where parts underflow
        let spread = |seed: u64| -> Vec<f32> {
            let exponents = values(PANEL * inner, seed + 10);
            values(PANEL * inner, seed).iter().zip(exponents).map(|(x, e)| x * (e * 30.0).exp2()).collect()
        };
        let (left, right) = (spread(4), spread(5));
        for (start, parts) in [Start::Zero, Start::Out].into_iter().flat_map(|start| BOTH.map(|parts| (start, parts))) {
            let mut blocks = [[[0.5f32; PANEL]; PANEL]; 2];
            for (unit, block) in [unit, Unit::Emulated].into_iter().zip(&mut blocks) {
                product((unit, parts), start, block, &left, &right, inner);
            }
            assert!(bits(&blocks[0]) == bits(&blocks[1]), "{inner} elements, {start:?}, {parts:?}");
        }
    }
}

#[test]
fn a_session_inside_another_does_not_end_it() {
    let (left, right) = (values(PANEL * 40, 12), values(PANEL * 40, 13));
    for unit in units() {
        let outer = unit.begin();
        let mut blocks = [[[0f32; PANEL]; PANEL]; 2];
        product((unit, Parts::Three), Start::Zero, &mut blocks[0], &left, &right, 40);
        let parts = Parts::Three;
        let pack = |side, values| packed((unit, parts), side, Source::Vectors(values, 40), (0, PANEL), (0, 40));
        let (left, right) = (&pack(Side::Left, &left)[..], &pack(Side::Right, &right)[..]);
        outer.multiply(&mut blocks[1], Start::Zero, Pair { left, right, parts });
        assert!(blocks[0] == blocks[1], "{unit:?}");
    }
}

#[test]
fn a_product_begins_with_what_it_is_told() {
    let (left, right) = (values(PANEL * 40, 6), values(PANEL * 40, 7));
    for how in all() {
        let mut plain = [[f32::NAN; PANEL]; PANEL];
        product(how, Start::Zero, &mut plain, &left, &right, 40);
        let mut onto = [[1000f32; PANEL]; PANEL];
        product(how, Start::Out, &mut onto, &left, &right, 40);
        for i in 0..PANEL {
            for j in 0..PANEL {
                assert!((onto[i][j] - 1000.0 - plain[i][j]).abs() < 1e-3, "{how:?} {i} {j}");
            }
        }
    }
}

#[test]
fn what_is_no_number_spoils_its_row_and_column_and_nothing_else() {
    for how in all() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut left, right) = (values(PANEL * 50, 8), values(PANEL * 50, 9));
            left[5 * 50 + 20] = odd;
            let mut out = [[0f32; PANEL]; PANEL];
            product(how, Start::Zero, &mut out, &left, &right, 50);
            for (i, row) in out.iter().enumerate() {
                assert!(row.iter().all(|x| x.is_finite() != (i == 5)), "{how:?}, {odd} in row 5, row {i}");
            }
        }
    }
}

#[test]
fn vectors_and_elements_that_are_not_there_count_as_zero() {
    for how in all() {
        let (left, right) = (values(3 * 5, 10), values(7 * 5, 11));
        let mut out = [[f32::NAN; PANEL]; PANEL];
        product(how, Start::Zero, &mut out, &left, &right, 5);
        for (i, row) in out.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert_eq!(*value != 0.0, i < 3 && j < 7, "{how:?} {i} {j}");
            }
        }
    }
}
