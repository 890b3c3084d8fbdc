//! Numbers as colours. Both maps are told apart by colour-blind readers; the sequential one falls steadily in
//! lightness, so that it also reads in grey, and a drawing that uses the diverging one marks the sign besides.

use plotters::style::RGBColor;

const LIGHT: (u8, u8, u8) = (247, 247, 247);
const COLD: [(u8, u8, u8); 5] = [LIGHT, (176, 208, 230), (94, 160, 204), (33, 102, 172), (8, 45, 92)];
const WARM: [(u8, u8, u8); 5] = [LIGHT, (253, 219, 170), (244, 172, 84), (214, 112, 20), (156, 70, 5)];
/// Viridis without its yellow end, which white paper swallows.
const RAMP: [(u8, u8, u8); 5] = [(68, 1, 84), (61, 77, 138), (38, 130, 142), (62, 180, 114), (170, 215, 50)];

/// `share` from -1, cold, over 0, nearly white, to 1, warm.
pub(super) fn diverging(share: f64) -> RGBColor {
    let side = if share < 0.0 { &COLD } else { &WARM };
    between(side, share.abs())
}

/// `share` from 0, dark, to 1, light.
pub(super) fn sequential(share: f64) -> RGBColor {
    between(&RAMP, share)
}

fn between(stops: &[(u8, u8, u8); 5], share: f64) -> RGBColor {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    let place = share * (stops.len() - 1) as f64;
    let first = (place.floor() as usize).min(stops.len() - 2);
    let (from, to) = (stops[first], stops[first + 1]);
    let mixed =
        |from: u8, to: u8| (f64::from(from) + (place - first as f64) * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mixed(from.0, to.0), mixed(from.1, to.1), mixed(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(RGBColor(red, green, blue): RGBColor) -> f64 {
        0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
    }

    #[test]
    fn in_grey_larger_shares_are_darker_or_lighter_throughout() {
        for step in 0..50 {
            let (here, next) = (f64::from(step) / 50.0, f64::from(step + 1) / 50.0);
            assert!(grey(sequential(here)) < grey(sequential(next)), "sequential at {here}");
            assert!(grey(diverging(here)) > grey(diverging(next)), "warm at {here}");
            assert!(grey(diverging(-here)) > grey(diverging(-next)), "cold at {here}");
        }
        assert_eq!(diverging(0.0), diverging(-0.0));
        assert_eq!(sequential(f64::NAN), sequential(0.0));
    }
}
