//! Random crops: a training row that shows only a part of its text, drawn anew every epoch.
//!
//! A network that sees whole reviews only learns to count words over hundreds of steps and has no use for their order. Short
//! parts that must carry the whole label teach it what a sentence says.

use std::ops::Range;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::recipe::Crop;

/// The part of each row that an epoch shows: all of it, or a run of ids anywhere in it, short ones as likely as long ones by
/// the logarithm of their length.
pub fn crops(crop: Option<&Crop>, epoch: usize, seed: u64, lengths: &[usize]) -> Vec<Range<usize>> {
    let whole = lengths.iter().map(|&length| 0..length);
    let Some(crop) = crop else {
        return whole.collect();
    };
    let mut noise = ChaCha8Rng::seed_from_u64(seed ^ 0x6372_6f70_2121_2121);
    noise.set_stream(epoch as u64);
    whole
        .map(|row| {
            let length = row.len();
            let (drawn, size, place): (f64, f64, f64) = noise.random();
            if drawn >= crop.share || length <= crop.least {
                return row;
            }
            let longer = (length as f64 / crop.least as f64).ln();
            let size = (crop.least as f64 * (size * longer).exp()) as usize;
            let size = size.clamp(crop.least, length);
            let start = (place * (length - size + 1) as f64) as usize;
            start..start + size
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 3] = [4, 40, 400];

    #[test]
    fn parts_are_of_every_length_and_place_and_short_rows_stay_whole() {
        let crop = Crop {
            share: 0.75,
            least: 5,
        };
        let drawn: Vec<_> = (0..4_000)
            .map(|epoch| crops(Some(&crop), epoch, 1, &LENGTHS))
            .collect();
        assert!(drawn.iter().all(|rows| rows[0] == (0..4)));
        for (row, length) in [(1, 40), (2, 400)] {
            let parts = drawn.iter().map(|rows| &rows[row]);
            assert!(
                parts
                    .clone()
                    .all(|part| part.end <= length && part.len() >= 5)
            );
            let whole = parts.clone().filter(|part| part.len() == length).count();
            assert!((900..1_200).contains(&whole), "{whole}");
            let before = parts.clone().filter(|part| part.end <= length / 2).count();
            let behind = parts.filter(|part| part.start >= length / 2).count();
            assert!(
                before > 400 && before.abs_diff(behind) < 150,
                "{before} {behind}"
            );
        }
        let short = drawn.iter().filter(|rows| rows[2].len() < 45).count();
        assert!((1_400..1_600).contains(&short), "{short}");
    }

    #[test]
    fn without_a_crop_rows_are_whole() {
        assert_eq!(crops(None, 1, 1, &LENGTHS), [0..4, 0..40, 0..400]);
    }
}
