//! From a trace to an answer: the order of the rules, and what each failure is called.

use crate::advice::{self, dense_window, percent, period_words};
use crate::answer::{EdgeSight, Inference, OtherStep, StepKind, Verdict};
use crate::bootstrap::Confidence;
use crate::effect::{self, Effect};
use crate::fit::Law;
use crate::guard;
use crate::options::Options;
use crate::reading::{Other, Reading};
use crate::scan::equivalent_periods;
use crate::study::{Found, LEAST_SIZES, Study};
use crate::term::{Term, grown};
use crate::trace::Trace;

/// Share of the total rise off the combs above which several mechanisms are at work.
const IRREGULAR_SHARE: f64 = 0.25;

/// Growth of the time over the range below which it is flat.
const FLAT: f64 = 1.1;

/// Growth below which it falls.
const FALLS: f64 = 0.9;

/// No larger batch size is suggested: coordinators refuse larger ones.
const LARGEST_SUGGESTED: u32 = 1 << 20;

/// Confidence below which nothing is claimed.
const LEAST_CONFIDENCE: f64 = 0.8;

/// A jump so large going unseen means the timings say nothing.
const BLIND: f64 = 0.25;

/// Relative standard error of a median, from repeats, below which level changes are believed.
const QUIET: f64 = 0.05;

/// Infers the parallelism step of `trace`. Deterministic for given options; never panics.
pub fn infer(trace: &Trace, options: &Options) -> Inference {
    let (best_throughput, knee_batch_size) = advice::throughput(trace);
    let blank = Inference {
        knee_batch_size,
        best_throughput,
        ..Inference::insufficient(String::new())
    };
    let mut study = Study::new(trace, options);
    if study.sample.len() < LEAST_SIZES {
        return study.too_few(blank);
    }
    study.clip_outliers();
    study.answer(blank)
}

impl Study<'_> {
    fn too_few(&self, mut answer: Inference) -> Inference {
        let count = self.sample.len();
        let sizes = if count == 1 { "size" } else { "sizes" };
        answer.reason = format!(
            "{count} batch {sizes} cannot tell a step from an accident: at least {LEAST_SIZES} are needed, and three \
             edges of the step among them"
        );
        answer.next_action = Some(if self.sample.last() < 48 {
            "measure 1..64 densely: --batch-sizes 1-64".to_owned()
        } else {
            dense_window(self.trace, self.periods.spacing)
        });
        answer.fitted = self.fitted(self.rival());
        answer
    }

    fn answer(&self, mut answer: Inference) -> Inference {
        answer.fitted = self.fitted(self.rival());
        answer.smallest_detectable_jump = self.detectable_jump(self.rival());
        if self.periods.is_empty() {
            answer.reason = format!(
                "the batch sizes measured, {} to {}, lie too far apart for three edges of any step they could show",
                self.sample.first(),
                self.sample.last()
            );
            answer.next_action = Some(dense_window(self.trace, self.periods.spacing));
            return answer;
        }
        let mut rejected = Vec::new();
        match self.find(&mut rejected) {
            Some(found) => self.weigh(answer, &found, &rejected),
            None => self.without_step(answer, rejected.first().map(|&law| &self.laws[law])),
        }
    }

    fn weigh(&self, mut answer: Inference, found: &Found, rejected: &[usize]) -> Inference {
        let law = &self.laws[found.law];
        let reading = &found.reading;
        let effect = effect::measure(&self.sample, law, reading);
        if effect.largest < self.options.effect_gate {
            return self.below_gate(answer, law, reading, &effect);
        }
        let off_comb = self.off_comb_share(law);
        if off_comb > IRREGULAR_SHARE {
            answer.verdict = Verdict::Irregular;
            answer.fitted = self.fitted(law);
            answer.reason = format!(
                "a period of {} shows, but {} of the rise of the time lies off it: several mechanisms overlap",
                period_words(reading.period),
                percent(off_comb)
            );
            answer.next_action = Some(
                "measure a single layer (--workload linear or conv) whose step stands alone"
                    .to_owned(),
            );
            return answer;
        }
        let confidence = self.confidence(found, rejected);
        answer.confidence = Some(confidence.value);
        answer.fitted = self.fitted(law);
        if confidence.value < LEAST_CONFIDENCE {
            answer.reason = format!(
                "a step of {} fits best, but only {} of the resampled rounds agree with it",
                period_words(reading.period),
                percent(confidence.value)
            );
            answer.next_action = Some(self.more_rounds());
            return answer;
        }
        self.step(answer, law, found, &effect, &confidence)
    }

    fn step(
        &self,
        mut answer: Inference,
        law: &Law,
        found: &Found,
        effect: &Effect,
        confidence: &Confidence,
    ) -> Inference {
        let reading = &found.reading;
        let start = law.floor.unwrap_or(0).max(self.sample.first());
        let recommended =
            advice::recommended(reading.period, reading.offset, start, self.sample.last());
        let jump_at = found
            .sighting
            .confirmed()
            .next()
            .or(recommended.first().copied());
        let (low, high) =
            equivalent_periods(&self.sample, law.floor, reading.period, reading.offset);
        let interval = [
            low.min(confidence.interval.0).min(reading.period),
            high.min(1.05 * reading.period)
                .max(confidence.interval.1)
                .max(reading.period),
        ];
        answer.verdict = Verdict::Step;
        answer.smallest_detectable_jump = self.detectable_jump(law);
        answer.step = Some(reading.period);
        answer.step_interval = Some(interval);
        answer.offset = Some(reading.offset);
        answer.kind = Some(effect.kind);
        answer.profile.clone_from(&effect.profile);
        answer.edges = guard::told(&self.sample, reading.period, &found.sighting.edges);
        answer.jump_at = jump_at;
        answer.jump_relative = jump_at.map(|at| law.at(at.saturating_add(1)) / law.at(at) - 1.0);
        answer.other_steps = self.other_steps(law, reading);
        answer.recommended_batch_sizes = recommended;
        let how = match effect.kind {
            StepKind::Staircase => "time jumps after",
            StepKind::Remainder => "time falls back at",
        };
        let confirmed = answer.count_edges(EdgeSight::Confirmed);
        let period = period_words(reading.period);
        let good = if reading.offset == 0.0 {
            format!("each multiple of {period}")
        } else {
            format!("each multiple of {period} plus {:.0}", reading.offset)
        };
        answer.reason = format!(
            "{how} {good}: {} of {} edges confirmed, left-over samples cost up to {} more than the multiples promise",
            confirmed,
            confirmed + answer.count_edges(EdgeSight::Missed),
            percent(effect.shown),
        );
        answer
    }

    /// The other periods worth telling: at least one gate of effect, and combs that show at their own edges.
    fn other_steps(&self, law: &Law, reading: &Reading) -> Vec<OtherStep> {
        let start = law.floor.unwrap_or(0).max(self.sample.first());
        let relative = |other: &Other| {
            let at = (f64::from(start) / other.period).ceil().max(1.0) * other.period;
            other.jump * grown(other.growth, at)
                / law
                    .at(at.min(f64::from(u32::MAX)) as u32)
                    .max(f64::MIN_POSITIVE)
        };
        let mut others: Vec<OtherStep> = reading
            .others
            .iter()
            .filter(|other| self.shows(law, other))
            .map(|other| OtherStep {
                step: other.period,
                jump_relative: relative(other),
            })
            .filter(|other| other.jump_relative >= self.options.effect_gate)
            .collect();
        others.sort_by(|a, b| b.jump_relative.total_cmp(&a.jump_relative));
        others
    }

    fn below_gate(
        &self,
        mut answer: Inference,
        law: &Law,
        reading: &Reading,
        effect: &Effect,
    ) -> Inference {
        answer.verdict = Verdict::NoStep;
        answer.fitted = self.fitted(law);
        let (first, last) = (self.sample.first(), self.sample.last());
        answer.reason = format!(
            "a period of {} exists, but from {first} to {last} it costs only {} on average, below the {} worth caring about",
            period_words(reading.period),
            percent(effect.largest.max(0.0)),
            percent(self.options.effect_gate),
        );
        answer.next_action = Some(ANY_SIZE.to_owned());
        // Relative to small times it is more: there the power of this "no" ends.
        if let Some(at) = effect.first_good {
            let jump = law.at(at.saturating_add(1)) / law.at(at)
                - law.at(at) / law.at(at.saturating_sub(1).max(1));
            if jump > self.options.effect_gate {
                answer
                    .reason
                    .push_str(&format!("; at {at} it is {}", percent(jump)));
                answer.next_action = Some(format!(
                    "where small batch sizes matter, measure them alone: --batch-sizes {first}-{}",
                    (last / 2).max(first.saturating_add(LEAST_SIZES as u32)),
                ));
            }
            answer.smallest_detectable_jump =
                answer.smallest_detectable_jump.map(|seen| seen.max(jump));
        }
        answer
    }

    fn without_step(&self, mut answer: Inference, refuted: Option<&Law>) -> Inference {
        let rival = self.rival();
        let switches = self.switches(rival);
        if self.periods.spacing > 1 {
            answer.reason = format!(
                "even where they are densest, the batch sizes measured lie {} apart, so a step of {} or less, or one that divides {}, could hide \
                 between them",
                self.periods.spacing,
                2 * self.periods.spacing - 1,
                self.periods.spacing,
            );
            answer.next_action = Some(dense_window(self.trace, self.periods.spacing));
            return answer;
        }
        // Many switches look like scatter too, but not to repeats.
        let quiet = self.sample.repeat_error.is_some_and(|error| error < QUIET);
        let blind = answer
            .smallest_detectable_jump
            .is_none_or(|jump| jump > BLIND);
        if blind && (switches.is_empty() || !quiet) {
            answer.reason = "the timings scatter too much to see even a large jump".to_owned();
            answer.next_action = Some(self.more_rounds());
            return answer;
        }
        if !switches.is_empty() {
            let list: Vec<String> = switches.iter().map(u32::to_string).collect();
            answer.verdict = Verdict::Irregular;
            answer.reason = format!(
                "the time changes level after batch size {} without repeating: the library switches its algorithm",
                list.join(", ")
            );
            answer.next_action = Some(
                "look at the plot, and measure a narrower range between two changes if one matters to you".to_owned(),
            );
            return answer;
        }
        answer.verdict = Verdict::NoStep;
        answer.reason = match refuted.and_then(Reading::of) {
            Some(reading) => format!(
                "{}; a period of {} fits on average but not at its edges",
                self.shape(rival),
                period_words(reading.period)
            ),
            None => self.shape(rival),
        };
        answer.reason.push_str(&format!(
            "; steps up to {:.0} could have shown between {} and {}",
            self.periods.longest_seen().floor(),
            self.sample.first(),
            self.sample.last()
        ));
        answer.next_action = Some(if self.is_flat(rival) {
            // What is flat so far may be the first round of a step that is longer than the range.
            format!(
                "measure larger batch sizes, such as --batch-sizes {}-{}: up to {} the time hardly grows, and a first round may not be over",
                self.sample.first(),
                self.sample.last().saturating_mul(4).min(LARGEST_SUGGESTED),
                self.sample.last()
            )
        } else if self.falls(rival) {
            "look at where the timings come from: an iteration should not take less time with more samples; rates need --unit samples/s, and a device that was \
             still warming up must be measured in random order"
                .to_owned()
        } else {
            ANY_SIZE.to_owned()
        });
        answer
    }

    /// Time at the largest batch size over that at the smallest, by the rival.
    fn growth(&self, rival: &Law) -> f64 {
        rival.at(self.sample.last()) / rival.at(self.sample.first())
    }

    /// Whether the time hardly grows over the whole range, and larger batch sizes can be measured.
    fn is_flat(&self, rival: &Law) -> bool {
        (FALLS..FLAT).contains(&self.growth(rival)) && self.sample.last() < LARGEST_SUGGESTED
    }

    /// Whether the time falls, which no device does.
    fn falls(&self, rival: &Law) -> bool {
        self.growth(rival) < FALLS
    }

    /// The growth of the time in words.
    fn shape(&self, rival: &Law) -> String {
        let bent = |term: &Term| !matches!(term, Term::Constant | Term::Slope | Term::Floor);
        if self.falls(rival) {
            format!(
                "the time falls by {} from batch size {} to {}",
                percent(1.0 - self.growth(rival)),
                self.sample.first(),
                self.sample.last()
            )
        } else if self.growth(rival) < FLAT {
            format!(
                "launch-bound: the time hardly grows from batch size {} to {}",
                self.sample.first(),
                self.sample.last()
            )
        } else if let Some(end) = rival.floor {
            format!("a launch-bound floor up to batch size {end}, then smooth growth without jumps")
        } else if rival.terms.iter().any(bent) {
            "smooth: the time bends as the batch grows, but does not jump".to_owned()
        } else {
            "linear: each further sample costs the same".to_owned()
        }
    }

    fn more_rounds(&self) -> String {
        if self.sample.has_repeats() {
            format!(
                "measure more rounds: {} so far; or a quieter machine",
                self.sample.rounds()
            )
        } else {
            "measure every batch size in at least 5 rounds".to_owned()
        }
    }
}

/// The advice when no batch size is better than its neighbours.
const ANY_SIZE: &str =
    "choose any batch size: from the knee of the throughput on, larger is as efficient";
