//! `Tokenizer.sequences_to_matrix` and `to_categorical`.

use ndarray::Array2;

use super::error::TextError;
use super::tokenizer::Tokenizer;

/// What a cell of the matrix says.
#[derive(Clone, Copy)]
enum Mode {
    /// 1 where the id is there.
    Binary,
    /// How often.
    Count,
    /// How often, over the length of the sequence.
    Freq,
    /// `(1 + ln count) * ln(1 + documents / (1 + documents with the id))`.
    Tfidf,
}

impl Mode {
    fn parse(name: &str) -> Result<Self, TextError> {
        match name {
            "binary" => Ok(Self::Binary),
            "count" => Ok(Self::Count),
            "freq" => Ok(Self::Freq),
            "tfidf" => Ok(Self::Tfidf),
            _ => Err(TextError::Value(format!(
                "('Unknown vectorization mode:', '{name}')"
            ))),
        }
    }
}

impl Tokenizer {
    /// `sequences_to_matrix`: `[sequences, num_words]`, or one column more than the word index.
    ///
    /// # Errors
    /// `ValueError` where there is no width, or no document for tf-idf; `IndexError` for an id too far below zero;
    /// `TypeError` for a `None`.
    pub fn sequences_to_matrix(
        &self,
        sequences: &[Vec<Option<i64>>],
        mode: &str,
    ) -> Result<Array2<f64>, TextError> {
        let width = match self.config.num_words.filter(|n| *n != 0) {
            Some(n) => n,
            None if self.word_index.is_empty() => {
                let message =
                    "Specify a dimension (`num_words` argument), or fit on some text data first.";
                return Err(TextError::Value(message.into()));
            }
            None => self.word_index.len() as i64 + 1,
        };
        if mode == "tfidf" && self.document_count == 0 {
            return Err(TextError::Value(
                "Fit the Tokenizer on some data before using tfidf mode.".into(),
            ));
        }
        let columns = usize::try_from(width)
            .map_err(|_| TextError::Value("negative dimensions are not allowed".into()))?;
        let mut matrix = Array2::zeros((sequences.len(), columns));
        for (row, sequence) in sequences.iter().enumerate() {
            let mut counts = indexmap::IndexMap::new();
            for id in sequence {
                let Some(id) = *id else {
                    let message = "'>=' not supported between instances of 'NoneType' and 'int'";
                    return Err(TextError::Type(message.into()));
                };
                if id < width {
                    *counts.entry(id).or_insert(0u64) += 1;
                }
            }
            // Keras looks at the mode only when there is something to write.
            for (id, count) in counts {
                let mode = Mode::parse(mode)?;
                // A negative id counts from the end of the row, as numpy's do.
                let column =
                    usize::try_from(if id < 0 { id + width } else { id }).map_err(|_| {
                        TextError::Index(format!(
                            "index {id} is out of bounds for axis 0 with size {width}"
                        ))
                    })?;
                matrix[(row, column)] = match mode {
                    Mode::Binary => 1.0,
                    Mode::Count => count as f64,
                    Mode::Freq => count as f64 / sequence.len() as f64,
                    Mode::Tfidf => {
                        let with_id = self.index_docs.get(&id).copied().unwrap_or(0);
                        let idf = (1.0 + self.document_count as f64 / (1 + with_id) as f64).ln();
                        (1.0 + (count as f64).ln()) * idf
                    }
                };
            }
        }
        Ok(matrix)
    }
}

/// `keras.utils.to_categorical`: `[classes.len(), num_classes]` with a one at each class; without `num_classes` one more
/// than the largest class.
///
/// # Errors
/// `IndexError` for a class that does not fit, `ValueError` where there is neither a class nor `num_classes`.
pub fn to_categorical(
    classes: &[i64],
    num_classes: Option<usize>,
) -> Result<Array2<f32>, TextError> {
    let width = match num_classes.filter(|n| *n != 0) {
        Some(width) => width as i64,
        None => match classes.iter().max() {
            Some(largest) => largest + 1,
            None => {
                let message =
                    "zero-size array to reduction operation maximum which has no identity";
                return Err(TextError::Value(message.into()));
            }
        },
    };
    let columns = usize::try_from(width)
        .map_err(|_| TextError::Value("negative dimensions are not allowed".into()))?;
    let mut matrix = Array2::zeros((classes.len(), columns));
    for (row, class) in classes.iter().enumerate() {
        let column = if *class < 0 { class + width } else { *class };
        let cell = usize::try_from(column)
            .ok()
            .and_then(|column| matrix.get_mut((row, column)));
        *cell.ok_or_else(|| {
            TextError::Index(format!(
                "index {class} is out of bounds for axis 1 with size {width}"
            ))
        })? = 1.0;
    }
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_one_hot_rows() {
        let matrix = to_categorical(&[2, 0, -1], None).expect("classes that fit");
        assert_eq!(
            matrix,
            ndarray::arr2(&[[0., 0., 1.], [1., 0., 0.], [0., 0., 1.]])
        );
        assert_eq!(
            to_categorical(&[3], Some(3)).map_err(|e| e.python_type()),
            Err("IndexError")
        );
    }
}
