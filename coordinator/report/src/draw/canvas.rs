//! An SVG under construction. Every text that goes in is escaped here, and every number is written with two decimals, so that plots cannot
//! produce malformed files. Looks come from classes; see the theme.

use std::fmt::Write as _;

use super::theme::{Theme, literal_css};

/// A place in pixels.
pub(crate) type Point = (f64, f64);

/// Which end of a text its position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Shapes in the order they are painted.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    body: String,
}

impl Canvas {
    pub(crate) fn line(&mut self, class: &str, from: Point, to: Point) {
        let _ = write!(
            self.body,
            r#"<line class="{class}" x1="{:.2}" y1="{:.2}" x2="{:.2}" y2="{:.2}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// A rectangle from its upper left corner, with rounded corners of `radius`.
    pub(crate) fn rectangle(&mut self, class: &str, corner: Point, size: Point, radius: f64) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{:.2}" y="{:.2}" width="{:.2}" height="{:.2}" rx="{radius:.1}"/>"#,
            corner.0,
            corner.1,
            size.0.max(0.0),
            size.1.max(0.0)
        );
    }

    /// A rectangle from its upper left corner, with square corners; `tip` shows on hovering.
    pub(crate) fn bar(&mut self, class: &str, corner: Point, size: Point, tip: &str) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{:.2}" y="{:.2}" width="{:.2}" height="{:.2}">{}</rect>"#,
            corner.0,
            corner.1,
            size.0.max(0.0),
            size.1.max(0.0),
            tooltip(tip)
        );
    }

    /// A disc; `tip` shows on hovering.
    pub(crate) fn disc(&mut self, class: &str, center: Point, radius: f64, tip: &str) {
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{:.2}" cy="{:.2}" r="{radius:.1}">{}</circle>"#,
            center.0,
            center.1,
            tooltip(tip)
        );
    }

    /// A square on its corner.
    pub(crate) fn diamond(&mut self, class: &str, center: Point, radius: f64, tip: &str) {
        let (x, y) = center;
        let _ = write!(
            self.body,
            r#"<path class="{class}" d="M{x:.2} {:.2}L{:.2} {y:.2}L{x:.2} {:.2}L{:.2} {y:.2}Z">{}</path>"#,
            y - radius,
            x + radius,
            y + radius,
            x - radius,
            tooltip(tip)
        );
    }

    /// A triangle that points up.
    pub(crate) fn triangle(&mut self, class: &str, center: Point, radius: f64, tip: &str) {
        let (x, y) = center;
        let _ = write!(
            self.body,
            r#"<path class="{class}" d="M{x:.2} {:.2}L{:.2} {:.2}L{:.2} {:.2}Z">{}</path>"#,
            y - radius,
            x + radius,
            y + 0.8 * radius,
            x - radius,
            y + 0.8 * radius,
            tooltip(tip)
        );
    }

    /// A triangle that points down.
    pub(crate) fn wedge(&mut self, class: &str, center: Point, radius: f64, tip: &str) {
        let (x, y) = center;
        let _ = write!(
            self.body,
            r#"<path class="{class}" d="M{x:.2} {:.2}L{:.2} {:.2}L{:.2} {:.2}Z">{}</path>"#,
            y + radius,
            x + radius,
            y - 0.8 * radius,
            x - radius,
            y - 0.8 * radius,
            tooltip(tip)
        );
    }

    /// A pennant that flies to the right from the top of its pole.
    pub(crate) fn pennant(&mut self, class: &str, top: Point, size: Point, tip: &str) {
        let (x, y) = top;
        let _ = write!(
            self.body,
            r#"<path class="{class}" d="M{x:.2} {y:.2}L{:.2} {:.2}L{x:.2} {:.2}Z">{}</path>"#,
            x + size.0,
            y + 0.5 * size.1,
            y + size.1,
            tooltip(tip)
        );
    }

    /// Two crossing strokes.
    pub(crate) fn cross(&mut self, class: &str, center: Point, radius: f64, tip: &str) {
        let (left, right) = (center.0 - radius, center.0 + radius);
        let (top, bottom) = (center.1 - radius, center.1 + radius);
        let _ = write!(
            self.body,
            r#"<path class="{class}" d="M{left:.2} {top:.2}L{right:.2} {bottom:.2}M{left:.2} {bottom:.2}L{right:.2} {top:.2}">{}</path>"#,
            tooltip(tip)
        );
    }

    /// Straight lines through `points`; nothing for fewer than two.
    pub(crate) fn polyline(&mut self, class: &str, points: &[Point]) {
        self.path_through("polyline", class, points);
    }

    /// The area within straight lines through `points`; nothing for fewer than two.
    pub(crate) fn polygon(&mut self, class: &str, points: &[Point]) {
        self.path_through("polygon", class, points);
    }

    fn path_through(&mut self, element: &str, class: &str, points: &[Point]) {
        if points.len() < 2 {
            return;
        }
        let _ = write!(self.body, r#"<{element} class="{class}" points=""#);
        for (x, y) in points {
            let _ = write!(self.body, "{x:.2},{y:.2} ");
        }
        self.body.truncate(self.body.trim_end().len());
        self.body.push_str(r#""/>"#);
    }

    pub(crate) fn text(&mut self, class: &str, anchor: Anchor, at: Point, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            r#"<text class="{class}" text-anchor="{anchor}" x="{:.2}" y="{:.2}">{}</text>"#,
            at.0,
            at.1,
            escape(text)
        );
    }

    /// The finished picture: `title` is its name, `description` what someone who cannot see it should know.
    pub(crate) fn finish(self, size: (u32, u32), title: &str, description: &str) -> Picture {
        Picture {
            size,
            title: title.to_owned(),
            description: description.to_owned(),
            body: self.body,
        }
    }
}

/// A finished picture that can be written as a file or into a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    size: (u32, u32),
    title: String,
    description: String,
    body: String,
}

impl Picture {
    /// A file of its own with `theme`'s colours and background.
    pub(crate) fn standalone(&self, theme: Theme) -> String {
        let style = format!("<style>{}</style>", literal_css(theme));
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n",
            self.element("bs", &style)
        )
    }

    /// A file of its own that follows the viewer's preference; light where the viewer has none or knows none.
    pub(crate) fn adaptive(&self) -> String {
        let style = format!(
            "<style>{}\n@media screen and (prefers-color-scheme:dark){{{}}}</style>",
            literal_css(Theme::Light),
            literal_css(Theme::Dark)
        );
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n",
            self.element("bs", &style)
        )
    }

    /// A file of its own in `theme`, or following the viewer's preference.
    pub(crate) fn file(&self, theme: Option<Theme>) -> String {
        theme.map_or_else(|| self.adaptive(), |theme| self.standalone(theme))
    }

    /// This picture with `below` under it, as one with this one's title and both descriptions.
    pub(crate) fn above(self, below: &Self) -> Self {
        let (width, height) = self.size;
        Self {
            size: (width.max(below.size.0), height + below.size.1),
            title: self.title,
            description: format!("{} {}", self.description, below.description),
            body: format!(
                "{}<g transform=\"translate(0 {height})\">{}</g>",
                self.body, below.body
            ),
        }
    }

    /// An element for a page that holds the rules; `id` must be unique there.
    pub(crate) fn inline(&self, id: &str) -> String {
        self.element(id, "")
    }

    fn element(&self, id: &str, style: &str) -> String {
        let (width, height) = self.size;
        let id = escape(id);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bs\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
             viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\
             <title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>{style}\
             <rect class=\"bg\" x=\"0\" y=\"0\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>{}</svg>",
            escape(&self.title),
            escape(&self.description),
            self.body
        )
    }
}

fn tooltip(tip: &str) -> String {
    if tip.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", escape(tip))
    }
}

/// Text safe in XML content and attributes; characters that XML 1.0 forbids are dropped.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_control_characters_are_dropped() {
        assert_eq!(
            escape("a<b> & \"c\" 'd'\u{7}\n"),
            "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; "
        );
    }
}
