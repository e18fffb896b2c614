//! What stands beside the nights above the data: what changed at the start of a segment, and who acknowledged an alarm. Labels never touch each
//! other nor the line of another mark; where the words do not fit, marks have numbers and a list below the plot has the words.

use super::timeline::Timeline;
use super::words;
use crate::draw::width;
use crate::history::{NightPoint, SeriesHistory};

/// Size of the labels, pixels.
pub(super) const LABEL_SIZE: f64 = 12.0;
/// Height of a row of labels, pixels.
pub(super) const ROW: f64 = 17.0;
/// Size of an acknowledgement's pennant, pixels.
pub(super) const PENNANT: (f64, f64) = (10.0, 9.0);
/// Most marks that are worth trying to label in words, longest label in pixels, and most rows of them.
const MOST_WORDED: usize = 12;
const LONGEST: f64 = 330.0;
const MOST_ROWS: usize = 4;
/// From a mark's line to its label, and from a label to the next thing, pixels.
const INDENT: f64 = 4.0;
const GAP: f64 = 6.0;

/// Marks within this distance are of one night, pixels.
const SAME_NIGHT: f64 = 0.01;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Change,
    Acknowledgement,
}

/// Something to say about a night.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note<'a> {
    pub(super) night: &'a NightPoint,
    pub(super) topic: Topic,
    /// Pixel of its line.
    pub(super) x: f64,
    /// Height that its line reaches down to, pixels.
    pub(super) foot: f64,
    /// What its label says where there is room.
    pub(super) label: String,
    /// All of it, with the night.
    pub(super) words: String,
}

/// A label with its place: `left` in pixels, `row` counted from the data upward.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    pub(super) text: String,
    pub(super) left: f64,
    pub(super) row: usize,
    /// Index of the note, the first of those that a label is for.
    pub(super) note: usize,
}

/// Labels of all notes, and what has to be listed below the plot.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lane {
    pub(super) labels: Vec<Label>,
    pub(super) rows: usize,
    pub(super) entries: Vec<String>,
    /// Labels are numbers, which stand above all pennants; names stand beside their own.
    pub(super) is_numbered: bool,
}

impl Note<'_> {
    /// Where its label begins if nothing is in the way.
    fn label_start(&self) -> f64 {
        self.x
            + match self.topic {
                Topic::Change => INDENT,
                Topic::Acknowledgement => PENNANT.0 + INDENT,
            }
    }
}

/// The notes of a series by night, without their feet: a change stands right before its night, an acknowledgement at it. `x` gives the pixel of a place.
pub(super) fn of<'a>(
    history: &'a SeriesHistory,
    x: impl Fn(f64) -> f64,
    timeline: &Timeline,
) -> Vec<Note<'a>> {
    let changes = history.segment_starts().map(|night| Note {
        night,
        topic: Topic::Change,
        x: x(timeline.before(night)),
        foot: 0.0,
        label: words::changes(night),
        words: words::changed(night),
    });
    let acknowledged = history.acknowledgements().map(|(night, word)| Note {
        night,
        topic: Topic::Acknowledgement,
        x: x(timeline.place(night)),
        foot: 0.0,
        label: word.by.clone(),
        words: words::acknowledged(night, word),
    });
    let mut notes: Vec<Note<'a>> = changes.chain(acknowledged).collect();
    notes.sort_by_key(|note| note.night.number);
    notes
}

/// Lays out `notes`, which are ordered by their night, left of `right`.
pub(super) fn lane(notes: &[Note<'_>], right: f64) -> Lane {
    if notes.is_empty() {
        return Lane::default();
    }
    match worded(notes, right) {
        Some(labels) => Lane {
            rows: labels.iter().map(|label| label.row + 1).max().unwrap_or(0),
            is_numbered: false,
            labels,
            // A label has the name alone.
            entries: notes
                .iter()
                .filter(|note| note.topic == Topic::Acknowledgement)
                .map(|note| note.words.clone())
                .collect(),
        },
        None => Lane {
            rows: 1,
            is_numbered: true,
            labels: numbered(notes, right),
            entries: notes
                .iter()
                .enumerate()
                .map(|(index, note)| format!("{} · {}", index + 1, note.words))
                .collect(),
        },
    }
}

/// A label in words for each note, in few rows; `None` where that needs more than there are.
fn worded(notes: &[Note<'_>], right: f64) -> Option<Vec<Label>> {
    if notes.len() > MOST_WORDED {
        return None;
    }
    let mut labels = Vec::with_capacity(notes.len());
    for (index, note) in notes.iter().enumerate() {
        let wide = width(&note.label, LABEL_SIZE);
        if wide > LONGEST {
            return None;
        }
        let start = note.label_start();
        let is_flag = note.topic == Topic::Acknowledgement;
        // A pennant stays at its pole, and its name beside it.
        if is_flag && start + wide > right {
            return None;
        }
        labels.push(Label {
            text: note.label.clone(),
            left: start.min(right - wide),
            row: 0,
            note: index,
        });
    }
    // Rows only ever grow, so this ends: a label that covers another mark's line goes above that mark's label.
    loop {
        let Some(index) = lifted(notes, &labels) else {
            return Some(labels);
        };
        labels[index].row += 1;
        if labels[index].row >= MOST_ROWS {
            return None;
        }
    }
}

/// A label that has to go up a row.
fn lifted(notes: &[Note<'_>], labels: &[Label]) -> Option<usize> {
    let span = |index: usize| {
        let label = &labels[index];
        let from = label.left.min(notes[index].x);
        (from, label.left + width(&label.text, LABEL_SIZE) + GAP)
    };
    (0..labels.len()).find(|&index| {
        let (from, to) = span(index);
        (0..labels.len()).any(|other| {
            let (other_from, other_to) = span(other);
            // Marks of one night share a line.
            let covers = (from..to).contains(&notes[other].x)
                && (notes[other].x - notes[index].x).abs() > SAME_NIGHT;
            let touches = from < other_to && other_from < to;
            other != index
                && ((covers && labels[index].row <= labels[other].row)
                    || (touches && index < other && labels[index].row == labels[other].row))
        })
    })
}

/// The notes' numbers in one row, left of `limit`; marks too close for a number each share one label: "3–7".
fn numbered(notes: &[Note<'_>], limit: f64) -> Vec<Label> {
    let widest = width(&format!("{0}–{0}", notes.len()), LABEL_SIZE);
    let mut labels: Vec<Label> = Vec::new();
    for (index, note) in notes.iter().enumerate() {
        let left = (note.x + INDENT).min(limit - widest);
        match labels.last_mut() {
            Some(group) if note.x.min(left) < group.left + width(&group.text, LABEL_SIZE) + GAP => {
                group.text = format!("{}–{}", group.note + 1, index + 1);
            }
            _ => labels.push(Label {
                text: (index + 1).to_string(),
                left,
                row: 0,
                note: index,
            }),
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn note(x: f64, label: &str) -> Note<'static> {
        static NIGHT: LazyLock<NightPoint> = LazyLock::new(NightPoint::default);
        Note {
            night: &NIGHT,
            topic: Topic::Change,
            x,
            foot: 0.0,
            label: label.to_owned(),
            words: format!("night at {x}: {label}"),
        }
    }

    #[test]
    fn labels_side_by_side_share_a_row_and_close_ones_are_stairs() {
        let apart = lane(&[note(10.0, "driver"), note(500.0, "CUDA")], 960.0);
        assert_eq!((apart.rows, apart.labels.len()), (1, 2));
        assert!(apart.entries.is_empty(), "the labels say it all");
        let close = lane(
            &[
                note(10.0, "driver"),
                note(30.0, "CUDA"),
                note(50.0, "cuDNN"),
            ],
            960.0,
        );
        let rows: Vec<usize> = close.labels.iter().map(|label| label.row).collect();
        assert_eq!(
            rows,
            [2, 1, 0],
            "no label is crossed by a line from another"
        );
    }

    #[test]
    fn a_label_at_the_right_end_stays_within() {
        let words = "driver 570.86 → 580.65";
        let last = lane(&[note(950.0, words)], 960.0);
        let label = &last.labels[0];
        assert!(label.left + width(&label.text, LABEL_SIZE) <= 960.0);
    }

    #[test]
    fn many_marks_have_numbers_and_a_list() {
        let notes: Vec<Note> = (0..40)
            .map(|index| note(100.0 + 9.0 * f64::from(index), "driver 570 → 580"))
            .collect();
        let lane = lane(&notes, 960.0);
        assert_eq!((lane.rows, lane.entries.len()), (1, 40));
        assert!(lane.entries[39].starts_with("40 · night at"));
        assert!(lane.labels.len() < 40 && lane.labels[0].text.starts_with("1–"));
        for pair in lane.labels.windows(2) {
            let end = pair[0].left + width(&pair[0].text, LABEL_SIZE);
            assert!(
                end < pair[1].left,
                "{} touches {}",
                pair[0].text,
                pair[1].text
            );
        }
    }

    #[test]
    fn a_label_longer_than_the_plot_has_a_number() {
        let lane = lane(&[note(10.0, &"long ".repeat(40))], 960.0);
        assert_eq!(lane.labels[0].text, "1");
        assert_eq!(lane.entries.len(), 1);
    }
}
