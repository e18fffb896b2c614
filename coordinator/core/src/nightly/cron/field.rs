//! One field of a cron expression, as the set of numbers that it allows.

/// Numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set(u64);

impl Set {
    pub(super) const fn has(self, number: u8) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    /// The least one that is not below `least`.
    pub(super) fn from(self, least: u8) -> Option<u8> {
        let left = self.0.checked_shr(least.into())?;
        let further = u8::try_from(left.trailing_zeros()).ok()?;
        (left != 0).then_some(least + further)
    }

    fn add(&mut self, number: u8) {
        self.0 |= 1 << number;
    }
}

/// What a field can hold.
pub(super) struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Of the numbers from `first` on.
    names: &'static [&'static str],
    /// For the error of a text that is none.
    examples: &'static str,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fn plain(name: &'static str, first: u8, last: u8, examples: &'static str) -> Field {
    Field {
        name,
        first,
        last,
        names: &[],
        examples,
    }
}

/// In the order in which they are written.
pub(super) const FIELDS: [Field; 5] = [
    plain("minute", 0, 59, "0, */15 and 10-50/10"),
    plain("hour", 0, 23, "2, 20-23 and 1,13"),
    plain("day of the month", 1, 31, "1, 1-7 and *"),
    Field {
        name: "month",
        first: 1,
        last: 12,
        names: &MONTHS,
        examples: "6, jan-mar and *",
    },
    // Sunday is 0 and 7.
    Field {
        name: "weekday",
        first: 0,
        last: SUNDAY_AGAIN,
        names: &WEEKDAYS,
        examples: "1, mon-fri and *",
    },
];

const SUNDAY_AGAIN: u8 = 7;

impl Field {
    /// The numbers that a text allows.
    ///
    /// # Errors
    /// A sentence with the field's name.
    pub(super) fn parse(&self, text: &str) -> Result<Set, String> {
        let mut set = Set::default();
        for item in text.split(',') {
            self.add(item, &mut set)
                .map_err(|problem| format!("field {}: {problem}", self.name))?;
        }
        Ok(set)
    }

    fn add(&self, item: &str, set: &mut Set) -> Result<(), String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (first, last) = if range == "*" {
            (self.first, self.last)
        } else if let Some((first, last)) = range.split_once('-') {
            (self.number(first)?, self.range_end(first, last)?)
        } else {
            let number = self.number(range)?;
            if let Some(step) = step {
                let last = self.last;
                return Err(format!(
                    "{item:?} steps from where to where? write {number}-{last}/{step}"
                ));
            }
            (number, number)
        };
        if last < first {
            return Err(format!("{range:?} ends before it begins"));
        }
        for number in (first..=last).step_by(usize::from(step.unwrap_or(1))) {
            set.add(if self.is_weekday() {
                number % SUNDAY_AGAIN
            } else {
                number
            });
        }
        Ok(())
    }

    /// Sunday ends a week: `sat-sun` are two days.
    fn range_end(&self, first: &str, last: &str) -> Result<u8, String> {
        let number = self.number(last)?;
        let is_sunday = self.is_weekday() && number == 0 && self.number(first)? > 0;
        Ok(if is_sunday { SUNDAY_AGAIN } else { number })
    }

    fn is_weekday(&self) -> bool {
        self.last == SUNDAY_AGAIN
    }

    fn step(&self, text: &str) -> Result<u8, String> {
        let most = self.last;
        digits(text)
            .filter(|step| (1..=u16::from(most)).contains(step))
            .and_then(|step| u8::try_from(step).ok())
            .ok_or_else(|| format!("{text:?} is not a step between 1 and {most}"))
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let (first, last) = (self.first, self.last);
        let named = self
            .names
            .iter()
            .zip(first..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, number)) = named {
            return Ok(number);
        }
        let number =
            digits(text).ok_or_else(|| format!("{text:?} is not one ({} are)", self.examples))?;
        u8::try_from(number)
            .ok()
            .filter(|number| (first..=last).contains(number))
            .ok_or_else(|| format!("{number} is not between {first} and {last}"))
    }
}

fn digits(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
