//! Drawing primitives: colours, scales, text measures and an SVG canvas. Used by the plots alone; knows nothing of rows or steps.

mod canvas;
mod scale;
mod text;
mod theme;

pub(crate) use canvas::{Anchor, Canvas, Picture, Point};
pub(crate) use scale::Scale;
pub(crate) use text::{ellipsis, width, wrap};
pub use theme::Theme;
pub(crate) use theme::page_css;
