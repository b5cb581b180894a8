//! The times that servers put into pushes.

use std::time::Duration;

/// Reads a time as Unix seconds, milliseconds, microseconds or nanoseconds, or as a date with a time (ISO 8601, RFC 5322,
/// RFC 850 and the forms of C, Java, JavaScript and .NET, in UTC if it names no zone). Returns the time since the Unix
/// epoch. A time that is not between the years 2000 and 2200 is ignored.
///
/// ```text
/// 1785585570   1785585570.5   1785585570500   2026-08-01 11:59:30   2026-08-01T13:59:30.5+02:00   20260801T115930Z
/// Sat, 01 Aug 2026 11:59:30 GMT   Sat Aug  1 13:59:30 CEST 2026   Sat Aug 01 2026 13:59:30 GMT+0200 (CEST)
/// Saturday, 01-Aug-26 11:59:30 GMT   /Date(1785585570500+0200)/
/// ```
pub(super) fn since_epoch(text: &str) -> Option<Duration> {
    let text = text.trim_matches('"').trim();
    // The zone behind it is for people: the number is in UTC.
    let dot_net = text.trim_matches(['/', '\\']).strip_prefix("Date(");
    let text = dot_net.and_then(|number| number.split(['+', '-', ')']).next()).unwrap_or(text);
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
        None => date_and_time(text).or_else(|| date_in_words(text))?,
    };
    (946_684_800..7_258_118_400).contains(&time.as_secs()).then_some(time)
}

/// Reads a length of time in seconds, as FCM writes it (`20s`), or as ISO 8601 does (`PT1M30S`). Zero is about the
/// delivery and says nothing.
pub(super) fn length(text: &str) -> Option<Duration> {
    let seconds = match text.strip_prefix("PT") {
        Some(parts) => parts.split_inclusive(char::is_alphabetic).try_fold(0_u64, |sum, part| {
            let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
            let length = match unit {
                "H" => 3600,
                "M" => 60,
                "S" => 1,
                _ => return None,
            };
            let number = if length == 1 { number.split('.').next()? } else { number };
            number.parse::<u64>().ok()?.checked_mul(length)?.checked_add(sum)
        })?,
        None => text.trim_end_matches(['s', 'S']).split('.').next()?.trim().parse().ok()?,
    };
    Some(Duration::from_secs(seconds)).filter(|length| !length.is_zero())
}

fn date_and_time(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once([' ', 'T', 't'])?;
    let rest = rest.trim();
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let date = three(date, '-', [4, 2, 2]).or_else(|| three(date, '/', [4, 2, 2]))?;
    // Java writes the region behind the zone, in brackets.
    let zone = zone.split('[').next().unwrap_or_default();
    since(date, time_of_day(time)?, offset(zone.trim())?)
}

/// ```text
/// date-time =  [ day-name "," ] 1*2DIGIT month 4DIGIT hour ":" minute [ ":" second ] zone      (RFC 5322 section 3.3)
/// ```
/// The parts may come in any order.
fn date_in_words(text: &str) -> Option<Duration> {
    const MONTHS: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    const DAYS: &str = "montuewedthufrisatsun";
    let place = |names: &str, word: &str| {
        let name = word.get(..3)?.to_ascii_lowercase();
        word.bytes().all(|byte| byte.is_ascii_alphabetic()).then(|| names.find(&name)).flatten()
    };
    let (mut year, mut month, mut day, mut time, mut zone) = (None, None, None, None, 0);
    let words = text.split('(').next()?.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    // RFC 850 writes `01-Aug-26`.
    let split = |word: &str| word.split('-').count() == 3;
    let words = words.flat_map(|word| word.split(if split(word) { '-' } else { ' ' }));
    for word in words {
        if let Ok(number) = word.parse::<u64>()
            && word.as_bytes()[0].is_ascii_digit()
        {
            match (word.len(), day) {
                (..=2, None) => day = Some(number),
                (..=2, Some(_)) => year = Some(2000 + number),
                _ => year = Some(number),
            }
        } else if word.contains(':') && time.is_none() {
            time = Some(time_of_day(word)?);
        } else if let Some(ahead) = offset(word) {
            zone = ahead;
        } else if let Some(at) = place(MONTHS, word).filter(|at| at % 3 == 0) {
            month = Some(at as u64 / 3 + 1);
        } else if word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm") {
            let hour = &mut time.as_mut()?[0];
            *hour = *hour % 12 + if word.eq_ignore_ascii_case("pm") { 12 } else { 0 };
        } else {
            place(DAYS, word).filter(|at| at % 3 == 0)?;
        }
    }
    since([year?, month?, day?], time?, zone)
}

fn time_of_day(text: &str) -> Option<[u64; 3]> {
    let time = text.split(['.', ',']).next().unwrap_or_default();
    three(time, ':', [2, 2, 2]).or_else(|| three(&format!("{time}:00"), ':', [2, 2, 2]))
}

/// Returns the time since the Unix epoch of a date and time in a zone that is so many seconds ahead of UTC.
fn since([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3], ahead: i64) -> Option<Duration> {
    let sound = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !sound {
        return None;
    }
    // If a year begins in March, the leap day is its last, and (153 * month + 2) / 5 gives the days before each month.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let local = ((days.checked_sub(DAYS_BEFORE_EPOCH)? * 24 + hour) * 60 + minute) * 60 + second;
    Some(Duration::from_secs(local.checked_add_signed(-ahead)?))
}

/// Returns how far a zone is ahead of UTC, in seconds.
fn offset(zone: &str) -> Option<i64> {
    let hours = match zone.to_ascii_uppercase().as_str() {
        "" | "Z" | "UT" | "UTC" | "GMT" => 0,
        "CET" => 1,
        "CEST" => 2,
        // Those of RFC 5322 section 4.3.
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return numeric_offset(zone),
    };
    Some(hours * 3600)
}

fn numeric_offset(zone: &str) -> Option<i64> {
    let zone = ["GMT", "UTC"].iter().find_map(|name| zone.strip_prefix(name)).unwrap_or(zone);
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.as_str(), "0"),
        4 => digits.split_at_checked(2)?,
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
            "Saturday, 01-Aug-26 11:59:30 GMT",
            "Sat, 01-Aug-2026 13:59:30 +0200",
            "/Date(1785585570000)/",
            "\\/Date(1785585570000+0200)\\/",
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
    fn a_length_is_read_as_seconds_and_as_iso_8601_writes_it() {
        let lengths = [("20", 20), ("20s", 20), ("20.5s", 20), ("20 s", 20), ("PT20S", 20), ("PT1M30.5S", 90)];
        for (text, seconds) in lengths.into_iter().chain([("PT1H", 3600), ("PT2H1S", 7201)]) {
            assert_eq!(length(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "PT",
            "PT0S",
            "PTS",
            "PT1",
            "PT1D",
            "P1D",
            "PT-1S",
            "PTé",
            "PT99999999999999999999H",
            "PT1.5H",
            "s",
        ] {
            assert_eq!(length(text), None, "{text}");
        }
        assert_eq!(length(&format!("PT{}H", u64::MAX)), None);
    }

    proptest::proptest! {
        #[test]
        fn no_zone_and_no_length_panics(zone in "[+-]?[0-9:aé€🔔GMTU ]{0,8}", length_of in "P?T?[0-9.é]{0,6}[HMSé]?") {
            for date in ["2026-08-01 11:59:30", "Sat Aug 1 11:59:30 2026", "Saturday, 01-Aug-26 11:59:30", "/Date(1785585570000"] {
                let _ = since_epoch(&[date, &zone].concat());
                let _ = since_epoch(&[date, " ", &zone].concat());
            }
            let _ = length(&length_of);
        }
    }

    #[test]
    fn a_text_that_is_no_plausible_time_is_ignored() {
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
            "/Date()/",
            "/Date(soon)/",
            "Date(",
            "Saturday, 01-Aug-26",
            "2026-08-01 11:59:30 +aé1",
            "2026-08-01 11:59:30+1€",
            "Sat Aug 1 11:59:30 2026 GMT+aé1",
            "01-02-03 11:59:30",
        ] {
            assert_eq!(since_epoch(text), None, "{text}");
        }
    }
}
