//! Protocol buffers field by field: a message is changed without losing the fields that this program does not know.

use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// What is in it, where it is a text, bytes or a message.
    pub payload: Option<&'a [u8]>,
    /// All of it, key and length too.
    pub whole: &'a [u8],
}

/// The fields of a message, in order.
///
/// # Errors
/// It is no message.
pub(super) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let broken = || "it is no protocol buffer".to_owned();
        let key = decode_varint(&mut rest).map_err(|_| broken())?;
        let number = u32::try_from(key >> 3).map_err(|_| broken())?;
        let mut skip = |len: u64| -> Option<&[u8]> {
            let (skipped, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            rest = after;
            Some(skipped)
        };
        let payload = match key & 7 {
            0 => {
                decode_varint(&mut rest).map_err(|_| broken())?;
                None
            }
            1 => {
                skip(8).ok_or_else(broken)?;
                None
            }
            2 => {
                let mut after = rest;
                let len = decode_varint(&mut after).map_err(|_| broken())?;
                rest = after;
                let (payload, after) = usize::try_from(len)
                    .ok()
                    .and_then(|len| rest.split_at_checked(len))
                    .ok_or_else(broken)?;
                rest = after;
                Some(payload)
            }
            5 => {
                skip(4).ok_or_else(broken)?;
                None
            }
            _ => return Err(broken()),
        };
        fields.push(Field {
            number,
            payload,
            whole: &start[..start.len() - rest.len()],
        });
    }
    Ok(fields)
}

/// Appends a field that holds a text, bytes or a message.
pub(super) fn put(message: &mut Vec<u8>, number: u32, payload: &[u8]) {
    encode_key(number, WireType::LengthDelimited, message);
    encode_varint(payload.len() as u64, message);
    message.extend_from_slice(payload);
}
