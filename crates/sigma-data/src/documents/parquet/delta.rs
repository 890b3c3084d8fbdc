//! A list of integers as Parquet writes their differences, as far as it takes to know how many there are and where it
//! ends.

/// How many integers the list at the beginning of `bytes` says it has; `bytes` is then what follows the list. None
/// where it does not hold that many.
pub(super) fn count(bytes: &mut &[u8]) -> Option<u64> {
    let (block, parts, count) = (varint(bytes)?, varint(bytes)?, varint(bytes)?);
    varint(bytes)?;
    let part = block.checked_div(parts)?;
    if part == 0 || part % 8 != 0 {
        return None;
    }
    // the first one stands in the header
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(bytes)?;
        let (widths, rest) = bytes.split_at_checked(usize::try_from(parts).ok()?)?;
        *bytes = rest;
        for &width in widths {
            if left == 0 {
                break;
            }
            let length = (part / 8).checked_mul(u64::from(width))?;
            *bytes = bytes.get(usize::try_from(length).ok()?..)?;
            left = left.saturating_sub(part);
        }
        // a block of no bits at all could stand for any number
        if widths.is_empty() {
            return None;
        }
    }
    Some(count)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_where_its_last_part_does() {
        // 128 a block in 4 parts, 3 integers, the first 7; the least difference 1, widths 8 0 0 0, 32 differences, then
        // what follows
        let mut list = vec![128, 1, 4, 3, 14, 2, 8, 0, 0, 0];
        list.extend([0; 32]);
        list.extend(b"abc");
        let mut rest = &list[..];
        assert_eq!((count(&mut rest), rest), (Some(3), &b"abc"[..]));
        let mut cut = &list[..20];
        assert_eq!(count(&mut cut), None);
    }

    #[test]
    fn a_count_without_its_blocks_is_none() {
        for lie in [&[128, 1, 4, 255, 255, 255, 255, 127, 0][..], &[128, 1, 0, 3, 0], &[0, 4, 3, 0], &[]] {
            assert_eq!(count(&mut &lie[..]), None, "{lie:?}");
        }
        assert_eq!(count(&mut &[128, 1, 4, 0, 0][..]), Some(0));
        assert_eq!(count(&mut &[128, 1, 4, 1, 14][..]), Some(1));
    }
}
