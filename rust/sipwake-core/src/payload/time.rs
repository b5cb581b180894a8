//! The times that servers put into pushes.

use std::time::Duration;

/// Reads a time as Unix seconds, milliseconds, microseconds or nanoseconds, or as a date with a time (ISO 8601, UTC where it names
/// no zone), since the Unix epoch. What is not between the years 2000 and 2200 is taken for no time at all.
///
/// ```text
/// 1785585570   1785585570.5   1785585570500   2026-08-01 11:59:30   2026-08-01T13:59:30.5+02:00   20260801T115930Z
/// ```
pub(super) fn since_epoch(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number =
        whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()).then(|| whole.parse::<u64>().ok());
    let time = match number {
        Some(number) => {
            let number = number?;
            match number {
                0..100_000_000_000 => Duration::from_secs(number),
                100_000_000_000..100_000_000_000_000 => Duration::from_millis(number),
                100_000_000_000_000..100_000_000_000_000_000 => Duration::from_micros(number),
                _ => Duration::from_nanos(number),
            }
        }
        None => date_and_time(text)?,
    };
    (946_684_800..7_258_118_400).contains(&time.as_secs()).then_some(time)
}

fn date_and_time(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once([' ', 'T', 't'])?;
    let rest = rest.trim();
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let time = time.split(['.', ',']).next().unwrap_or_default();
    let [year, month, day] = three(date, '-', [4, 2, 2])?;
    let [hour, minute, second] =
        three(time, ':', [2, 2, 2]).or_else(|| three(&format!("{time}:00"), ':', [2, 2, 2]))?;
    let sound = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !sound {
        return None;
    }
    // Counting years from March puts the leap day last, and (153 * month + 2) / 5 gives the days before each month.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let local = ((days.checked_sub(DAYS_BEFORE_EPOCH)? * 24 + hour) * 60 + minute) * 60 + second;
    Some(Duration::from_secs(local.checked_add_signed(-offset(zone.trim())?)?))
}

/// Returns how far a zone is ahead of UTC, in seconds.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z" | "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: u64 = 719_468;

/// Reads three numbers with separators between them or, without, of these lengths.
fn three(text: &str, separator: char, lengths: [usize; 3]) -> Option<[u64; 3]> {
    if text.len() == lengths.iter().sum::<usize>() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let (first, rest) = text.split_at(lengths[0]);
        let (second, third) = rest.split_at(lengths[1]);
        return Some([first.parse().ok()?, second.parse().ok()?, third.parse().ok()?]);
    }
    let mut parts = text.split(separator).map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_that_servers_send() {
        let sent = Some(Duration::from_secs(1_785_585_570));
        for text in [
            "1785585570",
            "1785585570.5",
            "2026-08-01 11:59:30",
            "2026-08-01T11:59:30Z",
            "2026-08-01T11:59:30.123456Z",
            "2026-08-01T11:59:30",
            "2026-08-01T13:59:30+02:00",
            "2026-08-01T06:29:30-0530",
            "2026-08-01 12:59:30 +01",
            "2026-08-01 11:59:30 UTC",
            "20260801T115930Z",
            "2026-08-01T11:59:30 UTC",
        ] {
            assert_eq!(since_epoch(text), sent, "{text}");
        }
        assert_eq!(since_epoch("1785585570500"), Some(Duration::from_millis(1_785_585_570_500)));
        assert_eq!(since_epoch("1785585570500000"), Some(Duration::from_millis(1_785_585_570_500)));
        assert_eq!(since_epoch("1785585570500000000"), Some(Duration::from_millis(1_785_585_570_500)));
        for (text, seconds) in [
            ("2000-02-29 12:30:01", 951_827_401),
            ("2024-03-01 00:00:00", 1_709_251_200),
            ("2024-03-01T00:00Z", 1_709_251_200),
            ("2024-03-01T02:00+02:00", 1_709_251_200),
        ] {
            assert_eq!(since_epoch(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_of_our_days_is_none() {
        for text in [
            "",
            ".",
            "0",
            "7",
            "soon",
            "-1785585570",
            "yesterday at noon",
            "1970-01-01 00:00:00",
            "2026-13-01 00:00:00",
            "2026-01-01",
            "2026-01-01T11",
            "2026-01-01T11:59:30:00",
            "2026-01-01T00:00:00+99:00",
            "2026-01-01T00:00:00 é",
            "99999999999999999999",
            "99999999999999999999-1-1 0:0:0",
        ] {
            assert_eq!(since_epoch(text), None, "{text}");
        }
    }
}
