//! The day that a row lies in.

use std::collections::BTreeMap;

/// The most days that one flush writes files of; rows of further days go to the day of their arrival.
const MAX_DAYS: usize = 64;
const MICROS_A_DAY: i64 = 86_400_000_000;
/// 2000-01-01: a timestamp before it is a broken clock's.
const FIRST_DAY: i32 = 10_957;

/// The day that a row lies in: its timestamp's, if that is plausible, else its arrival's.
pub fn day_of(timestamp: Option<i64>, arrival: i64) -> i32 {
    let day = |micros: i64| micros.div_euclid(MICROS_A_DAY) as i32;
    let arrival_day = day(arrival);
    match timestamp.map(day) {
        Some(day) if (FIRST_DAY..=arrival_day.saturating_add(1)).contains(&day) => day,
        _ => arrival_day,
    }
}

/// Where rows are of more days than a flush may write files of, keeps those with the most rows. `arrivals` are those of
/// the requests that the rows came with; `arrival` tells that of a row.
pub fn limit_days<R>(rows: &mut [R], arrivals: &[i64], day: impl Fn(&mut R) -> &mut i32, arrival: impl Fn(&R) -> i64) {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for row in rows.iter_mut() {
        *counts.entry(*day(row)).or_default() += 1;
    }
    if counts.len() <= MAX_DAYS {
        return;
    }
    // Arrivals may be of several days themselves (a replay); they are kept first.
    let mut days: Vec<i32> = arrivals.iter().map(|arrival| day_of(None, *arrival)).collect();
    days.sort_unstable();
    days.dedup();
    days.reverse();
    let mut by_count: Vec<_> = counts.into_iter().filter(|(day, _)| !days.contains(day)).collect();
    by_count.sort_by_key(|(day, count)| (std::cmp::Reverse(*count), *day));
    days.extend(by_count.into_iter().map(|(day, _)| day));
    days.truncate(MAX_DAYS);
    let newest_arrival = arrivals.iter().map(|arrival| day_of(None, *arrival)).max().unwrap_or_default();
    for row in rows {
        let arrival = day_of(None, arrival(row));
        let day = day(row);
        if !days.contains(day) {
            *day = if days.contains(&arrival) { arrival } else { newest_arrival };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_implausible_timestamp_lies_in_the_day_of_its_arrival() {
        let arrival = 20_779 * MICROS_A_DAY + 5;
        assert_eq!(day_of(Some(20_000 * MICROS_A_DAY), arrival), 20_000);
        assert_eq!(day_of(Some(20_780 * MICROS_A_DAY), arrival), 20_780, "a clock that is ahead");
        for implausible in [None, Some(0), Some(-1), Some(20_781 * MICROS_A_DAY), Some(i64::MAX), Some(i64::MIN)] {
            assert_eq!(day_of(implausible, arrival), 20_779, "{implausible:?}");
        }
    }
}
