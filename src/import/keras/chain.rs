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
    /// Of the two the mean stands first.
    pub mean_first: bool,
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
            let classes = |next: &Described| -> Vec<&str> {
                let parts = [&layer, &partner];
                let class = |input: &String| {
                    let part = parts.into_iter().find(|part| part.name == *input);
                    part.map_or("", |part| part.class.as_str())
                };
                next.inputs.iter().map(class).collect()
            };
            let order = ["GlobalMaxPooling1D", "GlobalAveragePooling1D"];
            let both = layers.next().filter(|next| next.class == "Concatenate");
            let both = both.and_then(|next| match classes(&next)[..] {
                [one, other] if [one, other] == order => Some((next, false)),
                [one, other] if [other, one] == order => Some((next, true)),
                _ => None,
            });
            let Some((mut both, mean_first)) = both else {
                return Err(partner
                    .unsupported("two poolings must meet in a Concatenate, a maximum and a mean"));
            };
            both.inputs = layer.inputs;
            links.push(Link {
                layer: both,
                pools_both: true,
                mean_first,
            });
            continue;
        }
        links.push(Link {
            layer,
            pools_both: false,
            mean_first: false,
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

/// Whether nothing reads the mask of an embedding: a `Flatten` does not, and what stands before it looks at each step alone.
pub(super) fn flattens_steps(links: &[Link]) -> bool {
    let each_step = [
        "Activation",
        "Dense",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "SpatialDropout1D",
        "TimeDistributed",
    ];
    let mut behind = links.iter().skip(1).map(|link| link.layer.class.as_str());
    behind.find(|class| !each_step.contains(class)) == Some("Flatten")
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
