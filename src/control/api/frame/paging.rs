//! Long lists in pieces.
//!
//! What lives here: the native way, a cursor that says where to go on, and the
//! page numbers of MindConnect (MC-API-04) and Cumulocity (C8Y-API-03). What
//! does not: the lists. Invariant: a piece is bounded whatever is asked for,
//! and a cursor names a place in the order, so that what comes and goes
//! meanwhile shifts nothing.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Kind, Problem};

/// Entries of a piece, unless the query says otherwise.
const USUAL: usize = 50;
/// Entries of a piece at most.
const MOST: usize = 500;

/// What a query says about the piece that it wants.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::control::api) struct Piece {
    /// Entries at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub(in crate::control::api) limit: Option<usize>,
    /// Where to go on: `next` of the piece before.
    pub(in crate::control::api) after: Option<String>,
}

/// A piece of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::control::api) struct Listed<T> {
    /// The entries, in the order of their names.
    pub(in crate::control::api) items: Vec<T>,
    /// What to ask for as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::control::api) next: Option<String>,
}

impl Piece {
    /// How many entries are wanted.
    pub(in crate::control::api) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(USUAL);
        if (1..=MOST).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::in_field(Kind::Parameter, "limit", format!("limit is {limit}; write 1 to {MOST}")))
    }

    /// The name behind which the piece begins; nothing at the beginning.
    pub(in crate::control::api) fn after(&self) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.after else { return Ok(None) };
        let name = Base64UrlUnpadded::decode_vec(cursor).ok().and_then(|name| String::from_utf8(name).ok());
        let no = || Problem::in_field(Kind::Parameter, "after", "after is no cursor; take it from `next`");
        name.map(Some).ok_or_else(no)
    }

    /// Cuts the piece out of `all`, which `name` orders.
    pub(in crate::control::api) fn cut<A, T>(
        &self,
        mut all: Vec<A>,
        name: impl Fn(&A) -> String,
        show: impl Fn(A) -> T,
    ) -> Result<Listed<T>, Problem> {
        let (limit, after) = (self.limit()?, self.after()?);
        all.sort_by_cached_key(&name);
        let rest = all.into_iter().filter(|entry| after.as_ref().is_none_or(|after| name(entry) > *after));
        let mut items: Vec<A> = rest.take(limit + 1).collect();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|last| cursor(&name(last)));
        Ok(Listed { items: items.into_iter().map(show).collect(), next })
    }
}

/// A place in a list as clients carry it.
pub(in crate::control::api) fn cursor(name: &str) -> String {
    Base64UrlUnpadded::encode_string(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(limit: usize, after: Option<String>) -> Piece {
        Piece { limit: Some(limit), after }
    }

    #[test]
    fn the_pieces_of_a_list_make_it_whole_whatever_comes_and_goes() {
        let mut all: Vec<u32> = (10..35).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let got = piece(10, after).cut(all.clone(), u32::to_string, |number| number).unwrap();
            seen.extend(got.items);
            // One in front of the cursor goes: nothing is shifted.
            all.remove(0);
            match got.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (10..35).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_piece_is_refused_by_its_parameter() {
        for (bad, field) in
            [(piece(0, None), "limit"), (piece(501, None), "limit"), (piece(1, Some("§".into())), "after")]
        {
            let problem = bad.cut(vec![1], i32::to_string, |number| number).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field));
        }
    }
}
