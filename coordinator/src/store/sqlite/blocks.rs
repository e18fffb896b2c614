//! The blocks of a report as one JSON value: an array for each block, which the database's view `block` takes apart for readers. Used by `write` and
//! `read` only; a place in the array never changes its meaning.

use std::time::Duration;

use batchstep_proto::domain::Block;
use serde::{Deserialize, Serialize};

use super::{
    read::{self, parsed},
    write::{WriteError, json},
};

/// A block in the order of the view's columns. Numbers are SQLite's: signed, bit sets bit for bit.
#[derive(Serialize, Deserialize)]
struct Row<'a>(
    /// Visit.
    u32,
    /// Batch size.
    u32,
    /// Role, as its word.
    &'a str,
    /// Iterations.
    u32,
    /// Wall time, nanoseconds.
    i64,
    /// The device's time, nanoseconds.
    Option<i64>,
    /// From the round's start to the block's, nanoseconds.
    i64,
    /// Iterations of the warm-up.
    u32,
    /// Its time, nanoseconds.
    i64,
    /// Foreign cores.
    Option<f64>,
    /// Peak memory, bytes.
    Option<i64>,
    /// Degrees Celsius.
    Option<f64>,
    /// Watts.
    Option<f64>,
    /// Megahertz.
    Option<f64>,
    /// Clock event bits.
    Option<i64>,
    /// Foreign processes.
    Option<u32>,
);

/// The value for the column.
pub(super) fn to_json(blocks: &[Block]) -> Result<String, WriteError> {
    json("blocks", &blocks.iter().map(row).collect::<Vec<_>>())
}

/// The column's value read back.
pub(super) fn from_json(text: &str) -> Result<Vec<Block>, WriteError> {
    read::from_json::<Vec<Row<'_>>>("blocks", text)?
        .into_iter()
        .map(block)
        .collect()
}

fn row(block: &Block) -> Row<'_> {
    Row(
        block.visit,
        block.batch_size,
        block.role.word(),
        block.iterations,
        ns(block.elapsed),
        block.device_elapsed.map(ns),
        ns(block.started_after),
        block.warm_up_iterations,
        ns(block.warm_up),
        block.foreign_cores,
        block
            .peak_memory_bytes
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        block.temperature_celsius,
        block.power_watts,
        block.sm_clock_mhz,
        block.throttle_reasons.map(u64::cast_signed),
        block.foreign_processes,
    )
}

fn block(row: Row<'_>) -> Result<Block, WriteError> {
    Ok(Block {
        visit: row.0,
        batch_size: row.1,
        role: parsed("visit role", row.2)?,
        iterations: row.3,
        elapsed: duration(row.4),
        device_elapsed: row.5.map(duration),
        started_after: duration(row.6),
        warm_up_iterations: row.7,
        warm_up: duration(row.8),
        foreign_cores: row.9,
        peak_memory_bytes: row.10.map(i64::cast_unsigned),
        temperature_celsius: row.11,
        power_watts: row.12,
        sm_clock_mhz: row.13,
        throttle_reasons: row.14.map(i64::cast_unsigned),
        foreign_processes: row.15,
    })
}

/// Nanoseconds for a column; saturates after 292 years.
pub(super) fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Nanoseconds of a column.
pub(super) fn duration(ns: i64) -> Duration {
    Duration::from_nanos(ns.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use batchstep_proto::domain::VisitRole;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_come_back_bit_for_bit(
            numbers in any::<[u32; 5]>(),
            times in any::<[u32; 4]>(),
            bits in any::<Option<u64>>(),
            bytes in prop::option::of(0..i64::MAX.cast_unsigned()),
            values in prop::array::uniform4(prop::option::of(prop::num::f64::NORMAL | prop::num::f64::ZERO)),
        ) {
            let time = |index: usize| Duration::from_nanos(u64::from(times[index]) * 1_000_003);
            let block = Block {
                visit: numbers[0],
                batch_size: numbers[1],
                role: VisitRole::Reference,
                iterations: numbers[2],
                elapsed: time(0),
                device_elapsed: bits.map(|_| time(1)),
                started_after: time(2),
                warm_up_iterations: numbers[3],
                warm_up: time(3),
                foreign_cores: values[0],
                peak_memory_bytes: bytes,
                temperature_celsius: values[1],
                power_watts: values[2],
                sm_clock_mhz: values[3],
                throttle_reasons: bits,
                foreign_processes: bytes.map(|_| numbers[4]),
            };
            let blocks = vec![block.clone(), block];
            let Ok(text) = to_json(&blocks) else { panic!("no JSON") };
            let Ok(back) = from_json(&text) else { panic!("cannot be read: {text}") };
            prop_assert_eq!(back, blocks);
        }
    }
}
