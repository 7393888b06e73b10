//! Ids of many texts to one matrix, laid out as the graph's way of trimming asks.

use crate::bundle::{Manifest, Trim};
use crate::text::{PaddingSpec, Side};

/// What a batch is laid out by.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    trim: Trim,
    padding: PaddingSpec,
}

/// A batch as the runtime takes it; the buffers are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Row after row. `[batch, time]`
    pub ids: Vec<i64>,
    /// Ids of each row that are not padding, and at least 1. `[batch]`
    pub lengths: Vec<i64>,
    /// Rows and steps.
    pub shape: (usize, usize),
}

impl Layout {
    /// What a bundle asks for.
    pub fn of(manifest: &Manifest) -> Self {
        Self::new(manifest.trim, manifest.recipe.padding.clone())
    }

    /// Rows trimmed and padded so.
    pub fn new(trim: Trim, padding: PaddingSpec) -> Self {
        Self { trim, padding }
    }

    /// The steps that a text of so many ids takes when it is alone.
    pub fn steps(&self, ids: usize) -> usize {
        match self.trim {
            Trim::Table | Trim::Masked => ids.max(1),
            Trim::None => self.padding.maxlen,
        }
    }

    /// Lays texts out, each cut and not padded; there is at least one. A text without ids is a row of pads, as in Keras.
    pub fn fill<'a>(&self, texts: impl Iterator<Item = &'a [i64]> + Clone, rows: &mut Rows) {
        let time = texts
            .clone()
            .map(|ids| self.steps(ids.len()))
            .max()
            .unwrap_or(1);
        rows.ids.clear();
        rows.lengths.clear();
        for ids in texts {
            let pads = std::iter::repeat_n(self.padding.value, time - ids.len());
            let first = match self.trim {
                Trim::Table => false,
                Trim::Masked => true,
                Trim::None => self.padding.padding == Side::Post,
            };
            if first {
                rows.ids.extend_from_slice(ids);
                rows.ids.extend(pads);
            } else {
                rows.ids.extend(pads);
                rows.ids.extend_from_slice(ids);
            }
            rows.lengths
                .push(i64::try_from(ids.len().max(1)).unwrap_or(i64::MAX));
        }
        rows.shape = (rows.lengths.len(), time);
    }
}

impl Rows {
    /// Real steps over steps run.
    pub fn fill_ratio(&self) -> f64 {
        let real: i64 = self.lengths.iter().sum();
        real as f64 / self.ids.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(trim: Trim, padding: Side) -> Rows {
        let layout = Layout::new(
            trim,
            PaddingSpec {
                maxlen: 4,
                padding,
                truncating: Side::Pre,
                value: 0,
            },
        );
        let mut rows = Rows::default();
        let texts: [&[i64]; 3] = [&[5, 6, 7], &[], &[8]];
        layout.fill(texts.into_iter(), &mut rows);
        rows
    }

    #[test]
    fn each_way_of_trimming_has_its_rows() {
        for (trim, side, time, ids) in [
            (Trim::Table, Side::Pre, 3, &[5, 6, 7, 0, 0, 0, 0, 0, 8][..]),
            (Trim::Masked, Side::Pre, 3, &[5, 6, 7, 0, 0, 0, 8, 0, 0]),
            (
                Trim::None,
                Side::Pre,
                4,
                &[0, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 8],
            ),
            (
                Trim::None,
                Side::Post,
                4,
                &[5, 6, 7, 0, 0, 0, 0, 0, 8, 0, 0, 0],
            ),
        ] {
            let rows = laid_out(trim, side);
            assert_eq!(rows.ids, ids, "{trim:?} {side:?}");
            assert_eq!(rows.shape, (3, time));
            assert_eq!(rows.lengths, [3, 1, 1]);
        }
        assert!((laid_out(Trim::None, Side::Pre).fill_ratio() - 5.0 / 12.0).abs() < 1e-12);
    }
}
