//! An option of a tenant (C8Y-OPT-01).

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// An option's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionRow {
    /// Whose it is.
    pub tenant: String,
    /// Its group.
    pub category: String,
    /// Its name in the group.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Record for OptionRow {
    const TABLE: Table = Table::Options;
    const NAME: &'static str = "option";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.category, &self.key]
    }

    fn label(&self) -> String {
        format!("{}/{}", self.category, self.key)
    }

    fn audited(&self) -> serde_json::Value {
        // `credentials.…` are secrets by the original's convention.
        let secret = self.key.starts_with("credentials.");
        serde_json::json!({ "value": if secret { "<hidden>" } else { self.value.as_str() } })
    }
}
