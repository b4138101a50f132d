//! Lists by pages (C8Y-API-03).

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::frame::problem::{Kind, Problem};
use super::site::Site;

/// Entries of a page, unless the query says otherwise.
const USUAL: usize = 5;
/// Entries of a page at most.
const MOST: usize = 2000;

/// What a query says about the page that it wants.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct Page {
    /// Which one, from 1.
    #[param(minimum = 1, default = 1)]
    current_page: Option<usize>,
    /// Entries of each.
    #[param(minimum = 1, maximum = 2000, default = 5)]
    page_size: Option<usize>,
    /// Whether the number of pages is to be told.
    with_total_pages: Option<bool>,
    /// Whether the number of entries is to be told.
    with_total_elements: Option<bool>,
}

/// Where a page stands among its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statistics {
    /// Which page it is, from 1.
    current_page: usize,
    /// Entries of each page.
    page_size: usize,
    /// How many pages there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_pages: Option<usize>,
    /// How many entries there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_elements: Option<usize>,
}

/// What stands beside the entries of a page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Around {
    /// Where it stands.
    statistics: Statistics,
    /// Its address.
    #[serde(rename = "self")]
    own: String,
    /// The address of the next one; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The address of the one before; absent at the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<String>,
}

impl Page {
    /// Cuts the page out of `all`, whose address is made of `names`.
    pub(super) fn cut<T>(&self, site: &Site, names: &[&str], all: Vec<T>) -> Result<(Vec<T>, Around), Problem> {
        let (current, size) = (self.current_page.unwrap_or(1), self.page_size.unwrap_or(USUAL));
        if current == 0 {
            return Err(Problem::in_field(Kind::Parameter, "currentPage", "currentPage is 0; pages count from 1"));
        }
        if !(1..=MOST).contains(&size) {
            let message = format!("pageSize is {size}; write 1 to {MOST}");
            return Err(Problem::in_field(Kind::Parameter, "pageSize", message));
        }
        let total = all.len();
        let before = (current - 1).saturating_mul(size);
        let entries: Vec<T> = all.into_iter().skip(before).take(size).collect();
        let place = |page: usize| format!("{}?currentPage={page}&pageSize={size}", site.link(names));
        let around = Around {
            statistics: Statistics {
                current_page: current,
                page_size: size,
                total_pages: self.with_total_pages.filter(|with| *with).map(|_| total.div_ceil(size)),
                total_elements: self.with_total_elements.filter(|with| *with).map(|_| total),
            },
            own: place(current),
            next: (before.saturating_add(size) < total).then(|| place(current.saturating_add(1))),
            prev: (current > 1).then(|| place(current - 1)),
        };
        Ok((entries, around))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site::at("b.lan")
    }

    #[test]
    fn a_page_holds_its_entries_and_leads_to_its_neighbours() {
        let page = Page {
            current_page: Some(2),
            page_size: Some(3),
            with_total_pages: Some(true),
            with_total_elements: Some(true),
        };
        let (entries, around) = page.cut(&site(), &["x"], (0..8).collect()).unwrap();
        assert_eq!(entries, [3, 4, 5]);
        assert_eq!(around.next.as_deref(), Some("https://b.lan/x?currentPage=3&pageSize=3"));
        assert_eq!(around.prev.as_deref(), Some("https://b.lan/x?currentPage=1&pageSize=3"));
        assert_eq!((around.statistics.total_pages, around.statistics.total_elements), (Some(3), Some(8)));
        let (entries, around) = Page::default().cut(&site(), &["x"], vec![1]).unwrap();
        assert_eq!((entries.len(), around.next, around.prev), (1, None, None));
        assert_eq!(around.statistics.total_pages, None);
    }

    #[test]
    fn a_page_beyond_the_end_is_empty_and_one_that_cannot_be_is_named() {
        let far = Page { current_page: Some(usize::MAX), page_size: Some(2000), ..Page::default() };
        assert!(far.cut(&site(), &["x"], vec![1]).unwrap().0.is_empty());
        for (page, field) in [
            (Page { current_page: Some(0), ..Page::default() }, "currentPage"),
            (Page { page_size: Some(0), ..Page::default() }, "pageSize"),
            (Page { page_size: Some(2001), ..Page::default() }, "pageSize"),
        ] {
            assert_eq!(page.cut(&site(), &["x"], vec![1]).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
