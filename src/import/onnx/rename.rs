//! New names for values of a graph, in the graphs inside of it too.

use std::borrow::Cow;

use super::wire::{fields, put};

/// Graphs inside of each other: a converter's loops have one or two.
pub(super) const MOST_DEPTH: usize = 16;

/// A graph in which no value has one of the names that the outside needs.
///
/// # Errors
/// It is no protocol buffer, or has graphs inside of each other deeper than `depth`.
pub(super) fn graph(message: &[u8], taken: &[&str], depth: usize) -> Result<Vec<u8>, String> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| format!("its graphs lie inside of each other over {MOST_DEPTH} deep"))?;
    let mut renamed = Vec::with_capacity(message.len());
    for field in fields(message)? {
        match (field.number, field.payload) {
            (1, Some(node)) => put(&mut renamed, 1, &self::node(node, taken, depth)?),
            // Initializers say their name in field 8, inputs, outputs and known values in field 1.
            (5, Some(tensor)) => put(&mut renamed, 5, &named(tensor, 8, taken)?),
            (number @ 11..=13, Some(value)) => put(&mut renamed, number, &named(value, 1, taken)?),
            _ => renamed.extend_from_slice(field.whole),
        }
    }
    Ok(renamed)
}

/// The name that a value has from now on.
pub(super) fn name<'a>(name: &'a str, taken: &[&str]) -> Cow<'a, str> {
    if taken.contains(&name) {
        Cow::Owned(format!("{name}_of_the_model"))
    } else {
        Cow::Borrowed(name)
    }
}

fn node(message: &[u8], taken: &[&str], depth: usize) -> Result<Vec<u8>, String> {
    let mut renamed = Vec::with_capacity(message.len());
    for field in fields(message)? {
        match (field.number, field.payload) {
            (number @ (1 | 2), Some(value)) => put(&mut renamed, number, &text(value, taken)),
            (5, Some(attribute)) => {
                put(&mut renamed, 5, &self::attribute(attribute, taken, depth)?)
            }
            _ => renamed.extend_from_slice(field.whole),
        }
    }
    Ok(renamed)
}

fn attribute(message: &[u8], taken: &[&str], depth: usize) -> Result<Vec<u8>, String> {
    let mut renamed = Vec::with_capacity(message.len());
    for field in fields(message)? {
        match (field.number, field.payload) {
            (number @ (6 | 11), Some(inner)) => {
                put(&mut renamed, number, &graph(inner, taken, depth)?)
            }
            _ => renamed.extend_from_slice(field.whole),
        }
    }
    Ok(renamed)
}

fn named(message: &[u8], at: u32, taken: &[&str]) -> Result<Vec<u8>, String> {
    let mut renamed = Vec::with_capacity(message.len());
    for field in fields(message)? {
        match field.payload {
            Some(value) if field.number == at => put(&mut renamed, at, &text(value, taken)),
            _ => renamed.extend_from_slice(field.whole),
        }
    }
    Ok(renamed)
}

fn text(value: &[u8], taken: &[&str]) -> Vec<u8> {
    match std::str::from_utf8(value) {
        Ok(text) => name(text, taken).as_bytes().to_vec(),
        Err(_) => value.to_vec(),
    }
}
