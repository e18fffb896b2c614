//! The edges that a step predicts, on the axis of the iteration time: filled where the timings show the jump, crossed where they do not, hollow
//! where they say nothing either way.

use batchstep_core::steptable::{Edge, EdgeSight};

use super::frame::{BOTTOM, LEFT, RIGHT, edge_mark};
use crate::draw::Canvas;

/// Radius of a mark with room around it, pixels.
const RADIUS: f64 = 5.0;
/// Radius of a mark without, pixels; missed edges are rarer and keep a size that is seen.
const LEAST_RADIUS: f64 = 1.6;
const LEAST_MISSED_RADIUS: f64 = 3.2;

/// In the order in which they are painted and explained: what is missed lies on top and comes to eye last.
const SIGHTS: [EdgeSight; 3] = [EdgeSight::Confirmed, EdgeSight::Unclear, EdgeSight::Missed];

/// Draws `edges` on the axis; `at` gives the pixel of a batch size.
pub(super) fn on_axis(canvas: &mut Canvas, edges: &[Edge], at: impl Fn(f64) -> f64) {
    // Between the last sample of a full round and the first of the next.
    let place = |edge: &Edge| at(f64::from(edge.batch_size) + 0.5);
    let nearest = edges
        .windows(2)
        .map(|pair| place(&pair[1]) - place(&pair[0]))
        .fold(f64::INFINITY, f64::min);
    let radius = (0.4 * nearest).clamp(LEAST_RADIUS, RADIUS);
    for sight in SIGHTS {
        let radius = if sight == EdgeSight::Missed {
            radius.max(LEAST_MISSED_RADIUS)
        } else {
            radius
        };
        for edge in edges.iter().filter(|edge| edge.sight == sight) {
            let x = place(edge);
            if (LEFT..=RIGHT).contains(&x) {
                edge_mark(canvas, sight, (x, BOTTOM), radius, &tip(edge));
            }
        }
    }
}

/// How many of each there are, in words, for a legend; those that are not there are left out.
pub(super) fn counts(edges: &[Edge]) -> Vec<(EdgeSight, String)> {
    SIGHTS
        .into_iter()
        .filter_map(|sight| {
            let count = edges.iter().filter(|edge| edge.sight == sight).count();
            let first = edges.iter().all(|edge| edge.sight != EdgeSight::Confirmed)
                || sight == EdgeSight::Confirmed;
            let noun = match (first, count) {
                (false, _) => "",
                (true, 1) => "edge ",
                (true, _) => "edges ",
            };
            (count > 0).then(|| (sight, format!("{count} {noun}{}", word(sight))))
        })
        .collect()
}

const fn word(sight: EdgeSight) -> &'static str {
    match sight {
        EdgeSight::Confirmed => "confirmed",
        EdgeSight::Unclear => "unclear",
        EdgeSight::Missed => "missed",
    }
}

fn tip(edge: &Edge) -> String {
    let seen = match edge.sight {
        EdgeSight::Confirmed => "confirmed, the timings around it jump as fitted",
        EdgeSight::Missed => "missed, the timings around it do not jump as fitted",
        EdgeSight::Unclear => {
            "unclear, too few batch sizes around it or too much noise to see the jump"
        }
    };
    format!("edge after batch size {}: {seen}", edge.batch_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sight_is_counted_and_the_first_says_of_what() {
        let edges = |sights: &[EdgeSight]| -> Vec<String> {
            let edges: Vec<Edge> = (1..)
                .zip(sights)
                .map(|(round, sight)| Edge {
                    batch_size: 16 * round,
                    sight: *sight,
                })
                .collect();
            counts(&edges).into_iter().map(|(_, words)| words).collect()
        };
        use EdgeSight::{Confirmed, Missed, Unclear};
        assert_eq!(
            edges(&[Confirmed, Missed, Confirmed, Unclear]),
            ["2 edges confirmed", "1 unclear", "1 missed"]
        );
        assert_eq!(edges(&[Unclear]), ["1 edge unclear"]);
        assert!(edges(&[]).is_empty());
    }
}
