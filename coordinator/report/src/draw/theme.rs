//! Colours and text styles of the plots, as one set of CSS rules: with literal colours in standalone files, and with the page's variables in
//! the page. The data colours are from the colour-blind-safe palette of Okabe and Ito, darkened for text on white and lightened on black.

use std::fmt::{self, Write as _};

/// Background that a picture is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on white.
    Light,
    /// Light ink on near-black.
    Dark,
}

impl fmt::Display for Theme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Light => "light",
            Self::Dark => "dark",
        })
    }
}

/// Name, light and dark value of each colour.
const COLOURS: &[(&str, &str, &str)] = &[
    ("surface", "#ffffff", "#12161b"),
    ("raised", "#f6f8fa", "#1a2027"),
    ("ink", "#1a2027", "#e9edf1"),
    ("muted", "#57626d", "#a3afba"),
    ("grid", "#e7ebef", "#262e36"),
    ("axis", "#a9b3bd", "#4c5762"),
    ("band", "#f3f6f9", "#181e25"),
    // Okabe-Ito blue; sky blue.
    ("data", "#0072b2", "#56b4e9"),
    // Vermillion; orange.
    ("fit", "#d55e00", "#e69f00"),
    // Bluish green.
    ("mark", "#00785a", "#2ac69b"),
    // Reddish purple.
    ("jump", "#9c3f76", "#e58fbd"),
];

const FONTS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','Noto Sans','DejaVu Sans',Arial,sans-serif";

/// Rules of the plots' classes; `$name` stands for a colour.
const RULES: &str = "\
.bs text{font-family:$fonts;fill:$ink;font-size:12.5px}\
.bs .bg{fill:$surface}\
.bs .band{fill:$band}\
.bs .grid{stroke:$grid;stroke-width:1}\
.bs .axis{stroke:$axis;stroke-width:1}\
.bs text.title{font-size:18px;font-weight:650}\
.bs text.sub{font-size:13px;fill:$muted}\
.bs text.lead{font-size:13.5px;font-weight:600}\
.bs text.tick{fill:$muted;font-size:12px;font-variant-numeric:tabular-nums}\
.bs text.axis-title{fill:$muted;font-size:12.5px}\
.bs text.legend{fill:$muted;font-size:12px}\
.bs .data{fill:$data}\
.bs .data-hollow{fill:$surface;stroke:$data;stroke-width:1.6}\
.bs .interval{stroke:$data;stroke-width:1.4;opacity:.55}\
.bs .trail{fill:none;stroke:$data;stroke-width:1.2;opacity:.4;stroke-linejoin:round}\
.bs .fit{fill:none;stroke:$fit;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
.bs .thin{stroke-width:1.3}\
.bs .mark{fill:$mark;stroke:$surface;stroke-width:1.4}\
.bs .mark-line{stroke:$mark;stroke-width:1;stroke-dasharray:2 4;opacity:.6}\
.bs .in{paint-order:stroke;stroke:$surface;stroke-width:4px;stroke-linejoin:round}\
.bs text.mark-label{fill:$mark;font-weight:650;font-size:12.5px}\
.bs .jump{fill:none;stroke:$jump;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}\
.bs .jump-fill{fill:$jump}\
.bs text.jump-label{fill:$jump;font-weight:650;font-size:13px}\
.bs text.note{fill:$muted;font-size:12px}\
.bs .edge{fill:$jump;stroke:$surface;stroke-width:1}\
.bs .edge-unclear{fill:$surface;stroke:$jump;stroke-width:1.3}\
.bs .edge-missed{fill:none;stroke:$ink;stroke-width:2.2;stroke-linecap:round}\
.bs .early{opacity:.4}\
.bs .middle{opacity:.7}\
.bs .faint{stroke-width:1.2;opacity:.55}\
.bs .limit{stroke:$muted;stroke-width:1.2;stroke-dasharray:5 4}\
.bs .slot{fill:none;stroke:$axis;stroke-width:1.2}\
.bs .slot-used{fill:$data}\
.bs .slot-extra{fill:$jump}\
.bs .plate{fill:$surface;opacity:.88}\
.bs .gate{fill:$data;opacity:.14}\
.bs .baseline{fill:none;stroke:$data;stroke-width:1.3;opacity:.75}\
.bs .slower{fill:$fit;stroke:$surface;stroke-width:.8}\
.bs .faster{fill:$mark;stroke:$surface;stroke-width:.8}\
.bs .alarm{fill:none;stroke:$fit;stroke-width:1.7}\
.bs .change{stroke:$jump;stroke-width:1.2}\
.bs .change-foot{fill:$jump;stroke:$surface;stroke-width:1}\
.bs text.change-label{fill:$jump;font-size:12px}\
.bs .pole{stroke:$ink;stroke-width:1;opacity:.55}\
.bs .flag{fill:$ink}\
.bs text.flag-label{font-size:12px}\
.bs .lane-alarm{fill:$fit}\
.bs .lane-missing{fill:$ink}\
.bs .lane-invalid{fill:$axis}\
.bs .step-bar{fill:$data}\
.bs .step-none{fill:$muted}\
.bs .step-unknown{fill:$axis}\
.bs text.strong{font-weight:650}\
";

/// The rules with `theme`'s colours, for a file of its own.
pub(crate) fn literal_css(theme: Theme) -> String {
    substitute(|(_, light, dark)| match theme {
        Theme::Light => (*light).to_owned(),
        Theme::Dark => (*dark).to_owned(),
    })
}

/// The rules with variables, and the variables for both backgrounds, for the page. Paper is always light.
pub(crate) fn page_css() -> String {
    let variables = |theme| {
        COLOURS
            .iter()
            .fold(String::new(), |mut css, (name, light, dark)| {
                let value = if theme == Theme::Light { light } else { dark };
                let _ = write!(css, "--{name}:{value};");
                css
            })
    };
    let (light, dark) = (variables(Theme::Light), variables(Theme::Dark));
    let rules = substitute(|(name, ..)| format!("var(--{name})"));
    format!(
        ":root{{color-scheme:light dark;{light}--fonts:{FONTS}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}\n"
    )
}

fn substitute(value: impl Fn(&(&str, &str, &str)) -> String) -> String {
    COLOURS
        .iter()
        .fold(RULES.replace("$fonts", FONTS), |css, colour| {
            css.replace(&format!("${}", colour.0), &value(colour))
        })
}
