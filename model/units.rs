//! Amounts, speeds, shares of a whole, and times, in words for people.

use core::time::Duration;

/// An amount in decimal units: `512 B`, `1.5 kB`, `64.0 MB`, `4.3 GB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut unit_bytes, mut unit) = (1000u128, "kB");
    for (next_bytes, next) in [(1_000_000u128, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")] {
        // An amount that would round to 1000.0 of one unit is written as 1.0 of the next.
        if u128::from(bytes) + next_bytes / 20_000 >= next_bytes {
            (unit_bytes, unit) = (next_bytes, next);
        }
    }
    let tenths = (u128::from(bytes) * 10 + unit_bytes / 2) / unit_bytes;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A speed: `1.5 MB/s`.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// A share of a whole, rounded down, so that 100 % means all of it. An empty whole counts as done.
pub(crate) fn percent(done: u64, total: u64) -> String {
    let percent = if total == 0 { 100 } else { u128::from(done.min(total)) * 100 / u128::from(total) };
    format!("{percent} %")
}

/// A time: `0.4 s`, `12 s`, `2 min 05 s`, `3 h 07 min`, `2 d 5 h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        // 0.1 s is the least that is shown.
        0..10 => format!("{:.1} s", time.as_secs_f64().max(0.1)),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => hours(time),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A time that may be long, in few words: `12 s`, then `0 h 05 min`, `31 h 07 min`.
pub(crate) fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        _ => hours(time),
    }
}

/// A time in hours and minutes: `0 h 00 min`, `31 h 07 min`.
pub(crate) fn hours(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// Days before 1970 in the Gregorian calendar, counted from the first of March of the year 0.
const DAYS_BEFORE_1970: u64 = 719_468;
/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

/// Seconds since 1970 as a time in UTC: `2026-11-28T23:30:01Z`.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + DAYS_BEFORE_1970, seconds % 86_400);
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months are counted from March, so that the leap day comes last.
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The seconds since 1970 of a time that [`utc`] wrote, or of the beginning of a day such as `2026-11-28`.
pub(crate) fn utc_seconds(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let in_day = hour < 24 && minute < 60 && second < 60;
    if year < 1970 || !in_day || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (from_march, year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 1;
    let seconds = (days - DAYS_BEFORE_1970) * 86_400 + hour * 3600 + minute * 60 + second;
    // The date must come back unchanged: that refuses the 31st of a month of 30 days.
    utc(seconds).starts_with(date).then_some(seconds)
}

/// Three numbers, each with the given count of digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut next = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|c| c.is_ascii_digit()))?;
        part.parse().ok()
    };
    let numbers = [next(digits[0])?, next(digits[1])?, next(digits[2])?];
    parts.next().is_none().then_some(numbers)
}

/// A rank: `1st`, `2nd`, `3rd`, `11th`, `23rd`.
pub(crate) fn ordinal(place: u32) -> String {
    let end = match (place % 100, place % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{place}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_with_the_end_that_is_spoken() {
        let told = [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 101, 111, 113].map(ordinal);
        let ends =
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "101st", "111th", "113th"];
        assert_eq!(told, ends);
    }

    #[test]
    fn sizes_are_decimal_and_change_unit_where_they_would_round_to_a_thousand() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (524_288, "524.3 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_000_000, "1.0 MB"),
            (4_294_967_296, "4.3 GB"),
            (999_950_000_000, "1.0 TB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(rate(1_500_000), "1.5 MB/s");
    }

    #[test]
    fn a_hundred_percent_means_all_of_it() {
        for (done, total, text) in [
            (0, 0, "100 %"),
            (0, 1, "0 %"),
            (999, 1000, "99 %"),
            (1000, 1000, "100 %"),
            (2, 1, "100 %"),
            (u64::MAX - 1, u64::MAX, "99 %"),
        ] {
            assert_eq!(percent(done, total), text);
        }
    }

    #[test]
    fn times_are_told_in_the_two_units_that_matter() {
        for (millis, text) in [
            (0, "0.1 s"),
            (319, "0.3 s"),
            (999, "1.0 s"),
            (2_760, "2.8 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (60_000, "1 min 00 s"),
            (3_599_000, "59 min 59 s"),
            (3_600_000, "1 h 00 min"),
            (11_220_000, "3 h 07 min"),
            (86_400_000, "1 d 0 h"),
            (190_800_000, "2 d 5 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_time_in_utc_is_read_back_as_it_was_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_908_601, "2026-11-28T23:30:01Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), text);
            assert_eq!(utc_seconds(text), Some(seconds));
        }
        for day in 0..150_000 {
            assert_eq!(utc_seconds(&utc(day * 86_400)[..10]), Some(day * 86_400));
        }
        for text in [
            "",
            "2026",
            "2026-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-1-01",
            "1969-12-31",
            "2026-11-28T24:00:00Z",
            "2026-11-28T23:30:01",
            "2026-11-28T23:30:60Z",
            "2026-11-28Z",
            "+026-11-28",
            "2026-11-28-01",
        ] {
            assert_eq!(utc_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn ages_are_told_in_seconds_below_a_minute_and_in_hours_above() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "0 h 01 min"), (3_599, "0 h 59 min"), (111_600, "31 h 00 min")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
        assert_eq!(hours(Duration::from_secs(59)), "0 h 00 min");
    }
}
