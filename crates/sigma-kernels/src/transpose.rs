//! Eight rows of a matrix written as eight columns: by 8 x 8 blocks in vector registers where the CPU has AVX.

use crate::tile::PANEL;

/// `rows[i][lane + r] = source[r][i]`, for sources as long as there are rows.
pub(crate) fn eight(rows: &mut [[f32; PANEL]], lane: usize, source: [&[f32]; 8]) {
    assert!(lane + 8 <= PANEL && source.iter().all(|row| row.len() == rows.len()));
    #[cfg(target_arch = "x86_64")]
    let done = avx::whole_blocks(rows, lane, source);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for (r, source) in source.into_iter().enumerate() {
        for (row, value) in rows[done..].iter_mut().zip(&source[done..]) {
            row[lane + r] = *value;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{
        __m256, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps,
        _mm256_unpacklo_ps,
    };

    use super::PANEL;

    /// As many rows as make whole blocks, if the CPU has AVX, and how many these are.
    pub(super) fn whole_blocks(rows: &mut [[f32; PANEL]], lane: usize, source: [&[f32]; 8]) -> usize {
        if !std::arch::is_x86_feature_detected!("avx") {
            return 0;
        }
        let done = rows.len() / 8 * 8;
        for i in (0..done).step_by(8) {
            let from = source.map(|row| row[i..].as_ptr());
            // SAFETY: the CPU has AVX; eight numbers follow in each row, and eight columns from `lane` on in each of
            // eight rows
            unsafe { eight_by_eight(rows[i..].as_mut_ptr().cast::<f32>().add(lane), from) };
        }
        done
    }

    /// # Safety
    /// Eight numbers at each source, and at the target in each of eight rows of `PANEL`.
    #[target_feature(enable = "avx")]
    unsafe fn eight_by_eight(target: *mut f32, source: [*const f32; 8]) {
        // SAFETY: the caller's promise
        let a = source.map(|row| unsafe { _mm256_loadu_ps(row) });
        // pairs of rows, then fours, then the halves of all eight
        let pairs: [__m256; 8] = [
            _mm256_unpacklo_ps(a[0], a[1]),
            _mm256_unpackhi_ps(a[0], a[1]),
            _mm256_unpacklo_ps(a[2], a[3]),
            _mm256_unpackhi_ps(a[2], a[3]),
            _mm256_unpacklo_ps(a[4], a[5]),
            _mm256_unpackhi_ps(a[4], a[5]),
            _mm256_unpacklo_ps(a[6], a[7]),
            _mm256_unpackhi_ps(a[6], a[7]),
        ];
        let fours: [__m256; 8] = [
            _mm256_shuffle_ps::<0x44>(pairs[0], pairs[2]),
            _mm256_shuffle_ps::<0xEE>(pairs[0], pairs[2]),
            _mm256_shuffle_ps::<0x44>(pairs[1], pairs[3]),
            _mm256_shuffle_ps::<0xEE>(pairs[1], pairs[3]),
            _mm256_shuffle_ps::<0x44>(pairs[4], pairs[6]),
            _mm256_shuffle_ps::<0xEE>(pairs[4], pairs[6]),
            _mm256_shuffle_ps::<0x44>(pairs[5], pairs[7]),
            _mm256_shuffle_ps::<0xEE>(pairs[5], pairs[7]),
        ];
        for column in 0..4 {
            let (low, high) = (fours[column], fours[column + 4]);
            // SAFETY: the caller's promise
            unsafe {
                _mm256_storeu_ps(target.add(column * PANEL), _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(target.add((column + 4) * PANEL), _mm256_permute2f128_ps::<0x31>(low, high));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_rows_become_eight_columns_at_any_length_and_nothing_else_is_written() {
        for inner in [0, 1, 7, 8, 9, 16, 100] {
            let source: [Vec<f32>; 8] = std::array::from_fn(|r| (0..inner).map(|i| (r * 1000 + i) as f32).collect());
            for lane in [0, 8, 24] {
                let mut rows = vec![[-1f32; PANEL]; inner];
                eight(&mut rows, lane, std::array::from_fn(|r| &source[r][..]));
                for (i, row) in rows.iter().enumerate() {
                    for (column, value) in row.iter().enumerate() {
                        let inside = (lane..lane + 8).contains(&column);
                        let expected = if inside { ((column - lane) * 1000 + i) as f32 } else { -1.0 };
                        assert_eq!(*value, expected, "length {inner}, lane {lane}, row {i}, column {column}");
                    }
                }
            }
        }
    }
}
