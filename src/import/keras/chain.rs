//! A model as one chain of layers: each reads the one before it.

use super::config::Described;
use crate::import::ImportError;

/// A layer of the chain.
#[derive(Debug)]
pub(super) struct Link {
    /// What the file says of it.
    pub layer: Described,
    /// It stands for a maximum and a mean over time side by side.
    pub pools_both: bool,
}

/// The layers in order; two poolings of one sequence with a `Concatenate` become one link.
///
/// # Errors
/// They branch in another way.
pub(super) fn links(layers: Vec<Described>) -> Result<Vec<Link>, ImportError> {
    let mut links: Vec<Link> = Vec::new();
    let mut layers = layers.into_iter().peekable();
    while let Some(layer) = layers.next() {
        let partner =
            layers.next_if(|next| pools(&layer) && pools(next) && same_input(&layer, next));
        if let Some(partner) = partner {
            let both = layers.next().filter(|next| {
                let order = ["GlobalMaxPooling1D", "GlobalAveragePooling1D"];
                let classes = next.inputs.iter().map(|input| {
                    let parts = [&layer, &partner];
                    let part = parts.into_iter().find(|part| part.name == *input);
                    part.map_or("", |part| part.class.as_str())
                });
                next.class == "Concatenate" && classes.eq(order)
            });
            let Some(mut both) = both else {
                return Err(partner
                    .unsupported("two poolings must meet in a Concatenate, the maximum first"));
            };
            both.inputs = layer.inputs;
            links.push(Link {
                layer: both,
                pools_both: true,
            });
            continue;
        }
        links.push(Link {
            layer,
            pools_both: false,
        });
    }
    for pair in links.windows(2) {
        let [before, after] = [&pair[0].layer, &pair[1].layer];
        let alone = after.inputs.iter().all(|input| *input == before.name);
        if !alone || after.inputs.len() > 1 {
            return Err(after.unsupported(format!(
                "it reads {:?}, where each layer has to read the one before it",
                after.inputs
            )));
        }
    }
    Ok(links)
}

/// Refuses layers that read pads behind an embedding that masks them, as Keras's do and ours do not.
///
/// # Errors
/// There is one.
pub(super) fn refuse_unmasked(links: &[Link]) -> Result<(), ImportError> {
    let masked = links
        .first()
        .is_some_and(|first| first.layer.flag("mask_zero", false));
    let reads_pads = |link: &&Link| link.pools_both || link.layer.class == "GlobalMaxPooling1D";
    match links.iter().find(reads_pads).filter(|_| masked) {
        Some(link) => Err(link.layer.unsupported(
            "behind mask_zero Keras's maximum reads the masked steps too, and here it does not",
        )),
        None => Ok(()),
    }
}

fn pools(layer: &Described) -> bool {
    ["GlobalMaxPooling1D", "GlobalAveragePooling1D"].contains(&layer.class.as_str())
}

fn same_input(one: &Described, other: &Described) -> bool {
    !one.inputs.is_empty() && one.inputs == other.inputs
}
