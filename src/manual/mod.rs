//! The manual: why things are as they are.
//!
//! What lives here: pages, rendered beside the code that they speak of. What
//! does not: code. Invariant: a page says what the code does; where the two
//! part, one of them is a defect.

#[doc = include_str!("why-defaults.md")]
pub mod why_defaults {}

#[doc = include_str!("lexicon.md")]
pub mod lexicon {}

#[doc = include_str!("lifetime-of-a-publish.md")]
pub mod lifetime_of_a_publish {}

#[doc = include_str!("data-plane.md")]
pub mod data_plane {}

#[doc = include_str!("bounds.md")]
pub mod bounds {}

#[doc = include_str!("trust.md")]
pub mod trust {}

#[doc = include_str!("control-plane.md")]
pub mod control_plane {}

#[doc = include_str!("durability.md")]
pub mod durability {}

#[doc = include_str!("store-format.md")]
pub mod store_format {}

#[doc = include_str!("dependencies.md")]
pub mod dependencies {}

#[doc = include_str!("handover.md")]
pub mod handover {}

#[doc = include_str!("measuring.md")]
pub mod measuring {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[cfg(test)]
mod tests {
    /// The names under `[dependencies]` of Cargo.toml.
    fn dependencies() -> Vec<&'static str> {
        let manifest = include_str!("../../Cargo.toml");
        let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
        let (list, _) = rest.split_once("\n[").unwrap();
        list.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_dependency_has_its_reason_in_the_manual() {
        let page = include_str!("dependencies.md");
        for name in dependencies() {
            assert!(
                page.contains(name) || name == "rustls-pki-types",
                "src/manual/dependencies.md does not speak of {name}"
            );
        }
    }
}
