//! A table as LaTeX tabulars that need `\usepackage{booktabs}` and nothing else; made for `\input`, a short one inside
//! a `table`. One that is wider than a column of text gets smaller letters, long texts are broken into lines, and what
//! is still too wide or too long for a page continues in a further tabular.

use super::{Cell, Table, push_line};

/// More rows than this do not fit on a page beneath each other, and are set in side-by-side blocks.
const ROWS_PER_BLOCK: usize = 30;
/// With so many rows beneath each other a tabular fills a page.
const ROWS_PER_PAGE: usize = 46;
/// More columns than this do not fit beside each other; the table then grows longer.
const MAX_COLUMNS: usize = 9;
/// Texts longer than this are broken into lines.
const TEXT_CHARACTERS: usize = 24;
/// Words of a paragraph longer than this are broken, too.
const WORD_CHARACTERS: usize = 40;
/// Width of a broken text in characters.
const PARAGRAPH_CHARACTERS: f64 = 22.0;
/// Characters that surely go on a line of it.
const LINE_CHARACTERS: usize = 17;
/// Letters from large to small.
const SIZES: [Size; 4] = [
    Size { name: "", room: 78.0, gap: 2.4 },
    Size { name: "\\small", room: 86.0, gap: 2.6 },
    Size { name: "\\footnotesize", room: 92.0, gap: 2.8 },
    SMALLEST,
];
const SMALLEST: Size = Size { name: "\\scriptsize", room: 98.0, gap: 3.0 };

/// Letters of a size.
struct Size {
    /// LaTeX's command; empty for the size of the text.
    name: &'static str,
    /// How many characters go on a line of 5.5 inches.
    room: f64,
    /// The space between two columns, which is equally wide in all sizes, in characters.
    gap: f64,
}

impl Table {
    /// The table with a small paragraph beneath it for each note.
    pub(crate) fn latex_with(&self, notes: &[String]) -> String {
        let mut text = self.latex();
        for note in notes {
            push_line(&mut text, format_args!("\\par\\smallskip{{\\footnotesize {}\\par}}", sentence(note)));
        }
        text
    }

    pub(crate) fn latex(&self) -> String {
        let mut text = String::new();
        push_line(&mut text, format_args!("% Made by sigma-exp; needs \\usepackage{{booktabs}}."));
        let widths: Vec<f64> = (0..self.columns.len()).map(|column| self.latex_width(column)).collect();
        let mut first = true;
        for columns in columns_of_parts(&widths) {
            let width = |size: &Size| columns.iter().map(|column| widths[*column] + size.gap).sum::<f64>();
            let beside = (SMALLEST.room / width(&SMALLEST)) as usize;
            let max_blocks = (MAX_COLUMNS / columns.len().max(1)).min(beside).max(1);
            let blocks = self.rows.len().div_ceil(ROWS_PER_BLOCK).clamp(1, max_blocks);
            let size = SIZES.iter().find(|size| width(size) * blocks as f64 <= size.room).unwrap_or(&SMALLEST);
            for rows in self.pages(&columns, blocks) {
                if !first {
                    push_line(&mut text, format_args!("\\par\\bigskip"));
                }
                first = false;
                self.tabular(&mut text, &columns, rows, blocks.min(rows.len().max(1)), size.name);
            }
        }
        text
    }

    /// The rows, a page's worth of lines at a time; there is one page for a table without rows.
    fn pages(&self, columns: &[usize], blocks: usize) -> Vec<&[Vec<Cell>]> {
        let height = |row: &[Cell]| columns.iter().map(|column| self.lines(*column, &row[*column])).max().unwrap_or(1);
        let room = blocks * ROWS_PER_PAGE;
        // Pages of about equal length instead of full ones and a rest.
        let total: usize = self.rows.iter().map(|row| height(row)).sum();
        let room = total.div_ceil(total.div_ceil(room).max(1)).max(1);
        let mut pages = Vec::new();
        let (mut begin, mut lines) = (0, 0);
        for (at, row) in self.rows.iter().enumerate() {
            if lines + height(row) > room && at > begin {
                pages.push(&self.rows[begin..at]);
                (begin, lines) = (at, 0);
            }
            lines += height(row);
        }
        pages.push(&self.rows[begin..]);
        pages
    }

    /// How many lines a cell takes.
    fn lines(&self, column: usize, cell: &Cell) -> usize {
        match cell {
            Cell::Text(text) if self.is_long(column) => {
                let plain = |character: char| if character.is_ascii() { 1 } else { 4 };
                text.chars().map(plain).sum::<usize>().div_ceil(LINE_CHARACTERS).max(1)
            }
            _ => 1,
        }
    }

    /// Some columns of some rows, in `blocks` side by side.
    fn tabular(&self, text: &mut String, columns: &[usize], rows: &[Vec<Cell>], blocks: usize, size: &str) {
        let rows_per_block = rows.len().div_ceil(blocks);
        let alignment: String = columns
            .iter()
            .map(|column| match (self.is_numeric(*column), self.is_long(*column)) {
                (true, _) => "r".to_owned(),
                (false, true) => format!("p{{{:.1}em}}", PARAGRAPH_CHARACTERS / 2.0),
                (false, false) => "l".to_owned(),
            })
            .collect();
        let headings: Vec<&str> = columns.iter().map(|column| self.columns[*column].latex.as_ref()).collect();
        let empty_block = vec![""; columns.len()].join(" & ");
        if !size.is_empty() {
            push_line(text, format_args!("{{{size}"));
        }
        push_line(text, format_args!("\\begin{{tabular}}{{{}}}", vec![alignment; blocks].join("@{\\qquad}")));
        push_line(text, format_args!("\\toprule"));
        push_line(text, format_args!("{} \\\\", vec![headings.join(" & "); blocks].join(" & ")));
        push_line(text, format_args!("\\midrule"));
        for line in 0..rows_per_block {
            let cells: Vec<String> = (0..blocks)
                .map(|block| rows.get(block * rows_per_block + line))
                .map(|row| row.map_or(empty_block.clone(), |row| self.latex_cells(columns, row)))
                .collect();
            push_line(text, format_args!("{} \\\\", cells.join(" & ")));
        }
        push_line(text, format_args!("\\bottomrule"));
        push_line(text, format_args!("\\end{{tabular}}"));
        if !size.is_empty() {
            push_line(text, format_args!("\\par}}"));
        }
    }

    fn latex_cells(&self, columns: &[usize], row: &[Cell]) -> String {
        let cells: Vec<String> = columns
            .iter()
            .map(|&column| {
                let cell = &row[column];
                let shown = cell.rounded(self.columns[column].digits);
                match cell {
                    Cell::Number(number) if number.is_finite() => number_source(&shown),
                    Cell::Number(number) => infinite_source(*number).to_owned(),
                    _ if !self.is_numeric(column) && self.is_long(column) => {
                        format!("{{\\raggedright {}\\par}}", breakable(&shown))
                    }
                    _ => escape(&shown),
                }
            })
            .collect();
        cells.join(" & ")
    }

    /// Whether a column has a text that must be broken.
    fn is_long(&self, column: usize) -> bool {
        let long = |cell: &Cell| match cell {
            Cell::Text(text) => text.chars().count() > TEXT_CHARACTERS,
            _ => false,
        };
        self.rows.iter().any(|row| long(&row[column]))
    }

    /// About how wide a column is, in characters.
    fn latex_width(&self, column: usize) -> f64 {
        let shown = &self.columns[column];
        let lines = shown.heading.split([',', ' ']).map(|line| line.chars().count() + 1).max().unwrap_or(0);
        let heading = if shown.latex.contains("shortstack") { lines } else { shown.latex.chars().count().min(lines) };
        let cells = self.rows.iter().map(|row| row[column].rounded(shown.digits).chars().count()).max().unwrap_or(0);
        let cells = cells.max(heading) as f64;
        if !self.is_numeric(column) && self.is_long(column) { PARAGRAPH_CHARACTERS } else { cells }
    }
}

/// Which columns go into each tabular. One that continues a wide table begins with the table's first column again.
fn columns_of_parts(widths: &[f64]) -> Vec<Vec<usize>> {
    let Size { room, gap, .. } = SMALLEST;
    let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
    let mut used = 0.0;
    for (column, width) in widths.iter().map(|width| width + gap).enumerate() {
        let first = widths.first().map_or(0.0, |width| width + gap);
        let current = parts.len() - 1;
        if used + width > room && parts[current].len() > 1 {
            parts.push(vec![0]);
            used = first;
        }
        let current = parts.len() - 1;
        parts[current].push(column);
        used += width;
    }
    parts
}

/// Math mode, where a minus is a minus and not a hyphen.
fn number_source(shown: &str) -> String {
    match shown.split_once('e') {
        Some((mantissa, exponent)) => format!("${mantissa} \\times 10^{{{exponent}}}$"),
        None => format!("${shown}$"),
    }
}

fn infinite_source(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "$\\infty$"
    } else {
        "$-\\infty$"
    }
}

/// `text` as LaTeX source that prints it. A character that plain LaTeX cannot print is named by its number.
pub(super) fn escape(text: &str) -> String {
    text.chars().map(character_source).collect()
}

/// `text` for a paragraph, where LaTeX breaks ordinary words by itself.
fn sentence(text: &str) -> String {
    let word = |word: &str| if word.chars().count() > WORD_CHARACTERS { breakable(word) } else { escape(word) };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `text` with places to break it: after separators, and within long words.
fn breakable(text: &str) -> String {
    const WORD: usize = 8;
    let mut source = String::new();
    let mut since_break = 0;
    for character in text.chars() {
        source.push_str(&character_source(character));
        since_break = if character == ' ' { 0 } else { since_break + 1 };
        if "/_-.,:;=@".contains(character) || since_break >= WORD {
            source.push_str("\\allowbreak{}");
            since_break = 0;
        }
    }
    source
}

fn character_source(character: char) -> String {
    let known = match character {
        '\\' => "\\textbackslash{}",
        '~' => "\\textasciitilde{}",
        '^' => "\\textasciicircum{}",
        '<' => "\\textless{}",
        '>' => "\\textgreater{}",
        '|' => "\\textbar{}",
        '"' => "''",
        'α' => "$\\alpha$",
        'β' => "$\\beta$",
        'δ' => "$\\delta$",
        'Δ' => "$\\Delta$",
        'λ' => "$\\lambda$",
        'ρ' => "$\\rho$",
        'σ' => "$\\sigma$",
        'µ' | 'μ' => "$\\mu$",
        '−' => "$-$",
        '±' => "$\\pm$",
        '×' => "$\\times$",
        '÷' => "$\\div$",
        '≤' => "$\\leq$",
        '≥' => "$\\geq$",
        '…' => "\\ldots{}",
        '–' => "--",
        '—' => "---",
        '‘' => "`",
        '’' => "'",
        '“' => "``",
        '”' => "''",
        '&' => "\\&",
        '%' => "\\%",
        '$' => "\\$",
        '#' => "\\#",
        '_' => "\\_",
        '{' => "\\{",
        '}' => "\\}",
        _ => "",
    };
    match character {
        _ if !known.is_empty() => known.to_owned(),
        character if character.is_control() => " ".to_owned(),
        // These need another font encoding than the usual one.
        'Ð' | 'ð' | 'Þ' | 'þ' => unprintable(character),
        ' '..='~' | 'À'..='ÿ' => character.to_string(),
        character => unprintable(character),
    }
}

fn unprintable(character: char) -> String {
    format!("[U+{:04X}]", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, Digits};

    fn table(rows: usize) -> Table {
        let column = |name, latex: &'static str| Column {
            latex: latex.into(),
            digits: Digits::Decimals(1),
            ..Column::named(name)
        };
        let row = |t| vec![Cell::Count(t as u64), Cell::Number(-(t as f64))];
        Table { columns: vec![column("t", "$t$"), column("du", "$\\Delta U$")], rows: (0..rows).map(row).collect() }
    }

    #[test]
    fn every_special_character_of_latex_is_escaped() {
        assert_eq!(escape(r"a_b & 50% of $1 #2 {x} \y"), r"a\_b \& 50\% of \$1 \#2 \{x\} \textbackslash{}y");
        assert_eq!(escape("~^<>\n"), r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{} ");
    }

    #[test]
    fn numbers_are_set_in_math_mode() {
        assert_eq!(number_source("-150.986"), "$-150.986$");
        assert_eq!(number_source("1.02e-4"), r"$1.02 \times 10^{-4}$");
    }

    #[test]
    fn every_row_of_a_long_table_is_there_once_and_lines_have_equal_columns() {
        for rows in [0, 1, 30, 31, 51, 61, 200] {
            let source = table(rows).latex();
            let body: Vec<&str> = source.lines().filter(|line| line.ends_with("\\\\")).skip(1).collect();
            let header = source.lines().find(|line| line.contains("Delta")).expect("a heading");
            let ampersands = |line: &str| line.matches('&').count();
            assert!(body.iter().all(|line| ampersands(line) == ampersands(header)), "{source}");
            for t in 1..rows {
                assert_eq!(
                    body.iter().filter(|line| line.contains(&format!("$-{t}.0$"))).count(),
                    1,
                    "{t} in {source}"
                );
            }
        }
        assert_eq!(table(51).latex().lines().filter(|line| line.ends_with("\\\\")).count(), 1 + 26);
    }

    #[test]
    fn characters_that_latex_cannot_print_are_named() {
        assert_eq!(escape("é 中 α|\u{1f600}"), r"é [U+4E2D] $\alpha$\textbar{}[U+1F600]");
    }

    #[test]
    fn a_wide_table_continues_and_repeats_its_first_column() {
        let parts = columns_of_parts(&[10.0; 20]);
        assert!(parts.len() > 1 && parts.iter().all(|part| part[0] == 0), "{parts:?}");
        let mut all: Vec<usize> = parts.iter().flat_map(|part| part[1..].to_vec()).collect();
        all.sort_unstable();
        assert_eq!(all, (1..20).collect::<Vec<_>>());
    }
}
