//! The nucleus against transformers' TopPLogitsWarper on thousands of rows (`scripts/goldens/nucleus.py`).

use std::path::Path;

use serde::Deserialize;
use sigma_data::seeds::Stream;
use sigma_generate::Nucleus;

/// Kind of row, vocabulary, top-p, temperature, number of kept tokens, digest of the ids above the boundary, and
/// whether the boundary is too close to p to call.
#[derive(Deserialize)]
struct Golden(String, usize, f64, f64, usize, String, u8);

fn goldens() -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/nucleus.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// SplitMix64's output function, as in the script.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The script's rows; every value is exact in f32.
fn logits(row: u64, kind: &str, vocabulary: usize) -> Vec<f32> {
    let draws: Vec<u64> = (0..vocabulary as u64).map(|i| mix((row << 32) + i + 1) >> 40).collect();
    let broad = |k: u64| k as f32 / (1u64 << 21) as f32 - 4.0;
    let value = |(i, k): (usize, &u64)| match kind {
        "broad" => broad(*k),
        "peaked" => 8.0 * broad(*k),
        "flat" => 0.0,
        "two_levels" => [-2.0, 0.0][(k % 2) as usize],
        "ties" => (k >> 20) as f32 / 2.0,
        "masked" if i > 0 && k % 3 == 0 => f32::NEG_INFINITY,
        "masked" => broad(*k),
        "dominated" => broad(*k) + if i as u64 == draws[0] % vocabulary as u64 { 16.0 } else { 0.0 },
        "steep" => -(i as f32) / 2.0,
        other => panic!("unknown kind {other}"),
    };
    draws.iter().enumerate().map(value).collect()
}

/// FNV-1a of little-endian ids.
fn digest(ids: impl Iterator<Item = u32>) -> String {
    let bytes = ids.flat_map(u32::to_le_bytes);
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    format!("{hash:016x}")
}

#[test]
fn the_kept_set_is_that_of_transformers_on_three_thousand_rows() {
    let goldens = goldens();
    assert_eq!(goldens.len(), 3000);
    let mut compared = 0;
    for (number, Golden(kind, vocabulary, top_p, temperature, kept, above, close)) in goldens.iter().enumerate() {
        if *close == 1 {
            continue;
        }
        let row = logits(number as u64, kind, *vocabulary);
        let name = format!("row {number}: {kind}, {vocabulary} tokens, p = {top_p}, T = {temperature}");
        let mut ours = Nucleus::new("test", *temperature, *top_p).unwrap().kept(&row);
        assert_eq!(ours.len(), *kept, "{name}");
        // which of equal tokens stand at the boundary is not defined by the warper
        let boundary = ours.iter().map(|id| row[*id as usize]).fold(f32::INFINITY, f32::min);
        ours.retain(|id| row[*id as usize] > boundary);
        ours.sort_unstable();
        assert_eq!(digest(ours.into_iter()), *above, "{name}");
        compared += 1;
    }
    assert!(compared > 2850, "only {compared} rows have a clear boundary");
}

#[test]
fn draws_stay_inside_the_kept_set_of_transformers_and_reach_all_of_a_small_one() {
    for (number, Golden(kind, vocabulary, top_p, temperature, kept, _, close)) in goldens().iter().enumerate() {
        if *close == 1 || *vocabulary > 500 {
            continue;
        }
        let nucleus = Nucleus::new("test", *temperature, *top_p).unwrap();
        let row = logits(number as u64, kind, *vocabulary);
        let inside = nucleus.kept(&row);
        let mut stream = Stream::from_key([number as u8; 32]);
        let mut drawn: Vec<u32> = (0..64).map(|_| nucleus.draw(&mut row.clone(), &mut stream).unwrap()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert!(drawn.iter().all(|id| inside.contains(id)), "row {number}");
        let flat = kind == "flat" && *kept <= 4;
        // a token of probability 1/4 is missing from 64 draws once in 10^8
        assert!(!flat || drawn.len() == *kept, "row {number}: {drawn:?} of {inside:?}");
    }
}
