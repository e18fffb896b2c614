//! S5: who did not report. A host that is gone is one alarm, not one for each of its devices and their series. Called by `night`.

use std::collections::BTreeMap;

use crate::{
    Book,
    alone::Alone,
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// One series: where it is, what was known of it before the night, and tonight.
pub(crate) struct Place<'a> {
    pub device: &'a str,
    pub host: &'a str,
    pub before: Option<&'a Book>,
    pub alone: &'a mut Alone,
}

/// What is said of devices and of hosts.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub devices: BTreeMap<String, Verdict>,
    pub hosts: BTreeMap<String, Verdict>,
}

/// Whether all of a host's or device's series are missing, and were the night before.
#[derive(Debug, Clone, Copy)]
struct Whole {
    is_gone: bool,
    was_gone: bool,
    /// Some of its series were known before.
    is_known: bool,
    series: usize,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            is_gone: true,
            was_gone: true,
            is_known: false,
            series: 0,
        }
    }
}

impl Whole {
    fn add(&mut self, place: &Place<'_>) {
        self.series += 1;
        self.is_gone &= place.alone.book.standing.missing;
        if let Some(before) = place.before.filter(|before| before.newest.is_some()) {
            self.is_known = true;
            self.was_gone &= before.standing.missing;
        }
    }

    fn was(self) -> bool {
        self.is_known && self.was_gone
    }

    fn verdict(self) -> Option<Verdict> {
        let verdict = match (self.was(), self.is_gone) {
            (was, true) => Verdict::new(Kind::Missing, Reason::Deadline)
                .alarm()
                .new_if(!was),
            (true, false) => Verdict::new(Kind::Resolved, Reason::Returned).new_if(true),
            (false, false) => return None,
        };
        Some(verdict.with(Numbers {
            series: Some(self.series),
            ..Numbers::default()
        }))
    }
}

/// Says of a host or device what all of its series would say, and silences them.
pub(crate) fn judge(places: &mut [Place<'_>]) -> Gone {
    let mut hosts: BTreeMap<&str, Whole> = BTreeMap::new();
    let mut devices: BTreeMap<(&str, &str), Whole> = BTreeMap::new();
    for place in places.iter() {
        hosts.entry(place.host).or_default().add(place);
        devices
            .entry((place.host, place.device))
            .or_default()
            .add(place);
    }
    let mut gone = Gone::default();
    for (host, whole) in &hosts {
        gone.hosts
            .extend(whole.verdict().map(|verdict| ((*host).to_owned(), verdict)));
    }
    for ((host, device), whole) in &devices {
        let host = hosts.get(host).copied().unwrap_or_default();
        if host.is_gone {
            continue;
        }
        // What was told of the host was not yet told of the device.
        let whole = Whole {
            was_gone: whole.was_gone && !host.was(),
            ..*whole
        };
        gone.devices.extend(
            whole
                .verdict()
                .map(|verdict| ((*device).to_owned(), verdict)),
        );
    }
    for place in places {
        let whole = [gone.hosts.get(place.host), gone.devices.get(place.device)];
        let is_said = whole.into_iter().flatten().any(|verdict| {
            // A series that stays away while its host or device returns speaks for itself.
            verdict.kind == Kind::Missing || !place.alone.book.standing.missing
        });
        if is_said {
            let is_of_it = |verdict: &Verdict| {
                verdict.kind == Kind::Missing || verdict.reason == Reason::Returned
            };
            place.alone.silence(is_of_it);
        }
    }
    gone
}
