//! A table as HTML: numbers flush right, everything escaped. How it looks is left to the page's style sheet.

use super::Table;
use crate::page::escape::html;

impl Table {
    /// A `table` element in a `div` that scrolls by itself where the table is wider than the page.
    pub(crate) fn html(&self) -> String {
        let cell = |tag: &str, column: usize, text: &str| {
            let class = if self.is_numeric(column) { " class=\"number\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", html(text))
        };
        let headings: String =
            self.columns.iter().enumerate().map(|(column, shown)| cell("th", column, &shown.heading)).collect();
        let mut text = format!("<div class=\"wide\"><table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n");
        for row in self.rounded_rows() {
            let cells: String = row.iter().enumerate().map(|(column, shown)| cell("td", column, shown)).collect();
            text.push_str(&format!("<tr>{cells}</tr>\n"));
        }
        text.push_str("</tbody>\n</table></div>\n");
        text
    }
}
