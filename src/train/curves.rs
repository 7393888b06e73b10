//! `curves.svg`: loss and accuracy over the epochs, training beside validation, for people.

use super::panel::{Axes, Scale, area, begin, path, put};
use super::report::{Epoch, History};

const TRAINING: &str = "#2f6fb5";
const VALIDATION: &str = "#d9731a";

/// Draws the curves of a training.
pub fn curves_svg(history: &History) -> String {
    let mut svg = begin([2, 1], "Loss and accuracy over the epochs");
    let loss: [Pick; 2] = [|e| Some(e.loss), |e| e.val_loss];
    let accuracy: [Pick; 2] = [|e| Some(e.accuracy), |e| e.val_accuracy];
    panel(&mut svg, 0, ("Loss", f64::INFINITY), &curves(history, loss));
    panel(&mut svg, 1, ("Accuracy", 1.0), &curves(history, accuracy));
    svg.push_str("</svg>\n");
    svg
}

type Pick = fn(&Epoch) -> Option<f64>;

struct Curve {
    name: &'static str,
    color: &'static str,
    /// Epoch and value.
    points: Vec<(f64, f64)>,
}

fn curves(history: &History, picks: [Pick; 2]) -> Vec<Curve> {
    let drawn = [("training", TRAINING), ("validation", VALIDATION)];
    let curves = drawn
        .into_iter()
        .zip(picks)
        .map(|((name, color), pick)| Curve {
            name,
            color,
            points: history
                .epochs
                .iter()
                .filter_map(|e| Some((e.epoch as f64, pick(e).filter(|v| v.is_finite())?)))
                .collect(),
        });
    curves.filter(|curve| !curve.points.is_empty()).collect()
}

/// `most` is the value that no axis goes beyond.
fn panel(svg: &mut String, column: usize, (title, most): (&str, f64), curves: &[Curve]) {
    let [across, up] = area([column, 0]);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let mut values = Scale::around(points().map(|p| p.1), up);
    values.values[1] = values.values[1].min(most);
    let epochs = Scale::of_epochs(points().map(|p| p.0), across);
    let marks = epochs.ticks().into_iter();
    let marks = marks.map(|(epoch, label)| (epochs.at(epoch), label));
    let axes = Axes {
        title,
        below: "epoch",
        values: &values,
        across,
    };
    axes.draw(svg, marks);
    let [_, last] = across;
    for (at, curve) in curves.iter().enumerate() {
        legend(
            svg,
            last - 86.0 - 96.0 * (curves.len() - 1 - at) as f64,
            curve,
        );
        line(svg, curve, &epochs, &values);
    }
}

fn legend(svg: &mut String, x: f64, Curve { name, color, .. }: &Curve) {
    put(
        svg,
        format_args!(
            "<line class=\"line\" stroke=\"{color}\" x1=\"{x}\" x2=\"{}\" y1=\"24\" y2=\"24\"/>\
             <text x=\"{}\" y=\"28\">{name}</text>",
            x + 18.0,
            x + 25.0
        ),
    );
}

fn line(svg: &mut String, curve: &Curve, epochs: &Scale, values: &Scale) {
    let points = curve.points.iter();
    let line = path(points.map(|(epoch, value)| (epochs.at(*epoch), values.at(*value))));
    let color = curve.color;
    put(
        svg,
        format_args!("<path class=\"line\" stroke=\"{color}\" d=\"{line}\"/>"),
    );
    // Dots say where the epochs are, until there are too many to tell apart.
    if curve.points.len() <= 30 {
        for (epoch, value) in &curve.points {
            let (x, y) = (epochs.at(*epoch), values.at(*value));
            put(
                svg,
                format_args!(
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"><title>{}, epoch {epoch}: {value:.4}</title></circle>",
                    curve.name
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(epochs: usize, validated: bool) -> History {
        let epoch = |at: usize| Epoch {
            epoch: at,
            loss: 0.69 / at as f64,
            accuracy: 1.0 - 0.4 / at as f64,
            val_loss: validated.then_some(0.45),
            val_accuracy: validated.then_some(0.81),
            learning_rate: 1e-3,
            seconds: 1.0,
        };
        History {
            epochs: (1..=epochs).map(epoch).collect(),
        }
    }

    #[test]
    fn both_panels_hold_both_curves_with_a_point_an_epoch() {
        let svg = curves_svg(&history(7, true));
        assert_eq!(svg.matches("<circle").count(), 2 * 2 * 7);
        assert_eq!(svg.matches(">validation</text>").count(), 2);
        for word in [">Loss<", ">Accuracy<", ">epoch<"] {
            assert!(svg.contains(word), "{word}");
        }
        let svg = curves_svg(&history(7, false));
        assert!(!svg.contains("validation"));
    }

    #[test]
    fn no_epoch_one_epoch_and_broken_values_are_drawn_too() {
        let mut broken = history(3, true);
        broken.epochs[1].loss = f64::NAN;
        broken.epochs[2].val_loss = Some(f64::INFINITY);
        for history in [
            history(0, true),
            history(1, true),
            history(200, true),
            broken,
        ] {
            let svg = curves_svg(&history);
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
