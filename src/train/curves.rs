//! `curves.svg`: loss and accuracy over the epochs, training beside validation, for people.
//!
//! The picture stands alone: no scripts, no fonts beyond the reader's own sans-serif, legible on a light or a dark page.

use std::fmt::Write as _;

use super::report::{Epoch, History};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 340.0;
const PANEL: f64 = 440.0;
/// Room for numbers and titles around a panel's axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 52.0;
const TRAINING: &str = "#2f6fb5";
const VALIDATION: &str = "#d9731a";

/// Draws the curves of a training.
pub fn curves_svg(history: &History) -> String {
    let mut svg = String::new();
    let style = "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#333}\
                 .title{font-size:15px;font-weight:600}.number{fill:#666}\
                 .grid{stroke:#e4e6ea}.axis{stroke:#8a8f98}\
                 .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}";
    put(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             role=\"img\" aria-label=\"Loss and accuracy over the epochs\">\
             <style>{style}</style><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"#fff\"/>"
        ),
    );
    let loss: [Pick; 2] = [|e| Some(e.loss), |e| e.val_loss];
    let accuracy: [Pick; 2] = [|e| Some(e.accuracy), |e| e.val_accuracy];
    panel(
        &mut svg,
        0.0,
        ("Loss", f64::INFINITY),
        &curves(history, loss),
    );
    panel(
        &mut svg,
        PANEL,
        ("Accuracy", 1.0),
        &curves(history, accuracy),
    );
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
fn panel(svg: &mut String, left: f64, (title, most): (&str, f64), curves: &[Curve]) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let mut values = Scale::around(points().map(|p| p.1), [TOP + (HEIGHT - TOP - BOTTOM), TOP]);
    values.values[1] = values.values[1].min(most);
    let epochs = Scale::of_epochs(points().map(|p| p.0), [left + LEFT, left + PANEL - RIGHT]);
    put(
        svg,
        format_args!(
            "<text class=\"title\" x=\"{}\" y=\"28\">{title}</text>",
            left + LEFT
        ),
    );
    let [first, last] = epochs.pixels;
    let floor = values.pixels[0];
    for (value, label) in values.ticks() {
        let y = values.at(value);
        put(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{first}\" x2=\"{last}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"number\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                first - 8.0,
                y + 4.0
            ),
        );
    }
    for (epoch, label) in epochs.ticks() {
        let x = epochs.at(epoch);
        put(
            svg,
            format_args!(
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{floor}\" y2=\"{}\"/>\
                 <text class=\"number\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                floor + 4.0,
                floor + 19.0
            ),
        );
    }
    put(
        svg,
        format_args!(
            "<path class=\"axis\" fill=\"none\" d=\"M{first} {TOP}V{floor}H{last}\"/>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">epoch</text>",
            f64::midpoint(first, last),
            floor + 40.0
        ),
    );
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
    let mut path = String::new();
    for (at, (epoch, value)) in curve.points.iter().enumerate() {
        let step = if at == 0 { 'M' } else { 'L' };
        let (x, y) = (epochs.at(*epoch), values.at(*value));
        put(&mut path, format_args!("{step}{x:.1} {y:.1}"));
    }
    let color = curve.color;
    put(
        svg,
        format_args!("<path class=\"line\" stroke=\"{color}\" d=\"{path}\"/>"),
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

/// From values to pixels, with ticks at round values.
struct Scale {
    values: [f64; 2],
    step: f64,
    pixels: [f64; 2],
    /// Whether there is one value alone, in the middle.
    single: bool,
}

impl Scale {
    /// Round values around all of these.
    fn around(values: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Self {
        let [low, high] = extremes(values).unwrap_or([0.0, 1.0]);
        let span = (high - low).max(high.abs() * 1e-3).max(1e-6);
        let step = round_step(span / 4.0);
        let low = (low / step - 0.1).floor() * step;
        let high = (high / step + 0.1).ceil() * step;
        Self {
            values: [low.max(0.0), high],
            step,
            pixels,
            single: false,
        }
    }

    /// From the first epoch to the last, with ticks at whole ones.
    fn of_epochs(epochs: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Self {
        let [first, last] = extremes(epochs).unwrap_or([1.0, 2.0]);
        let step = round_step((last - first) / 8.0).max(1.0);
        // A single epoch stands in the middle.
        let values = if first == last {
            [first - 1.0, last + 1.0]
        } else {
            [first, last]
        };
        Self {
            values,
            step,
            pixels,
            single: first == last,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let [from, to] = self.pixels;
        from + (value - low) / (high - low) * (to - from)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        let [low, high] = self.values;
        let first = (low / self.step - 1e-6).ceil() as i64;
        let last = (high / self.step + 1e-6).floor() as i64;
        (first.max(0)..=last)
            .map(|at| at as f64 * self.step)
            .filter(|value| !self.single || *value == f64::midpoint(low, high))
            .map(|value| (value, format!("{value:.decimals$}")))
            .collect()
    }
}

fn extremes(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    values.fold(None, |found, v| {
        let [low, high] = found.unwrap_or([v, v]);
        Some([low.min(v), high.max(v)])
    })
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = svg.write_fmt(text);
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

    #[test]
    fn points_lie_within_their_panel_and_a_lower_loss_lies_lower() {
        let scale = Scale::around([0.312, 0.69].into_iter(), [288.0, 62.0]);
        assert!(scale.at(0.312) <= 288.0 && scale.at(0.69) >= 62.0);
        assert!(scale.at(0.312) > scale.at(0.69));
        let labels: Vec<String> = scale.ticks().into_iter().map(|(_, l)| l).collect();
        assert_eq!(labels, ["0.3", "0.4", "0.5", "0.6", "0.7"]);
    }
}
