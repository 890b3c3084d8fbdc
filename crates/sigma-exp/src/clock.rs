//! The time of day as text, RFC 3339. A clock that was never set stands before 1970, which must stop no run.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, to the second.
pub fn now() -> String {
    seconds(SystemTime::now())
}

/// Now, to the nanosecond.
pub fn now_exactly() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now().max(UNIX_EPOCH)).to_string()
}

/// Times before 1970 count as its beginning: the library panics on them.
fn seconds(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_gives_a_time_and_no_panic() {
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(86_400)), "1970-01-01T00:00:00Z");
        assert_eq!(seconds(UNIX_EPOCH + Duration::from_secs(1_000_000_000)), "2001-09-09T01:46:40Z");
    }
}
