//! What tests ask of a picture, whatever it shows.

use roxmltree::{Document, Node};

/// The text a reader sees.
pub fn words(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    document
        .descendants()
        .filter(|node| node.has_tag_name((SVG, "text")))
        .map(|node| node.text().unwrap_or_default().to_owned())
        .collect()
}

const SVG: &str = "http://www.w3.org/2000/svg";

fn child<'a>(root: Node<'a, 'a>, tag: &str) -> Node<'a, 'a> {
    root.children()
        .find(|node| node.has_tag_name((SVG, tag)))
        .unwrap()
}

/// What holds for every picture.
pub fn check(name: &str, svg: &str) {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}"));
    let root = document.root_element();
    assert!(root.has_tag_name((SVG, "svg")), "{name}");
    assert_eq!(root.attribute("role"), Some("img"), "{name}");
    let labelled: Vec<&str> = root
        .attribute("aria-labelledby")
        .unwrap()
        .split(' ')
        .collect();
    for (id, tag) in labelled.iter().zip(["title", "desc"]) {
        let node = child(root, tag);
        assert_eq!(node.attribute("id"), Some(*id), "{name}");
        assert!(
            !node.text().unwrap_or_default().is_empty(),
            "{name}: empty {tag}"
        );
    }
    let size: Vec<f64> = root
        .attribute("viewBox")
        .unwrap()
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    for node in root.descendants().filter(Node::is_element) {
        for (attribute, limit) in [
            ("x", size[2]),
            ("y", size[3]),
            ("x1", size[2]),
            ("x2", size[2]),
            ("y1", size[3]),
            ("y2", size[3]),
            ("cx", size[2]),
            ("cy", size[3]),
        ] {
            if let Some(value) = node.attribute(attribute) {
                let value: f64 = value.parse().unwrap();
                assert!(
                    (0.0..=limit).contains(&value),
                    "{name}: {attribute}={value} of {:?}",
                    node.tag_name()
                );
            }
        }
        for shape in ["points", "d"]
            .into_iter()
            .filter_map(|attribute| node.attribute(attribute))
        {
            assert!(
                !shape.contains("NaN") && !shape.contains("inf"),
                "{name}: {shape}"
            );
        }
    }
}

/// How many shapes of a class a picture has.
pub fn shapes(svg: &str, class: &str) -> usize {
    let document = Document::parse(svg).unwrap();
    document
        .descendants()
        .filter(|node| node.attribute("class") == Some(class))
        .count()
}

/// Estimated width of letters, digits and everything else over the font size; narrower than most fonts, so that what overlaps here does so for
/// everybody.
const LETTER: f64 = 0.53;
const OTHER: f64 = 0.27;

/// Texts lie within the picture and none overlaps another.
pub fn check_texts(name: &str, svg: &str) {
    let document = Document::parse(svg).unwrap();
    let size: Vec<f64> = document
        .root_element()
        .attribute("viewBox")
        .unwrap()
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    let texts: Vec<(f64, f64, f64, f64, &str)> = document
        .descendants()
        .filter(|node| node.has_tag_name((SVG, "text")))
        .map(|node| {
            let number = |name: &str| -> f64 { node.attribute(name).unwrap().parse().unwrap() };
            let words = node.text().unwrap_or_default();
            let font = match node.attribute("class").unwrap_or_default() {
                "title" => 18.0,
                "sub" => 13.0,
                "lead" => 13.5,
                _ => 12.0,
            };
            let letters = words.chars().filter(|it| it.is_alphanumeric()).count() as f64;
            let others = words.chars().count() as f64 - letters;
            let wide = font * (LETTER * letters + OTHER * others);
            let left = match node.attribute("text-anchor").unwrap() {
                "start" => number("x"),
                "middle" => number("x") - wide / 2.0,
                _ => number("x") - wide,
            };
            let y = number("y");
            (left, left + wide, y - 0.72 * font, y + 0.1 * font, words)
        })
        .collect();
    for (index, one) in texts.iter().enumerate() {
        assert!(
            one.0 >= 0.0 && one.1 <= size[2] && one.2 >= 0.0 && one.3 <= size[3],
            "{name}: {one:?} is not within the picture"
        );
        for other in &texts[index + 1..] {
            let is_apart =
                one.1 <= other.0 || other.1 <= one.0 || one.3 <= other.2 || other.3 <= one.2;
            assert!(is_apart, "{name}: {one:?} overlaps {other:?}");
        }
    }
}

/// The tips of the shapes of a class, in the order in which they are painted; those of a legend have none.
pub fn tips(svg: &str, class: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    document
        .descendants()
        .filter(|node| node.attribute("class") == Some(class))
        .filter_map(|node| {
            node.children()
                .find(|child| child.has_tag_name((SVG, "title")))
        })
        .map(|title| title.text().unwrap_or_default().to_owned())
        .collect()
}
