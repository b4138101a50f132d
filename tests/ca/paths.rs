//! Our path check against `openssl verify`, over generated chains.
//!
//! What lives here: the generator, the two verdicts, and the table of the
//! places where they differ, each with its reason. What does not: the kinds of
//! certificates that real devices have (`tests/trust`). Invariant: a
//! disagreement that no row of the table explains fails, and so does a row of
//! the table that never occurs.

use certus::ca::armour::certificate_pem;
use certus::identity::anchor::Anchor;
use certus::identity::reason::Reason;
use certus::identity::switch::{AnchorKind, AnchorState, KeyPolicy, Profile, StaleCrl, V1};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::identity::trust::TrustSnapshot;
use certus::mqtt::TenantId;
use rustls_pki_types::CertificateDer;

use crate::forge::{Constraints, Forge, Purpose, Shape, Usage};
use crate::workshop::Workshop;

/// 2026-11-21, so that all dates have two digits for the year.
const NOW: i64 = 1_795_219_200;
const DAY: i64 = 86_400;
const KEYS: usize = 12;
/// The longest chain that we look at, leaf and anchor counted.
const LONGEST: usize = 10;

/// A small generator of choices (SplitMix64), so that a case is its number.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A chain, what is sent of it and around it, and who is trusted.
#[derive(Clone, Debug)]
struct Case {
    /// Leaf first.
    chain: Vec<Shape>,
    /// Sent behind the leaf.
    sent: Vec<Shape>,
    anchors: Vec<Shape>,
    /// Certificates from leaf to anchor.
    limit: usize,
}

fn authority(at: usize, top: bool) -> Shape {
    let name = u8::try_from(at).unwrap();
    Shape {
        version: 3,
        serial: u32::from(name),
        subject: name,
        key: at,
        issuer: if top { name } else { name + 1 },
        signer: if top { at } else { at + 1 },
        not_before: NOW - 10 * DAY,
        not_after: NOW + 10 * DAY,
        constraints: Constraints::Ca(None),
        usage: Usage::Certify,
        purpose: Purpose::Absent,
        authority: None,
        identifies: false,
        riddle: false,
    }
}

fn case(number: u64) -> Case {
    let mut chance = Chance(number);
    let authorities = 1 + chance.below(4);
    let mut chain: Vec<Shape> = (0..=authorities).map(|at| authority(at, at == authorities)).collect();
    let usage = chance.pick(&[Usage::Absent, Usage::Sign]);
    let constraints = chance.pick(&[Constraints::Absent, Constraints::Leaf]);
    chain[0] =
        Shape { usage, constraints, purpose: chance.pick(&[Purpose::Absent, Purpose::Client]), ..chain[0].clone() };
    if chance.one_in(2) {
        identify(&mut chain);
    }
    for _ in 0..chance.pick(&[0, 1, 1, 1, 2]) {
        let at = chance.below(chain.len());
        spoil(&mut chance, &mut chain, at);
    }
    let mut sent: Vec<Shape> = chain[1..chain.len() - 1].to_vec();
    let top = chain.last().unwrap().clone();
    if chance.one_in(3) {
        sent.push(top.clone());
    }
    let mut anchors = vec![top];
    surround(&mut chance, &chain, &mut sent, &mut anchors);
    for at in (1..sent.len()).rev() {
        sent.swap(at, chance.below(at + 1));
    }
    anchors.dedup();
    sent.truncate(LONGEST - 1);
    let limit = if chance.one_in(8) { 2 + chance.below(4) } else { LONGEST };
    Case { chain, sent, anchors, limit }
}

/// Every certificate says its own key's identifier and that of its issuer.
fn identify(chain: &mut [Shape]) {
    for shape in chain {
        shape.identifies = true;
        shape.authority = Some(shape.signer);
    }
}

/// One thing about one certificate of the chain is unlike the others.
fn spoil(chance: &mut Chance, chain: &mut [Shape], at: usize) {
    let top = at + 1 == chain.len();
    let shape = &mut chain[at];
    match chance.below(15) {
        0 => shape.not_after = NOW - DAY,
        1 => shape.not_before = NOW + DAY,
        2 => shape.not_after = NOW,
        3 => shape.not_before = NOW,
        4 => shape.constraints = chance.pick(&[Constraints::Absent, Constraints::Leaf, Constraints::Ca(None)]),
        5 | 6 => shape.constraints = Constraints::Ca(Some(u8::try_from(chance.below(3)).unwrap())),
        7 => shape.usage = chance.pick(&[Usage::Absent, Usage::Certify, Usage::Sign, Usage::Encipher]),
        8 => shape.purpose = chance.pick(&[Purpose::Any, Purpose::Client, Purpose::Server]),
        9 => shape.version = 1,
        10 => shape.riddle = true,
        // Another key than the issuer's signed it.
        11 if !top => shape.signer = KEYS - 1,
        // It bears another name than the issuer's.
        12 if !top => shape.issuer = 99,
        // It points to another key than the one that signed it.
        13 => shape.authority = Some(KEYS - 1),
        // An intermediate of its issuer's name: a CA between two keys.
        14 if at > 0 && !top => {
            let name = chain[at + 1].subject;
            chain[at].subject = name;
            chain[at - 1].issuer = name;
            if chance.one_in(2) {
                let intermediates = u8::try_from(chain.len() - 2).unwrap();
                chain.last_mut().unwrap().constraints = Constraints::Ca(Some(intermediates - 1));
            }
        }
        _ => {}
    }
}

/// What is sent and trusted beside the chain.
fn surround(chance: &mut Chance, chain: &[Shape], sent: &mut Vec<Shape>, anchors: &mut Vec<Shape>) {
    let twin = |of: &Shape| Shape { key: KEYS - 2, signer: KEYS - 2, serial: of.serial + 100, ..of.clone() };
    let any = chain[1 + chance.below(chain.len() - 1)].clone();
    match chance.below(12) {
        0 => sent.push(twin(&any)),
        1 => anchors.insert(chance.below(2), twin(&chain[chain.len() - 1])),
        2 => sent.push(authority(8, true)),
        3 => anchors.push(authority(8, true)),
        // An intermediate is trusted too, or instead.
        4 => anchors.insert(chance.below(2), any),
        5 => *anchors = vec![any],
        // One that is needed is missing.
        6 if !sent.is_empty() => drop(sent.remove(chance.below(sent.len()))),
        7 => sent.push(chain[0].clone()),
        8 => *anchors = vec![authority(8, true)],
        _ => {}
    }
}

type Ours = Result<(), Reason>;
/// The number of openssl's error.
type Theirs = Result<(), u32>;

/// The certificates of a case, each made once: a signature is never the same
/// twice.
struct Minted<'f> {
    forge: &'f Forge,
    made: Vec<(Shape, Vec<u8>)>,
}

impl Minted<'_> {
    fn der(&mut self, shape: &Shape) -> Vec<u8> {
        if let Some((_, der)) = self.made.iter().find(|(known, _)| known == shape) {
            return der.clone();
        }
        let der = self.forge.make(shape);
        self.made.push((shape.clone(), der.clone()));
        der
    }
}

fn ours(minted: &mut Minted<'_>, case: &Case) -> Ours {
    let id = TenantId::new("lab");
    let mut tenant = TenantSettings::new(id.clone(), Profile::Open);
    let switches = &mut tenant.switches;
    (switches.max_anchors, switches.max_chain_length) = (0, case.limit);
    (switches.anchor_may_be_intermediate, switches.anchor_may_be_leaf) = (true, false);
    (switches.x509_v1_leaf, switches.x509_v1_anchor) = (V1::Allow, V1::Allow);
    switches.key_policy = KeyPolicy::RsaEcEd25519;
    let switches = tenant.switches.clone();
    let settings = case.anchors.iter().enumerate().map(|(at, shape)| AnchorSettings {
        name: format!("anchor-{at}"),
        der: minted.der(shape),
        source: "forge".to_owned(),
        kind: AnchorKind::Configured,
        state: AnchorState::Enabled,
        proved: true,
        auto_registration: true,
        stale_crl: StaleCrl::Soft,
        crls: Vec::new(),
    });
    // What cannot be an anchor is none.
    tenant.anchors = settings.filter(|settings| Anchor::new(&id, &switches, settings).is_ok()).collect();
    let snapshot = TrustSnapshot::build(&[tenant]).expect("good anchors");
    let shapes = case.chain[..1].iter().chain(&case.sent);
    let sent: Vec<CertificateDer<'static>> = shapes.map(|shape| CertificateDer::from(minted.der(shape))).collect();
    snapshot.judge(&sent, None, NOW).map(drop).map_err(|failure| failure.reason)
}

fn theirs(shop: &Workshop, minted: &mut Minted<'_>, case: &Case) -> Theirs {
    let mut pem = |shapes: &[Shape]| shapes.iter().map(|shape| certificate_pem(&minted.der(shape))).collect::<String>();
    shop.write("leaf.pem", pem(&case.chain[..1]));
    shop.write("sent.pem", pem(&case.sent));
    shop.write("anchors.pem", pem(&case.anchors));
    let untrusted = if case.sent.is_empty() { "" } else { "-untrusted sent.pem" };
    // openssl counts what stands between leaf and anchor.
    let command = format!(
        "verify -partial_chain -purpose sslclient -attime {NOW} -verify_depth {} -no-CApath -no-CAstore -CAfile anchors.pem {untrusted} leaf.pem",
        case.limit - 2
    );
    shop.try_openssl(&command).map(drop).map_err(|said| {
        let number =
            said.split("error ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("openssl {command}: {said}"))
    })
}

/// Where we accept and openssl refuses: what is changed about the case so that
/// openssl accepts it too. It is the one thing that the two see differently.
type Change = fn(&mut Case);

/// What the seeds or the specification want otherwise than openssl, and why.
const WE_ACCEPT: &[(&str, Change)] = &[
    // RFC 5280 section 4.1.2.5: the validity runs through notAfter, inclusive.
    // openssl's comparison takes an equal time for a past one.
    ("the last second of a validity counts", |case| {
        each(case, |shape| shape.not_after = if shape.not_after == NOW { NOW + 1 } else { shape.not_after });
    }),
    // TRUST-04: a path is found by names, and proved by signatures. The key
    // identifier is a hint (RFC 5280 section 4.2.1.1), and tools get it wrong.
    ("a wrong authority key identifier is overlooked", |case| {
        each(case, |shape| shape.authority = shape.authority.filter(|key| *key == shape.signer));
    }),
    // TRUST-04: extended key usage, if present, contains clientAuth *or any*.
    ("any extended key usage is as good as clientAuth", |case| {
        each_first(case, |shape| {
            shape.purpose = if shape.purpose == Purpose::Any { Purpose::Client } else { shape.purpose }
        });
    }),
    // TRUST-04 looks at the leaf's alone; RFC 5280 section 4.2.1.12 gives it a
    // meaning for the certificate's own key only.
    ("the extended key usage of a CA is overlooked", |case| {
        each(case, |shape| {
            let is_narrow = is_authority(shape) && matches!(shape.purpose, Purpose::Any | Purpose::Server);
            shape.purpose = if is_narrow { Purpose::Absent } else { shape.purpose };
        });
    }),
    // TRUST-04 has no check of the leaf's key usage: the devices of S3 have
    // whatever their CA's configuration says (fact 3).
    ("the key usage of the leaf is overlooked", |case| {
        each_first(case, |shape| shape.usage = if shape.usage == Usage::Sign { Usage::Sign } else { Usage::Absent });
    }),
];

/// TRUST-04: the first of several certificates of one name whose key verifies
/// is the issuer, and another one is tried where a path ends. openssl takes one
/// by its name and key identifier, and stays with it.
const NAMESAKES: &str = "of several certificates of one name the right one is found";

/// Where we refuse and openssl accepts.
type Cause = fn(&Case) -> bool;

const WE_REFUSE: &[(&str, Reason, Cause)] = &[
    // TRUST-04: the leaf has CA:FALSE, or no basic constraints, or version 1.
    ("a leaf that is a CA", Reason::CaLeaf, |case| matches!(case.chain[0].constraints, Constraints::Ca(_))),
    // TRUST-04: an intermediate is of version 3 with CA:TRUE. openssl guesses
    // from the key usage where nothing is said.
    ("an intermediate that does not say that it is a CA", Reason::NotCa, |case| {
        case.sent.iter().any(|shape| shape.constraints == Constraints::Absent && shape.usage == Usage::Certify)
    }),
    // TRUST-08: an anchor is a CA by its own words.
    ("an anchor that does not say that it is a CA", Reason::UnknownIssuer, |case| {
        case.anchors.iter().any(|shape| shape.constraints == Constraints::Absent && shape.usage == Usage::Certify)
    }),
    // TRUST-04: the CA certificates strictly between are counted, all of them.
    // openssl leaves out those whose subject is their issuer (RFC 5280 section
    // 6.1.4 l), which only CAs that change their key have.
    ("a path length that a self-issued CA exceeds", Reason::PathLength, |case| {
        case.chain.iter().skip(1).rev().skip(1).any(|shape| shape.subject == shape.issuer)
    }),
];

fn is_authority(shape: &Shape) -> bool {
    shape.subject > 0
}

fn each(case: &mut Case, change: impl Fn(&mut Shape)) {
    case.chain.iter_mut().chain(&mut case.sent).chain(&mut case.anchors).for_each(change);
}

fn each_first(case: &mut Case, change: impl Fn(&mut Shape)) {
    each(case, |shape| {
        if !is_authority(shape) {
            change(shape)
        }
    });
}

fn has_namesake(case: &Case, shape: &Shape) -> bool {
    let all = case.chain[1..].iter().chain(&case.sent).chain(&case.anchors);
    all.into_iter().any(|other| other.subject == shape.subject && other != shape)
}

fn has_namesakes(case: &Case) -> bool {
    case.chain[1..].iter().chain(&case.sent).chain(&case.anchors).any(|shape| has_namesake(case, shape))
}

/// The case without one of several certificates of one name.
fn without_a_namesake(case: &Case) -> Vec<Case> {
    let has_namesake = |shape: &Shape| has_namesake(case, shape);
    let sent = (0..case.sent.len()).filter(|at| has_namesake(&case.sent[*at])).map(|at| {
        let mut fewer = case.clone();
        fewer.sent.remove(at);
        fewer
    });
    let anchors = (0..case.anchors.len()).filter(|at| case.anchors.len() > 1 && has_namesake(&case.anchors[*at]));
    let anchors = anchors.map(|at| {
        let mut fewer = case.clone();
        fewer.anchors.remove(at);
        fewer
    });
    sent.chain(anchors).collect()
}

/// openssl and we, with one set of keys.
struct Judges {
    shop: Workshop,
    forge: Forge,
}

impl Judges {
    fn both(&self, case: &Case) -> (Ours, Theirs) {
        let mut minted = Minted { forge: &self.forge, made: Vec::new() };
        (ours(&mut minted, case), theirs(&self.shop, &mut minted, case))
    }

    fn agree(&self, case: &Case) -> bool {
        self.both(case) == (Ok(()), Ok(()))
    }

    /// The rows of the tables that explain why we accept.
    fn why_we_accept(&self, case: &Case) -> Vec<&'static str> {
        let mut changed = case.clone();
        let mut rows = Vec::new();
        for (row, change) in WE_ACCEPT {
            let before = changed.clone();
            change(&mut changed);
            let is_needed =
                changed.chain != before.chain || changed.sent != before.sent || changed.anchors != before.anchors;
            rows.extend(is_needed.then_some(*row));
        }
        if self.agree(&changed) {
            return rows;
        }
        let mut identified = changed.clone();
        each(&mut identified, |shape| {
            (shape.identifies, shape.authority) = (true, Some(shape.signer));
            // Version 1 has no room for it.
            if is_authority(shape) && shape.version == 1 {
                (shape.version, shape.constraints) = (3, Constraints::Ca(None));
            }
        });
        let mut variants = without_a_namesake(&changed);
        variants.extend(without_a_namesake(&identified));
        variants.push(identified);
        let is_found = has_namesakes(case) && variants.iter().any(|variant| self.agree(variant));
        if is_found { [rows, vec![NAMESAKES]].concat() } else { Vec::new() }
    }
}

/// Judges cases by both; answers how often each row explained something.
fn compare(cases: std::ops::Range<u64>) -> std::collections::BTreeMap<&'static str, usize> {
    let judges = Judges { shop: Workshop::new(), forge: Forge::new(KEYS) };
    let mut counts = std::collections::BTreeMap::new();
    for number in cases {
        let case = case(number);
        let (ours, theirs) = judges.both(&case);
        let rows: Vec<&'static str> = match (&ours, &theirs) {
            (Ok(()), Ok(())) => vec!["both accept"],
            (Err(_), Err(_)) => vec!["both refuse"],
            (Ok(()), Err(_)) => judges.why_we_accept(&case),
            (Err(reason), Ok(())) => {
                let row = WE_REFUSE.iter().find(|(_, known, applies)| known == reason && applies(&case));
                row.map(|(row, ..)| *row).into_iter().collect()
            }
        };
        assert!(
            !rows.is_empty(),
            "case {number}: we say {ours:?}, openssl says {theirs:?}, no row says why: {case:#?}"
        );
        rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
    }
    counts
}

/// TRUST-04 to TRUST-08
#[test]
fn openssl_agrees_with_every_verdict_or_the_table_says_why_not() {
    let counts = compare(0..300);
    assert!(counts["both accept"] > 80 && counts["both refuse"] > 80, "{counts:?}");
}

/// By name: `cargo test --test ca -- --ignored thousands`.
#[test]
#[ignore = "minutes of openssl"]
fn openssl_agrees_over_thousands_of_chains_and_every_row_occurs() {
    let counts = compare(0..6_000);
    println!("{counts:#?}");
    let rows = WE_ACCEPT.iter().map(|row| row.0).chain(WE_REFUSE.iter().map(|row| row.0)).chain([NAMESAKES]);
    let unused: Vec<&str> = rows.filter(|row| !counts.contains_key(row)).collect();
    assert!(unused.is_empty(), "these rows of the table explain nothing: {unused:?}");
}
