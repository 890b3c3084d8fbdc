//! The letters of PDF and PNG figures: Noto Sans from the `notosans` crate, which carries the font files (Open Font
//! License 1.1). It is one face and no bold one: svg2pdf writes several faces in the order of a hash table, that is, in
//! another order every time. No font of the machine is ever looked at, so a figure is the same on a laptop and in a
//! bare container.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb::Database;

const FAMILY: &str = "Noto Sans";

static DATABASE: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut database = Database::new();
    database.load_font_data(notosans::REGULAR_TTF.to_vec());
    // The figures ask for `sans-serif`, which lets an SVG viewer take its own.
    database.set_sans_serif_family(FAMILY);
    Arc::new(database)
});

pub(super) fn database() -> Arc<Database> {
    DATABASE.clone()
}

#[cfg(test)]
mod tests {
    use resvg::usvg::{Group, Node};

    use super::super::render;

    /// The glyph numbers of all text, in which 0 stands for a character that the font lacks.
    fn glyphs(group: &Group, found: &mut Vec<u16>) {
        for node in group.children() {
            match node {
                Node::Group(group) => glyphs(group, found),
                Node::Text(text) => {
                    found.extend(
                        text.layouted().iter().flat_map(|span| &span.positioned_glyphs).map(|glyph| glyph.id.0),
                    );
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_font_has_every_character_of_a_figure() {
        let characters: String = (' '..='~').chain("Δαλ−⁰¹²³⁴⁵⁶⁷⁸⁹".chars()).filter(|c| !" <&".contains(*c)).collect();
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9in\" height=\"1in\">\
             <text y=\"20\" font-family=\"sans-serif\">{characters}</text></svg>"
        );
        let mut found = Vec::new();
        glyphs(render::parse(&svg).expect("valid SVG").root(), &mut found);
        assert_eq!(found.len(), characters.chars().count());
        assert!(!found.contains(&0), "{found:?}");
    }
}
