//! What the pictures of trainings are made of: panels with axes, and lines in them.
//!
//! A picture stands alone: no scripts, no fonts beyond the reader's own sans-serif, legible on a light or a dark page.

use std::fmt::Write as _;

/// Width and height of a panel.
pub const PANEL: [f64; 2] = [440.0, 340.0];
/// Room for numbers and titles around a panel's axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 52.0;

/// A picture of so many panels, without its end.
pub fn begin([columns, rows]: [usize; 2], label: &str) -> String {
    let (width, height) = (PANEL[0] * columns as f64, PANEL[1] * rows as f64);
    let style = "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#333}\
                 .title{font-size:15px;font-weight:600}.number{fill:#666}\
                 .grid{stroke:#e4e6ea}.axis{stroke:#8a8f98}\
                 .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{label}\">\
         <style>{style}</style><rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#fff\"/>"
    )
}

/// Where a panel's axes lie: across from left to right, and up from the floor to the top.
pub fn area([column, row]: [usize; 2]) -> [[f64; 2]; 2] {
    let (left, top) = (PANEL[0] * column as f64, PANEL[1] * row as f64);
    [
        [left + LEFT, left + PANEL[0] - RIGHT],
        [top + PANEL[1] - BOTTOM, top + TOP],
    ]
}

/// A panel's axes.
pub struct Axes<'a> {
    /// What goes up.
    pub title: &'a str,
    /// What goes from left to right.
    pub below: &'a str,
    /// The values that go up.
    pub values: &'a Scale,
    /// Where the axis from left to right begins and ends.
    pub across: [f64; 2],
}

impl Axes<'_> {
    /// Draws them, with these marks from left to right.
    pub fn draw(&self, svg: &mut String, marks: impl IntoIterator<Item = (f64, String)>) {
        let Self {
            title,
            below,
            values,
            across: [first, last],
        } = *self;
        let [floor, top] = values.pixels;
        put(
            svg,
            format_args!(
                "<text class=\"title\" x=\"{first}\" y=\"{}\">{title}</text>",
                top - TOP + 28.0
            ),
        );
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
        for (x, label) in marks {
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
                "<path class=\"axis\" fill=\"none\" d=\"M{first} {top}V{floor}H{last}\"/>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{below}</text>",
                f64::midpoint(first, last),
                floor + 40.0
            ),
        );
    }
}

/// The `d` of a line through these pixels.
pub fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.into_iter().enumerate() {
        let step = if at == 0 { 'M' } else { 'L' };
        put(&mut path, format_args!("{step}{x:.1} {y:.1}"));
    }
    path
}

/// From values to pixels, with ticks at round values.
pub struct Scale {
    /// The ends of the axis.
    pub values: [f64; 2],
    step: f64,
    /// Where they lie.
    pub pixels: [f64; 2],
    /// Whether there is one value alone, in the middle.
    single: bool,
}

impl Scale {
    /// Round values around all of these.
    pub fn around(values: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Self {
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
    pub fn of_epochs(epochs: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Self {
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

    /// Where a value lies.
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let [from, to] = self.pixels;
        from + (value - low) / (high - low) * (to - from)
    }

    /// Round values and how they are written.
    pub fn ticks(&self) -> Vec<(f64, String)> {
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

/// Adds to a picture.
pub fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = svg.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_within_their_panel_and_a_lower_loss_lies_lower() {
        let scale = Scale::around([0.312, 0.69].into_iter(), [288.0, 62.0]);
        assert!(scale.at(0.312) <= 288.0 && scale.at(0.69) >= 62.0);
        assert!(scale.at(0.312) > scale.at(0.69));
        let labels: Vec<String> = scale.ticks().into_iter().map(|(_, l)| l).collect();
        assert_eq!(labels, ["0.3", "0.4", "0.5", "0.6", "0.7"]);
    }
}
