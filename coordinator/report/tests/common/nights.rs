//! Made-up nights from stated laws, shared by the tests and the history example.

use batchstep_report::{Acknowledgement, Hit, NightPoint, NightStep, SeriesHistory, Unjudged};
use jiff::ToSpan as _;
use jiff::civil::{Date, date};

/// Half the width of the gates, as a share of the baseline.
const GATE: f64 = 0.04;
/// Nights behind a baseline.
const BASE: usize = 28;
/// Date of the first night.
const FIRST: Date = date(2025, 10, 27);

/// The wobble of night `number` of device `seed`: uniform in -0.5 .. 0.5.
fn wobble(seed: u32, number: u32) -> f64 {
    let value = (f64::from(number) * 12.9898 + f64::from(seed) * 78.233).sin() * 43_758.545;
    value - value.floor() - 0.5
}

/// The date of the night `number`, which begin at 1.
pub fn date_of(number: u32) -> String {
    let days = i64::from(number) - 1;
    FIRST.checked_add(days.days()).unwrap().to_string()
}

/// A series of `count` nights around `level` seconds, without anything to report.
pub fn quiet(device: &str, seed: u32, count: u32, level: f64) -> SeriesHistory {
    let mut series = SeriesHistory {
        schedule: "nightly".to_owned(),
        device: device.to_owned(),
        host: format!("node-{}", seed % 7 + 1),
        model: "simulated accelerator".to_owned(),
        workload: "cnn small".to_owned(),
        setting: "train f32".to_owned(),
        nights: Vec::new(),
    };
    series.nights = (1..=count)
        .map(|number| NightPoint {
            number,
            date: date_of(number),
            seconds: Some(level * (1.0 + 0.018 * wobble(seed, number))),
            verdict: "normal".to_owned(),
            step: NightStep::Period(16.0),
            segment: 1,
            ..NightPoint::default()
        })
        .collect();
    judged(series)
}

/// Multiplies the times of the nights from `from` on.
pub fn slower(series: &mut SeriesHistory, from: u32, factor: f64) {
    for night in series
        .nights
        .iter_mut()
        .filter(|night| night.number >= from)
    {
        night.seconds = night.seconds.map(|seconds| seconds * factor);
    }
}

/// A new segment from `from` on.
pub fn segment(series: &mut SeriesHistory, from: u32, change: &str) {
    for night in series
        .nights
        .iter_mut()
        .filter(|night| night.number >= from)
    {
        night.segment += 1;
        if night.number == from {
            night.changes = change.split('|').map(str::to_owned).collect();
        }
    }
}

/// Nights without a report.
pub fn missing(series: &mut SeriesHistory, nights: std::ops::RangeInclusive<u32>) {
    for night in series
        .nights
        .iter_mut()
        .filter(|night| nights.contains(&night.number))
    {
        night.is_alarm = true;
        night.seconds = None;
        night.step = NightStep::Unknown;
        night.unjudged = Some(Unjudged::Missing {
            reason: "the host did not report".to_owned(),
        });
    }
}

/// A night that was not judged.
pub fn invalid(series: &mut SeriesHistory, number: u32) {
    let night = &mut series.nights[number as usize - 1];
    night.seconds = night.seconds.map(|seconds| 1.6 * seconds);
    night.unjudged = Some(Unjudged::Invalid {
        reason: "throttled".to_owned(),
    });
}

/// Somebody's word on the night `number`.
pub fn acknowledge(series: &mut SeriesHistory, number: u32, by: &str, reason: &str) {
    series.nights[number as usize - 1].acknowledgement = Some(Acknowledgement {
        by: by.to_owned(),
        reason: reason.to_owned(),
    });
}

/// Baselines, gates and hits as a simple judge gives them: the median of the segment's last nights, frozen while an alarm is open.
pub fn judged(mut series: SeriesHistory) -> SeriesHistory {
    let mut past: Vec<f64> = Vec::new();
    let (mut segment, mut hits) = (0, 0_u32);
    for night in &mut series.nights {
        if night.segment != segment {
            past.clear();
            (segment, hits) = (night.segment, 0);
        }
        let mut sorted = past.clone();
        sorted.sort_by(f64::total_cmp);
        night.baseline = sorted.get(sorted.len() / 2).copied();
        night.band = night
            .baseline
            .map(|level| [level * (1.0 - GATE), level * (1.0 + GATE)]);
        if night.unjudged.is_some() {
            continue;
        }
        night.is_alarm = false;
        night.hit = None;
        let (Some(seconds), Some([low, high])) = (night.seconds, night.band) else {
            night.verdict = "learning".to_owned();
            past.extend(night.seconds);
            continue;
        };
        night.hit = if seconds > high {
            Some(Hit::Slower)
        } else {
            (seconds < low).then_some(Hit::Faster)
        };
        hits = if night.hit.is_some() { hits + 1 } else { 0 };
        night.is_alarm = hits >= 2 && night.hit == Some(Hit::Slower);
        let verdict = match (night.hit, hits) {
            (None, _) => "normal",
            (Some(_), 1) => "provisional",
            (Some(Hit::Slower), _) => "confirmed",
            (Some(Hit::Faster), _) => "improved",
        };
        night.verdict = verdict.to_owned();
        if hits == 0 {
            past.push(seconds);
            if past.len() > BASE {
                past.remove(0);
            }
        }
    }
    series
}

/// Thirty nights with everything: a lost host, a driver, a slowdown that somebody acknowledges, another step.
pub fn eventful(device: &str, seed: u32) -> SeriesHistory {
    let mut series = quiet(device, seed, 30, 0.0214);
    segment(&mut series, 12, "driver 570.86.15 → 580.65.06");
    slower(&mut series, 20, 1.1);
    missing(&mut series, 15..=17);
    invalid(&mut series, 9);
    for night in series.nights.iter_mut().filter(|night| night.number >= 26) {
        night.step = NightStep::Period(24.0);
    }
    series.nights[27].step = NightStep::Unknown;
    acknowledge(&mut series, 22, "anna", "fan 3 is dead, replaced on Friday");
    judged(series)
}

/// The devices of a model: one of them slow from night 20 on, one lost, one always a little slower.
pub fn fleet(count: u32) -> Vec<SeriesHistory> {
    (0..count)
        .map(|index| {
            let device = format!("GPU {index:02}");
            if index == 3 {
                return eventful(&device, index);
            }
            let level = 0.0214 * (1.0 + 0.025 * wobble(99, index));
            let mut series = quiet(&device, index, 30, level);
            segment(&mut series, 12, "driver 570.86.15 → 580.65.06");
            if index == 5 {
                missing(&mut series, 24..=30);
            }
            judged(series)
        })
        .collect()
}

/// Every kind of history that there is, by name.
pub fn gallery() -> Vec<(&'static str, SeriesHistory)> {
    let named = |workload: &str, mut series: SeriesHistory| {
        workload.clone_into(&mut series.workload);
        series
    };
    let mut year = quiet("GPU 1", 11, 400, 0.0871);
    for (from, change) in [
        (95, "driver 560.35 → 570.86"),
        (180, "libtorch 2.10.0 → 2.11.0|CUDA 12.8 → 13.0"),
        (330, "power limit 700 W → 600 W"),
    ] {
        segment(&mut year, from, change);
    }
    slower(&mut year, 180, 0.93);
    slower(&mut year, 290, 1.06);
    slower(&mut year, 330, 1.03);
    missing(&mut year, 40..=52);
    missing(&mut year, 230..=230);
    for number in [17, 120, 121, 260] {
        invalid(&mut year, number);
    }
    acknowledge(
        &mut year,
        293,
        "lena",
        "colder aisle closed for repair, see the ticket",
    );
    let mut segments = quiet("GPU 2", 12, 30, 0.0034);
    for (from, change) in [
        (6, "driver 560.35 → 570.86"),
        (8, "CUDA 12.8 → 13.0"),
        (15, "power limit 700 W → 600 W"),
        (29, "ECC off → on"),
    ] {
        segment(&mut segments, from, change);
    }
    let mut restless = quiet("GPU 3", 13, 60, 0.0034);
    for from in (3..60).step_by(2) {
        segment(
            &mut restless,
            from,
            "driver 570.86.15 → 580.65.06|SM clock 1980 MHz → 1755 MHz",
        );
        acknowledge(&mut restless, from, "ops", "expected & <agreed>");
    }
    let mut spike = quiet("GPU 4", 14, 45, 0.0021);
    spike.nights[30].seconds = Some(0.031);
    let mut faster = quiet("GPU 5", 15, 40, 0.0021);
    slower(&mut faster, 25, 0.9);
    let mut lost = quiet("GPU 6", 16, 20, 0.0021);
    missing(&mut lost, 1..=20);
    let mut long = eventful(
        "GPU-8f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f \"<left> & right\" of the upper shelf in rack 12, behind the switch",
        17,
    );
    long.host = "<node>.a-very-long-name.of-a-department.of-a-university.example & sons".to_owned();
    long.model = "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition".to_owned();
    long.workload = "transformer heads=16,layers=24,width=2048,sequence=1024".to_owned();
    let mut steps = quiet("GPU 7", 18, 60, 0.0021);
    for night in &mut steps.nights {
        night.step = match night.number % 9 {
            0 => NightStep::None,
            1 => NightStep::Unknown,
            rest => NightStep::Period(f64::from(8 + 4 * rest)),
        };
    }
    let mut twice = quiet("GPU 8", 19, 12, 0.0021);
    for (index, night) in twice.nights.iter_mut().enumerate() {
        night.date = date_of(index as u32 / 2 + 1);
    }
    let mut jumped = quiet("GPU 9", 20, 12, 0.0021);
    jumped.nights[8].date = date_of(1);
    jumped.nights.reverse();
    let mut odd = quiet("GPU 10", 21, 9, 0.0021);
    for (night, seconds) in odd
        .nights
        .iter_mut()
        .zip([f64::NAN, 0.0, -1.0, f64::INFINITY])
    {
        (night.seconds, night.baseline) = (Some(seconds), Some(seconds));
        night.band = Some([seconds, 2.0 * seconds]);
    }
    odd.nights[6].date = String::new();
    vec![
        ("eventful", named("eventful", eventful("GPU 0", 3))),
        ("year", named("year", judged(year))),
        ("segments", named("five segments", judged(segments))),
        ("restless", named("restless", judged(restless))),
        ("three", named("three nights", quiet("GPU 0", 5, 3, 0.42))),
        ("one", named("one night", quiet("GPU 0", 6, 1, 0.42))),
        ("none", named("no nights", quiet("GPU 0", 7, 0, 1.0))),
        ("spike", named("a spike", judged(spike))),
        ("faster", named("faster", judged(faster))),
        ("lost", named("all missing", judged(lost))),
        ("long", long),
        ("steps", named("many steps", steps)),
        ("twice", named("two nights a day", twice)),
        ("jumped", named("a clock that jumped back", jumped)),
        ("odd", named("odd numbers", odd)),
    ]
}
