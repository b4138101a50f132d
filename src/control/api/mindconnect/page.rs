//! Collections as page objects (MC-API-04).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::broker::Handle;
use crate::ca::authority::Caller;

use super::super::frame::problem::{Kind, Problem};

/// Entries of a page, unless the query says otherwise.
const USUAL: usize = 20;
/// Entries of a page at most.
const MOST: usize = 100;

/// Which page is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The page, from 0.
    #[param(minimum = 0, default = 0)]
    page: Option<u32>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    size: Option<usize>,
    /// A property, and behind a comma `asc` or `desc`.
    #[param(example = "name,desc")]
    sort: Option<String>,
}

/// A page.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    content: Vec<T>,
    first: bool,
    last: bool,
    number: u32,
    size: usize,
    number_of_elements: usize,
    total_elements: usize,
    total_pages: usize,
    sort: Vec<Order>,
}

/// How a page is sorted.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Order {
    property: String,
    direction: &'static str,
}

impl<T> Page<T> {
    /// The same page of other entries.
    pub(super) fn try_map<U>(self, into: impl FnMut(T) -> Result<U, Problem>) -> Result<Page<U>, Problem> {
        let Self { content, first, last, number, size, number_of_elements, total_elements, total_pages, sort } = self;
        let content = content.into_iter().map(into).collect::<Result<_, _>>()?;
        Ok(Page { content, first, last, number, size, number_of_elements, total_elements, total_pages, sort })
    }
}

impl Wanted {
    /// Cuts the page out of `all`; its entries are compared by the property
    /// that `sort` names, which has to be one of `properties`.
    pub(super) fn cut<T: Serialize>(&self, mut all: Vec<T>, properties: &[&str]) -> Result<Page<T>, Problem> {
        let number = self.page.unwrap_or(0);
        let size = self.size.unwrap_or(USUAL);
        if !(1..=MOST).contains(&size) {
            return Err(Problem::in_field(Kind::Parameter, "size", format!("size is {size}; write 1 to {MOST}")));
        }
        let order = self.order(properties)?;
        if let Some(order) = &order {
            all.sort_by_cached_key(|entry| Sorted(property(entry, &order.property)));
            if order.direction == "DESC" {
                all.reverse();
            }
        }
        let total = all.len();
        let start = (number as usize).saturating_mul(size);
        let content: Vec<T> = all.into_iter().skip(start).take(size).collect();
        let pages = total.div_ceil(size);
        Ok(Page {
            first: number == 0,
            last: number as usize + 1 >= pages,
            number,
            size,
            number_of_elements: content.len(),
            total_elements: total,
            total_pages: pages,
            sort: order.into_iter().collect(),
            content,
        })
    }

    fn order(&self, properties: &[&str]) -> Result<Option<Order>, Problem> {
        let Some(sort) = self.sort.as_deref().filter(|sort| !sort.is_empty()) else { return Ok(None) };
        let (property, direction) = sort.split_once(',').unwrap_or((sort, "asc"));
        let direction = match direction.to_ascii_lowercase().as_str() {
            "asc" => Some("ASC"),
            "desc" => Some("DESC"),
            _ => None,
        };
        match direction.filter(|_| properties.contains(&property)) {
            Some(direction) => Ok(Some(Order { property: property.to_owned(), direction })),
            None => {
                let message = format!("sort is none of {}, with asc or desc behind a comma", properties.join(", "));
                Err(Problem::in_field(Kind::Parameter, "sort", message))
            }
        }
    }
}

/// The page as the tenant's option `mc/list_shape` wants it: `page`, or
/// `array` for the content alone.
pub(super) fn shaped<T: Serialize>(broker: &Handle, tenant: &str, page: Page<T>) -> Value {
    let shape = broker.authority().option(&Caller::broker(), tenant, "mc", "list_shape");
    match shape.is_ok_and(|option| option.value == "array") {
        true => json!(page.content),
        false => json!(page),
    }
}

fn property(entry: &impl Serialize, name: &str) -> String {
    let entry = serde_json::to_value(entry).unwrap_or_default();
    let value = entry.get(name).cloned().unwrap_or_default();
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Letters of either case beside each other.
#[derive(PartialEq, Eq)]
struct Sorted(String);

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.to_lowercase(), &self.0).cmp(&(other.0.to_lowercase(), &other.0))
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize)]
    struct Named {
        name: &'static str,
    }

    fn wanted(page: u32, size: usize, sort: &str) -> Wanted {
        Wanted { page: Some(page), size: Some(size), sort: Some(sort.to_owned()) }
    }

    #[test]
    fn pages_are_counted_sorted_and_bounded() {
        let all = || ["b", "C", "a"].map(|name| Named { name }).into();
        let page = wanted(0, 2, "name,desc").cut::<Named>(all(), &["name"]).unwrap();
        let names: Vec<_> = page.content.iter().map(|named| named.name).collect();
        assert_eq!((names, page.total_pages, page.first, page.last), (vec!["C", "b"], 2, true, false));
        let page = wanted(7, 2, "").cut::<Named>(all(), &["name"]).unwrap();
        assert!(page.content.is_empty() && page.last && page.total_elements == 3);
        for (bad, field) in [(wanted(0, 0, ""), "size"), (wanted(0, 101, ""), "size"), (wanted(0, 1, "key"), "sort")] {
            assert_eq!(bad.cut::<Named>(all(), &["name"]).unwrap_err().field.as_deref(), Some(field));
        }
        let none = Wanted::default().cut::<Named>(Vec::new(), &[]).unwrap();
        assert!(none.last && none.total_pages == 0);
    }
}
