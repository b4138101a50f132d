//! Every fuzz target over its corpus, as ordinary tests.
//!
//! What lives here: the corpus, and what is near it, through the targets. What
//! does not: the engine that looks for more (`engine.rs`, `tests/run fuzz`).
//! Invariant: what once broke a target lies in its corpus, and is seen again
//! here.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod control;
mod net;
mod targets;

/// The files that `control` and `net` take in know them by these names.
use certus::{ca, codec};

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use targets::{TARGETS, Target};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let folder = fs::read_dir(corpus().join(name)).unwrap_or_else(|error| panic!("the corpus of {name}: {error}"));
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn target(name: &str) -> Target {
    TARGETS.iter().find(|target| target.0 == name).unwrap().1
}

#[test]
fn every_target_holds_for_every_input_of_its_corpus() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} begins with nothing");
        inputs.iter().for_each(|input| target(input));
    }
}

#[test]
fn the_corpus_has_no_folder_without_a_target_and_stays_small() {
    let mut bytes = 0;
    for folder in fs::read_dir(corpus()).unwrap().map(Result::unwrap) {
        let name = folder.file_name().into_string().unwrap();
        bytes += inputs(&name).iter().map(Vec::len).sum::<usize>();
        assert!(TARGETS.iter().any(|target| target.0 == name), "nothing reads tests/fuzz/corpus/{name}");
    }
    assert!(bytes < 200_000, "{bytes} bytes: keep what adds something to the others");
}

/// One change of an input: a byte set, a part taken out, a part doubled.
fn changed(input: &[u8], (kind, at, length, byte): (u8, usize, usize, u8)) -> Vec<u8> {
    let mut out = input.to_vec();
    let start = at % (out.len() + 1);
    let end = (start + length).min(out.len());
    match kind {
        0 if start < out.len() => out[start] = byte,
        1 => drop(out.drain(start..end)),
        2 => {
            let part = out[start..end].to_vec();
            out.splice(start..start, part);
        }
        _ => out.insert(start, byte),
    }
    out
}

macro_rules! near_the_corpus {
    ($($name:ident)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
            $(#[test]
            fn $name(
                pick in any::<prop::sample::Index>(),
                changes in prop::collection::vec((0..4_u8, any::<usize>(), 0..40_usize, any::<u8>()), 1..6),
            ) {
                static CORPUS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
                let inputs = CORPUS.get_or_init(|| inputs(stringify!($name)));
                let input = changes.into_iter().fold(pick.get(inputs).clone(), |input, change| changed(&input, change));
                target(stringify!($name))(&input);
            })*
        }
    };
}

near_the_corpus!(accounts acl certificate config crl csr decode devices est logins multipart pem proxy session topics upgrade websocket);
