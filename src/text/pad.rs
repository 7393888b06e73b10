//! `pad_sequences`, with every argument, over values as Python has them. Models use [`super::Encoder::pad`], which is the
//! case of whole numbers.

use super::error::TextError;

/// A value of a sequence or of the result.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A whole number; booleans are 0 and 1.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Python's `None`.
    None,
    /// A string.
    Text(String),
    /// A step that is itself a sequence.
    List(Vec<Item>),
}

/// The arguments, under Keras's names.
#[derive(Clone, Debug)]
pub struct PadArguments<'a> {
    /// The length of a row; without it the longest sequence's.
    pub maxlen: Option<usize>,
    /// numpy's name of the element type.
    pub dtype: &'a str,
    /// `pre` or `post`.
    pub padding: &'a str,
    /// `pre` or `post`.
    pub truncating: &'a str,
    /// The pad.
    pub value: Item,
}

impl Default for PadArguments<'_> {
    fn default() -> Self {
        Self {
            maxlen: None,
            dtype: "int32",
            padding: "pre",
            truncating: "pre",
            value: Item::Float(0.0),
        }
    }
}

/// A matrix, or a larger array where steps are sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Padded {
    /// `[sequences, maxlen, ..]`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<Item>,
}

/// Keras's `pad_sequences`.
///
/// # Errors
/// What Keras raises: `ValueError` for no sequence without `maxlen`, for an unknown side, for steps of unlike shape, for a
/// `maxlen` of 0 that cuts nothing; `TypeError` for a value or type that does not fit.
pub fn pad_sequences(
    sequences: &[Vec<Item>],
    arguments: &PadArguments<'_>,
) -> Result<Padded, TextError> {
    let value_error = |message: String| Err(TextError::Value(message));
    let dtype = Dtype::parse(arguments.dtype)?;
    let step_shape = sequences
        .iter()
        .find_map(|s| s.first())
        .map(shape)
        .unwrap_or_default();
    let Some(maxlen) = arguments
        .maxlen
        .or_else(|| sequences.iter().map(Vec::len).max())
    else {
        return value_error(
            "zero-size array to reduction operation maximum which has no identity".into(),
        );
    };
    if matches!(arguments.value, Item::Text(_)) && dtype != Dtype::Object {
        return value_error(format!(
            "`dtype` {} is not compatible with `value`'s type: <class 'str'>\n\
             You should set `dtype=object` for variable length strings.",
            arguments.dtype
        ));
    }
    let step: usize = step_shape.iter().product();
    let mut values = vec![dtype.convert(&arguments.value)?; sequences.len() * maxlen * step];
    for (row, sequence) in sequences
        .iter()
        .enumerate()
        .filter(|(_, sequence)| !sequence.is_empty())
    {
        let over = sequence.len().saturating_sub(maxlen);
        let kept = match arguments.truncating {
            // Python's s[-0:] is the whole of s.
            "pre" if maxlen == 0 => &sequence[..],
            "pre" => &sequence[over..],
            "post" => &sequence[..sequence.len() - over],
            other => return value_error(format!("Truncating type \"{other}\" not understood")),
        };
        // What is left of nothing has no steps, and so not their shape.
        let nothing = kept.is_empty().then(Vec::new);
        let shapes = kept.iter().map(shape).chain(nothing);
        if let Some(odd) = shapes.into_iter().find(|shape| *shape != step_shape) {
            return value_error(format!(
                "Shape of sample {} of sequence at position {row} is different from expected shape {}",
                tuple(&odd),
                tuple(&step_shape)
            ));
        }
        let mut flat = Vec::with_capacity(kept.len() * step);
        for item in kept {
            flatten(item, dtype, &mut flat)?;
        }
        let first = match arguments.padding {
            "post" => 0,
            "pre" => maxlen.saturating_sub(kept.len()),
            other => return value_error(format!("Padding type \"{other}\" not understood")),
        };
        // numpy spreads one step over none of the row's.
        if kept.len() == 1 && maxlen == 0 {
            continue;
        }
        if kept.len() > maxlen {
            return value_error(format!(
                "could not broadcast input array from shape ({},) into shape (0,)",
                kept.len()
            ));
        }
        let at = (row * maxlen + first) * step;
        values[at..at + flat.len()].clone_from_slice(&flat);
    }
    let shape = [sequences.len(), maxlen]
        .into_iter()
        .chain(step_shape)
        .collect();
    Ok(Padded { shape, values })
}

fn shape(item: &Item) -> Vec<usize> {
    match item {
        Item::List(items) => std::iter::once(items.len())
            .chain(items.first().map(shape).unwrap_or_default())
            .collect(),
        _ => Vec::new(),
    }
}

fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!(
            "({})",
            shape
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

fn flatten(item: &Item, dtype: Dtype, out: &mut Vec<Item>) -> Result<(), TextError> {
    match item {
        Item::List(items) => items.iter().try_for_each(|item| flatten(item, dtype, out)),
        leaf => {
            out.push(dtype.convert(leaf)?);
            Ok(())
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dtype {
    Bool,
    Signed(u32),
    Unsigned(u32),
    Float32,
    Float64,
    Object,
}

impl Dtype {
    fn parse(name: &str) -> Result<Self, TextError> {
        match name {
            "bool" => Ok(Self::Bool),
            "int8" => Ok(Self::Signed(8)),
            "int16" => Ok(Self::Signed(16)),
            "int32" => Ok(Self::Signed(32)),
            "int64" | "int" => Ok(Self::Signed(64)),
            "uint8" => Ok(Self::Unsigned(8)),
            "uint16" => Ok(Self::Unsigned(16)),
            "uint32" => Ok(Self::Unsigned(32)),
            "uint64" => Ok(Self::Unsigned(64)),
            "float32" => Ok(Self::Float32),
            "float64" | "float" => Ok(Self::Float64),
            "object" => Ok(Self::Object),
            _ => Err(TextError::Type(format!(
                "data type '{name}' not understood"
            ))),
        }
    }

    /// One element, as numpy casts it: towards zero, and around where it does not fit.
    fn convert(self, item: &Item) -> Result<Item, TextError> {
        if self == Self::Object {
            return Ok(item.clone());
        }
        let number = match item {
            Item::Int(value) => *value as f64,
            Item::Float(value) => *value,
            Item::None if matches!(self, Self::Float32 | Self::Float64) => f64::NAN,
            Item::None if self == Self::Bool => 0.0,
            Item::None => {
                let message = "int() argument must be a string, a bytes-like object or a real number, not 'NoneType'";
                return Err(TextError::Type(message.into()));
            }
            Item::Text(text) => {
                let parsed = text.trim().parse::<f64>();
                parsed.map_err(|_| {
                    TextError::Value(format!("invalid literal for int() with base 10: '{text}'"))
                })?
            }
            Item::List(_) => {
                return Err(TextError::Value(
                    "setting an array element with a sequence.".into(),
                ));
            }
        };
        let whole = match item {
            Item::Int(value) => *value,
            _ => number as i64,
        };
        Ok(match self {
            Self::Bool => Item::Int(i64::from(number != 0.0)),
            Self::Float32 => Item::Float(f64::from(number as f32)),
            Self::Float64 => Item::Float(number),
            Self::Signed(_) | Self::Unsigned(_) if number.is_nan() => {
                return Err(TextError::Value(
                    "cannot convert float NaN to integer".into(),
                ));
            }
            Self::Signed(bits) => Item::Int((whole << (64 - bits)) >> (64 - bits)),
            Self::Unsigned(64) | Self::Object => Item::Int(whole),
            Self::Unsigned(bits) => Item::Int(whole & ((1 << bits) - 1)),
        })
    }
}
