//! A quantity against batch size: points with their intervals, the fitted law, and the good batch sizes. Used for iteration time, throughput and
//! the article's plots, which differ in the quantity alone.

use batchstep_core::steptable::{Edge, PointRow};

use super::callouts;
use super::edges;
use super::frame::{self, BOTTOM, Heading, Key, LEFT, RIGHT};
use super::labels::Labels;
use super::quantity::Quantity;
use super::study::Study;
use crate::cells;
use crate::draw::{Anchor, Canvas, Picture, Point, Scale};

/// Room above the highest value, as a share of the range, for labels.
const HEADROOM: f64 = 0.16;
/// Upper interval ends count for the axis up to this multiple of the highest median; longer ones are cut off at the top.
const INTERVAL_SHARE: f64 = 1.4;
/// Bands of alternating rounds are drawn when a round is at least this wide, pixels.
const BAND_LEAST: f64 = 7.0;
/// Points closer than this, pixels, are painted below the law.
const DENSE_BELOW: f64 = 6.0;
/// Fewest points for which an axis that does not begin at zero shows anything.
const ZOOM_FROM: usize = 3;
/// Intervals at least this long, pixels, are kept free of labels.
const LONG_INTERVAL: f64 = 10.0;
/// Most labels on the horizontal axis.
const BATCH_SIZE_TICKS: usize = 14;
/// An out-of-memory batch size is shown on the axis up to this multiple of the largest one measured.
const OUT_OF_MEMORY_SHARE: f64 = 1.5;

/// The curve of one study, ready to draw.
pub(super) struct Curve<'a> {
    pub(super) study: &'a Study<'a>,
    pub(super) quantity: Quantity,
    pub(super) points: Vec<&'a PointRow>,
    /// Batch size and value of the fitted law.
    pub(super) fitted: Vec<(u32, f64)>,
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) top: f64,
}

/// Draws `quantity` of `study` against batch size.
pub(crate) fn draw(study: &Study<'_>, quantity: Quantity) -> Picture {
    let mut canvas = Canvas::default();
    let top = frame::heading(&mut canvas, study, Heading::Full, quantity.title());
    match Curve::new(study, quantity, top) {
        Some(curve) => curve.draw(&mut canvas),
        None => canvas.text(
            "note",
            Anchor::Middle,
            frame::center(top),
            "No batch size was measured.",
        ),
    }
    canvas.finish(
        frame::size(),
        &format!("{}: {}", quantity.title(), study.subject()),
        &description(study, quantity),
    )
}

impl<'a> Curve<'a> {
    fn new(study: &'a Study<'a>, quantity: Quantity, top: f64) -> Option<Self> {
        let usable = |seconds: f64| seconds.is_finite() && seconds > 0.0;
        let points: Vec<&PointRow> = study
            .points
            .iter()
            .filter(|point| point.batch_size > 0 && usable(point.seconds))
            .collect();
        let fitted: Vec<(u32, f64)> = study
            .fitted
            .iter()
            .filter(|point| point.batch_size > 0 && usable(point.seconds))
            .map(|point| {
                (
                    point.batch_size,
                    quantity.of(f64::from(point.batch_size), point.seconds),
                )
            })
            .collect();
        let (first, last) = (points.first()?, points.last()?);
        let mut largest_batch = f64::from(last.batch_size);
        if let Some(limit) = study.out_of_memory_at.map(f64::from)
            && limit > largest_batch
            && limit <= OUT_OF_MEMORY_SHARE * largest_batch
        {
            largest_batch = limit;
        }
        let medians = points
            .iter()
            .map(|point| quantity.of(f64::from(point.batch_size), point.seconds));
        let values = medians.chain(fitted.iter().map(|(_, value)| *value));
        let (smallest, highest) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let reach = points
            .iter()
            .flat_map(|point| interval(point, quantity))
            .fold(highest, f64::max)
            .min(INTERVAL_SHARE * highest);
        let lowest = points
            .iter()
            .flat_map(|point| interval(point, quantity))
            .filter(|value| *value > 0.0)
            .fold(smallest, f64::min);
        let lowest = if points.len() < ZOOM_FROM {
            0.0
        } else {
            lowest
        };
        Some(Self {
            study,
            quantity,
            x: Scale::batch_sizes(f64::from(first.batch_size), largest_batch, LEFT, RIGHT),
            y: Scale::quantities(lowest, reach, HEADROOM, BOTTOM, top),
            points,
            fitted,
            top,
        })
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.bands(canvas);
        self.axes(canvas);
        let places: Vec<Point> = self.points.iter().map(|point| self.place(point)).collect();
        let law: Vec<Point> = self
            .fitted
            .iter()
            .map(|&(batch_size, value)| self.at(batch_size, value))
            .collect();
        let mut labels = Labels::new((LEFT, self.top - 4.0), (RIGHT, BOTTOM));
        for line in [&places, &law] {
            for pair in line.windows(2) {
                labels.avoid_line(pair[0], pair[1]);
            }
        }
        for (place, point) in places.iter().zip(&self.points) {
            labels.avoid(*place, 4.0);
            let [one, other] = self.interval_ends(point);
            if (one.1 - other.1).abs() >= LONG_INTERVAL {
                labels.avoid_line(one, other);
            }
        }
        let marks = callouts::marks(self);
        callouts::drop_lines(canvas, &marks);
        if law.is_empty() {
            canvas.polyline("trail", &places);
        }
        self.intervals(canvas);
        // Dots that touch would hide the law.
        if self.spacing() < DENSE_BELOW {
            self.dots(canvas);
            canvas.polyline("fit thin", &law);
        } else {
            canvas.polyline("fit", &law);
            self.dots(canvas);
        }
        callouts::limits(self, canvas, &mut labels);
        if let Some(edges) = self.edges() {
            edges::on_axis(canvas, edges, |place| self.x.at(place));
        }
        callouts::draw_marks(self, canvas, &mut labels, &marks);
        callouts::jump(self, canvas, &mut labels);
        callouts::best(self, canvas, &mut labels);
        callouts::label_marks(self, canvas, &mut labels, &marks);
        let mut legend = vec![(Key::Data, "median and its interval")];
        if law.len() > 1 {
            legend.push((Key::Fit, "fitted law"));
        }
        if !marks.is_empty() {
            legend.push((Key::Mark, "recommended"));
        }
        frame::legend(canvas, self.top, &legend);
    }

    /// Pixel of a value at a batch size.
    pub(super) fn at(&self, batch_size: u32, value: f64) -> Point {
        (self.x.at(f64::from(batch_size)), self.y.at(value))
    }

    fn place(&self, point: &PointRow) -> Point {
        self.at(
            point.batch_size,
            self.quantity.of(f64::from(point.batch_size), point.seconds),
        )
    }

    /// The value at a batch size: as measured, else as fitted.
    pub(super) fn value(&self, batch_size: u32) -> Option<f64> {
        let measured = self
            .points
            .iter()
            .find(|point| point.batch_size == batch_size);
        measured
            .map(|point| self.quantity.of(f64::from(batch_size), point.seconds))
            .or_else(|| self.law(batch_size))
    }

    /// The fitted value at a batch size.
    pub(super) fn law(&self, batch_size: u32) -> Option<f64> {
        self.fitted
            .iter()
            .find(|(size, _)| *size == batch_size)
            .map(|(_, value)| *value)
    }

    /// Shades every other round of the step, so that its rhythm shows.
    fn bands(&self, canvas: &mut Canvas) {
        let Some(step) = self
            .study
            .step
            .filter(|step| *step >= 1.0 && !self.x.is_logarithmic())
        else {
            return;
        };
        if step * self.x.density() < BAND_LEAST {
            return;
        }
        let offset = self.study.offset;
        let edge = |round: f64| {
            self.x
                .at((round * step + offset + 1e-9).floor() + 0.5)
                .clamp(LEFT, RIGHT)
        };
        let rounds = (self.x.high() / step).ceil() as u32;
        for round in (1..=rounds).step_by(2) {
            let (left, right) = (edge(f64::from(round)), edge(f64::from(round) + 1.0));
            canvas.rectangle(
                "band",
                (left, self.top),
                (right - left, BOTTOM - self.top),
                0.0,
            );
        }
    }

    fn axes(&self, canvas: &mut Canvas) {
        let (title, factor) = self.quantity.axis(self.y.high());
        let title = if self.y.is_logarithmic() {
            format!("{title} (logarithmic)")
        } else if self.y.has_zero() {
            title
        } else {
            format!("{title} (axis does not begin at 0)")
        };
        frame::vertical_axis(canvas, &self.y, self.top, &title, |tick| {
            if tick * factor >= 10_000.0 {
                cells::prefixed(tick * factor)
            } else {
                cells::significant(tick * factor, 4)
            }
        });
        let ticks = self.x.batch_size_ticks(BATCH_SIZE_TICKS, self.study.step);
        let places = ticks
            .into_iter()
            .map(|tick| (self.x.at(tick), cells::significant(tick, 12)));
        let title = if self.x.is_logarithmic() {
            "batch size, samples (logarithmic)"
        } else {
            "batch size, samples"
        };
        frame::horizontal_axis(canvas, places);
        let counts = self.edges().map(edges::counts).unwrap_or_default();
        let entries: Vec<(Key, &str)> = counts
            .iter()
            .map(|(sight, words)| (Key::Edge(*sight), words.as_str()))
            .collect();
        frame::axis_legend(canvas, title, &entries);
    }

    /// The edges, on the curve that shows them.
    fn edges(&self) -> Option<&'a [Edge]> {
        (self.quantity == Quantity::Seconds).then_some(self.study.edges)
    }

    fn intervals(&self, canvas: &mut Canvas) {
        for point in &self.points {
            let [one, other] = self.interval_ends(point);
            if (one.1 - other.1).abs() >= 1.0 {
                canvas.line("interval", one, other);
            }
        }
    }

    /// Where a point's interval ends, within the data area.
    fn interval_ends(&self, point: &PointRow) -> [Point; 2] {
        let x = self.x.at(f64::from(point.batch_size));
        interval(point, self.quantity).map(|value| (x, self.y.at(value).clamp(self.top, BOTTOM)))
    }

    /// Pixels per point.
    fn spacing(&self) -> f64 {
        (RIGHT - LEFT) / self.points.len() as f64
    }

    fn dots(&self, canvas: &mut Canvas) {
        let radius = (0.34 * self.spacing()).clamp(1.5, 3.8);
        for point in &self.points {
            let value = self.quantity.of(f64::from(point.batch_size), point.seconds);
            let tip = format!(
                "batch size {}: {} ({} blocks)",
                point.batch_size,
                self.quantity.words(value),
                point.blocks
            );
            canvas.disc("data", self.place(point), radius, &tip);
        }
    }
}

/// The ends of a point's interval in `quantity`, unordered; its median where an end is unusable.
fn interval(point: &PointRow, quantity: Quantity) -> [f64; 2] {
    [point.low, point.high].map(|seconds| {
        let seconds = if seconds.is_finite() && seconds > 0.0 {
            seconds
        } else {
            point.seconds
        };
        quantity.of(f64::from(point.batch_size), seconds)
    })
}

fn description(study: &Study<'_>, quantity: Quantity) -> String {
    let range = match study.points {
        [] => "No batch size was measured.".to_owned(),
        [only] => format!("1 batch size: {}.", only.batch_size),
        [first, .., last] => format!(
            "{} batch sizes from {} to {}.",
            study.points.len(),
            first.batch_size,
            last.batch_size
        ),
    };
    let best = study
        .best_throughput
        .filter(|_| !quantity.lower_is_better())
        .map_or_else(String::new, |best| {
            format!(
                " Best: {} at batch size {}.",
                cells::throughput(best.samples_per_second),
                best.batch_size
            )
        });
    let recommended = if study.recommended_batch_sizes.is_empty() {
        String::new()
    } else {
        format!(
            " Recommended batch sizes: {}.",
            cells::batch_sizes(study.recommended_batch_sizes, 12)
        )
    };
    let edges = if quantity == Quantity::Seconds {
        cells::edges(study.edges).map_or_else(String::new, |words| format!(" Edges: {words}."))
    } else {
        String::new()
    };
    format!(
        "{range} {}. {}{edges}{recommended}{best}",
        study.headline,
        cells::sentence(study.reason)
    )
    .trim_end()
    .to_owned()
}
