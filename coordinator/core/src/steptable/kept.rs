//! How the bulky parts of an answer are kept: point estimates and curves as rows of bare numbers, which take a third of the room that named ones do.
//!
//! Used by serde for [`Assessment`](super::assess::Assessment) only; the place of a number in a row never changes its meaning.

/// A series' point estimates, each as `[batch size, seconds, low, high, blocks, outliers, peak memory in bytes]`.
pub(super) mod points {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::steptable::row::PointRow;

    #[derive(Serialize, Deserialize)]
    struct Bare(u32, f64, f64, f64, u32, u32, Option<u64>);

    pub(in crate::steptable) fn serialize<S: Serializer>(
        points: &[PointRow],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(points.iter().map(|point| {
            Bare(
                point.batch_size,
                point.seconds,
                point.low,
                point.high,
                point.blocks,
                point.outliers,
                point.peak_memory_bytes,
            )
        }))
    }

    pub(in crate::steptable) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<PointRow>, D::Error> {
        let bare = Vec::<Bare>::deserialize(deserializer)?;
        let points = bare.into_iter().map(|bare| PointRow {
            batch_size: bare.0,
            seconds: bare.1,
            low: bare.2,
            high: bare.3,
            blocks: bare.4,
            outliers: bare.5,
            peak_memory_bytes: bare.6,
        });
        Ok(points.collect())
    }
}

/// An inference with its curve and edges, which are no part of its own JSON.
pub(super) mod inference {
    use std::borrow::Cow;

    use batchstep_inference::{Edge, FittedPoint, Inference};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Whole<'a> {
        law: Cow<'a, Inference>,
        edges: Cow<'a, [Edge]>,
        fitted: Vec<Run>,
    }

    /// Seconds at consecutive batch sizes from the first one on.
    #[derive(Serialize, Deserialize)]
    struct Run(u32, Vec<f64>);

    pub(in crate::steptable) fn serialize<S: Serializer>(
        inference: &Inference,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut fitted: Vec<Run> = Vec::new();
        let mut next = None;
        for point in &inference.fitted {
            match fitted.last_mut() {
                Some(run) if next == Some(point.batch_size) => run.1.push(point.seconds),
                _ => fitted.push(Run(point.batch_size, vec![point.seconds])),
            }
            next = point.batch_size.checked_add(1);
        }
        Whole {
            law: Cow::Borrowed(inference),
            edges: Cow::Borrowed(&inference.edges),
            fitted,
        }
        .serialize(serializer)
    }

    pub(in crate::steptable) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Inference, D::Error> {
        let whole = Whole::deserialize(deserializer)?;
        let fitted = whole.fitted.into_iter().flat_map(|run| {
            (run.0..)
                .zip(run.1)
                .map(|(batch_size, seconds)| FittedPoint {
                    batch_size,
                    seconds,
                })
        });
        Ok(Inference {
            edges: whole.edges.into_owned(),
            fitted: fitted.collect(),
            ..whole.law.into_owned()
        })
    }
}
