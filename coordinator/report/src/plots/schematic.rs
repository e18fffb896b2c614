//! The picture that explains what the step is, drawn from a stated law and marked as a schematic: it shows no measurement.

use crate::draw::{Anchor, Canvas, Point, Scale, Theme};

/// Size of the picture, pixels.
const SIZE: (u32, u32) = (960, 430);
/// Samples that the schematic device works on at once.
const STEP: u32 = 16;
/// Fixed part and cost of one round in the schematic's law t = a + c * ceil(B / 16), in units of the fixed part.
const FIXED: f64 = 1.0;
const ROUND: f64 = 1.0;
/// Largest batch size drawn.
const LARGEST: u32 = 80;
/// The data area.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 540.0;
const TOP: f64 = 112.0;
const BOTTOM: f64 = 352.0;
/// Where the rounds are drawn, and the pitch of their samples.
const ROUNDS_LEFT: f64 = 596.0;
const PITCH: f64 = 19.0;

/// The README's picture of the step: iteration time as a staircase on the left, the rounds behind it on the right.
#[must_use]
pub fn step_picture(theme: Theme) -> String {
    let mut canvas = Canvas::default();
    canvas.text(
        "title",
        Anchor::Start,
        (28.0, 38.0),
        "The step: one sample too many buys a whole new round",
    );
    canvas.text(
        "sub",
        Anchor::Start,
        (28.0, 60.0),
        "Schematic, not a measurement: a device that works on 16 samples at once, t = a + c · ⌈B / 16⌉",
    );
    staircase(&mut canvas);
    rounds(&mut canvas);
    canvas
        .finish(
            SIZE,
            "The parallelism step, schematic",
            "Iteration time against batch size is a staircase with a step of 16 samples. From 32 to 33 samples it jumps, because \
             the device works in rounds of 16 and the 33rd sample needs a third round, which costs as much as a full one. 48 and 64 \
             use their rounds fully.",
        )
        .standalone(theme)
}

fn law(batch_size: u32) -> f64 {
    FIXED + ROUND * f64::from(batch_size.div_ceil(STEP))
}

fn staircase(canvas: &mut Canvas) {
    let x = Scale::linear(0.0, f64::from(LARGEST) + 2.0, LEFT, RIGHT);
    let y = Scale::linear(0.0, law(LARGEST) + 0.7, BOTTOM, TOP);
    let at = |batch_size: u32| -> Point { (x.at(f64::from(batch_size)), y.at(law(batch_size))) };
    for round in (1..LARGEST / STEP).step_by(2) {
        let left = x.at(f64::from(round * STEP) + 0.5);
        canvas.rectangle(
            "band",
            (left, TOP),
            (
                x.at(f64::from((round + 1) * STEP) + 0.5) - left,
                BOTTOM - TOP,
            ),
            0.0,
        );
    }
    canvas.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    canvas.line("axis", (LEFT, BOTTOM), (LEFT, TOP));
    canvas.text(
        "axis-title",
        Anchor::Start,
        (28.0, TOP - 14.0),
        "iteration time",
    );
    canvas.text(
        "axis-title",
        Anchor::Middle,
        ((LEFT + RIGHT) / 2.0, BOTTOM + 46.0),
        "batch size B, samples",
    );
    for size in (0..=LARGEST).step_by(STEP as usize) {
        let place = x.at(f64::from(size));
        canvas.line("axis", (place, BOTTOM), (place, BOTTOM + 5.0));
        canvas.text(
            "tick",
            Anchor::Middle,
            (place, BOTTOM + 21.0),
            &size.to_string(),
        );
        if size > 0 {
            canvas.line("mark-line", at(size), (place, BOTTOM));
        }
    }
    let law: Vec<Point> = (1..=LARGEST).map(at).collect();
    canvas.polyline("fit", &law);
    for size in 1..=LARGEST {
        canvas.disc("data", at(size), 2.4, "");
    }
    for size in (STEP..=LARGEST).step_by(STEP as usize) {
        canvas.diamond("mark", at(size), 6.5, "");
    }
    let (before, after) = (at(2 * STEP), at(2 * STEP + 1));
    canvas.polyline("jump", &[before, (after.0, before.1), after]);
    canvas.disc("jump", after, 6.0, "");
    let label = (after.0 - 62.0, after.1 - 62.0);
    canvas.line(
        "jump",
        (label.0 + 30.0, label.1 + 8.0),
        (after.0 - 3.5, after.1 - 6.0),
    );
    canvas.text(
        "in jump-label",
        Anchor::Middle,
        (label.0, label.1 - 14.0),
        "32 → 33: time jumps,",
    );
    canvas.text(
        "in jump-label",
        Anchor::Middle,
        (label.0, label.1 + 2.0),
        "a new round begins",
    );
    let good = at(4 * STEP);
    canvas.text(
        "in mark-label",
        Anchor::Start,
        (good.0 - 30.0, good.1 + 30.0),
        "16, 32, 48, 64, …",
    );
    canvas.text(
        "in mark-label",
        Anchor::Start,
        (good.0 - 30.0, good.1 + 47.0),
        "fill their rounds",
    );
}

fn rounds(canvas: &mut Canvas) {
    canvas.text(
        "axis-title",
        Anchor::Start,
        (ROUNDS_LEFT, TOP - 14.0),
        "what the device does, one row per round",
    );
    let mut y = TOP + 6.0;
    for (batch_size, words, class) in [
        (32, "32 samples: two full rounds", "mark-label"),
        (33, "33 samples: a whole third round, for one", "jump-label"),
        (48, "48 samples: the same time as 33", "mark-label"),
    ] {
        canvas.text(class, Anchor::Start, (ROUNDS_LEFT, y + 4.0), words);
        y += 13.0;
        for round in 0..u32::div_ceil(batch_size, STEP) {
            for lane in 0..STEP {
                let sample = round * STEP + lane;
                let corner = (ROUNDS_LEFT + f64::from(lane) * PITCH, y);
                let class = match sample {
                    sample if sample >= batch_size => "slot",
                    32 if batch_size == 33 => "slot-extra",
                    _ => "slot-used",
                };
                canvas.rectangle(class, corner, (PITCH - 4.0, PITCH - 4.0), 2.5);
            }
            y += PITCH;
        }
        y += 24.0;
    }
}
