//! `strftime` in the C locale, in UTC: what `strftime_now` of chat templates needs.

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The seconds since 1970 that a four-digit year can show.
pub const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

struct Time {
    year: i64,
    month: i64, // 1..=12
    day: i64,   // 1..=31
    hour: i64,
    minute: i64,
    second: i64,
    weekday: i64,  // 0 is Sunday
    year_day: i64, // 0 is the first of January
    seconds: i64,
}

impl Time {
    /// From days to a date as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms":
    /// years that start in March, in eras of 400 years.
    fn from_seconds(seconds: i64) -> Time {
        let days = seconds.div_euclid(86_400);
        let in_day = seconds.rem_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let march_day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * march_day + 2) / 153;
        let day = march_day - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        let year_day = if month > 2 { march_day + 59 + leap } else { march_day - 306 };
        Time {
            year,
            month,
            day,
            hour: in_day / 3_600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            weekday: (days + 4).rem_euclid(7),
            year_day,
            seconds,
        }
    }

    /// The week's number when weeks start on `first_weekday`; days before the first are week 0.
    fn week(&self, first_weekday: i64) -> i64 {
        (self.year_day + 7 - (self.weekday - first_weekday).rem_euclid(7)) / 7
    }

    fn hour12(&self) -> i64 {
        (self.hour + 11) % 12 + 1
    }
}

/// A conversion that is not known is written as it stands, as the C library does.
pub fn strftime(seconds: i64, format: &str) -> String {
    let time = Time::from_seconds(seconds);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut conversion = chars.next();
        let pad = match conversion {
            Some(flag @ ('-' | '_' | '0')) => {
                conversion = chars.next();
                Some(flag)
            }
            _ => None,
        };
        match conversion {
            Some(c) => convert(&time, c, pad, &mut out),
            None => out.push('%'),
        }
    }
    out
}

fn number(out: &mut String, value: i64, width: usize, usual: char, pad: Option<char>) {
    out.push_str(&match pad.unwrap_or(usual) {
        '-' => value.to_string(),
        '_' => format!("{value:width$}"),
        _ => format!("{value:0width$}"),
    });
}

fn convert(time: &Time, conversion: char, pad: Option<char>, out: &mut String) {
    let day_name = DAYS[time.weekday as usize];
    let month_name = MONTHS[time.month as usize - 1];
    let half = if time.hour < 12 { "AM" } else { "PM" };
    match conversion {
        'a' => out.push_str(&day_name[..3]),
        'A' => out.push_str(day_name),
        'b' | 'h' => out.push_str(&month_name[..3]),
        'B' => out.push_str(month_name),
        'c' => out.push_str(&strftime(time.seconds, "%a %b %e %H:%M:%S %Y")),
        'C' => number(out, time.year / 100, 2, '0', pad),
        'd' => number(out, time.day, 2, '0', pad),
        'D' | 'x' => out.push_str(&strftime(time.seconds, "%m/%d/%y")),
        'e' => number(out, time.day, 2, '_', pad),
        'f' => out.push_str("000000"),
        'F' => out.push_str(&strftime(time.seconds, "%Y-%m-%d")),
        'H' => number(out, time.hour, 2, '0', pad),
        'I' => number(out, time.hour12(), 2, '0', pad),
        'j' => number(out, time.year_day + 1, 3, '0', pad),
        'k' => number(out, time.hour, 2, '_', pad),
        'l' => number(out, time.hour12(), 2, '_', pad),
        'm' => number(out, time.month, 2, '0', pad),
        'M' => number(out, time.minute, 2, '0', pad),
        'n' => out.push('\n'),
        'p' => out.push_str(half),
        'P' => out.push_str(&half.to_lowercase()),
        'r' => out.push_str(&strftime(time.seconds, "%I:%M:%S %p")),
        'R' => out.push_str(&strftime(time.seconds, "%H:%M")),
        's' => out.push_str(&time.seconds.to_string()),
        'S' => number(out, time.second, 2, '0', pad),
        't' => out.push('\t'),
        'T' | 'X' => out.push_str(&strftime(time.seconds, "%H:%M:%S")),
        'u' => number(out, (time.weekday + 6) % 7 + 1, 1, '0', pad),
        'U' => number(out, time.week(0), 2, '0', pad),
        'w' => number(out, time.weekday, 1, '0', pad),
        'W' => number(out, time.week(1), 2, '0', pad),
        'y' => number(out, time.year.rem_euclid(100), 2, '0', pad),
        'Y' => number(out, time.year, 1, '-', pad),
        'z' => out.push_str("+0000"),
        'Z' => out.push_str("UTC"),
        '%' => out.push('%'),
        other => {
            out.push('%');
            out.extend(pad);
            out.push(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::strftime;

    /// Made with GNU date: `LC_ALL=C date -u -d @N +FORMAT`.
    #[test]
    fn dates_are_those_of_gnu_date() {
        for (seconds, format, text) in [
            (0, "%Y-%m-%d %H:%M:%S %a %j %U %W", "1970-01-01 00:00:00 Thu 001 00 00"),
            (951_782_400, "%F %A %j", "2000-02-29 Tuesday 060"),
            (1_709_164_800, "%d %b %Y %U %W", "29 Feb 2024 08 09"),
            (1_735_689_599, "%c", "Tue Dec 31 23:59:59 2024"),
            (1_735_689_599, "%j %I:%M %p %y %-d %e", "366 11:59 PM 24 31 31"),
            (1_735_689_600, "%B %-d, %Y %_d|%u|%w", "January 1, 2025  1|3|3"),
            (-1, "%F %T", "1969-12-31 23:59:59"),
            (4_107_542_400, "%F %a", "2100-03-01 Mon"),
            (43_200, "%I %p %l %k", "12 PM 12 12"),
        ] {
            assert_eq!(strftime(seconds, format), text);
        }
    }

    #[test]
    fn what_is_no_conversion_stays() {
        assert_eq!(strftime(0, "100%% é %Q %-Q %"), "100% é %Q %-Q %");
    }
}
