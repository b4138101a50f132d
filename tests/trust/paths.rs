//! The order of the extra certificates never matters (TRUST-04).

use std::sync::OnceLock;

use certus::identity::reason::Reason;
use certus::identity::switch::Profile;
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;

use crate::pki::{chain, days_later, noon, snapshot, tenant, with};

/// Certificates of every kind, some of which lead somewhere.
const EXTRAS: &[&str] = &[
    "sub",
    "sub-cross",
    "sub-v1",
    "sub-noca",
    "sub-short",
    "b1",
    "c0",
    "d",
    "root",
    "root-other",
    "root-namesake",
    "self-ca",
    "eku-client",
    "root-pathlen2",
];
const LEAVES: &[&str] =
    &["below-sub", "below-short", "below-c", "below-d", "below-noca", "eku-client", "foreign", "namesake"];

fn extras() -> &'static [CertificateDer<'static>] {
    static ALL: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ALL.get_or_init(|| chain(EXTRAS))
}

fn outcome(leaf: &str, picked: &[usize], late: bool) -> Result<(), Reason> {
    let lab = with(tenant("lab", Profile::Open, &["root", "root-pathlen2"]), |switches| switches.max_anchors = 0);
    let mut sent = chain(&[leaf]);
    sent.extend(picked.iter().map(|index| extras()[*index].clone()));
    let at = if late { days_later(2) } else { noon() };
    let now = at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let judged = snapshot(&[lab]).judge(&sent, None, i64::try_from(now).unwrap());
    judged.map(|_| ()).map_err(|failure| failure.reason)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_does_not_depend_on_the_order_of_what_was_sent(
        leaf in prop::sample::select(LEAVES),
        picked in prop::sample::subsequence((0..EXTRAS.len()).collect::<Vec<_>>(), 0..9)
            .prop_flat_map(|picked| (Just(picked.clone()), Just(picked).prop_shuffle())),
        late in any::<bool>(),
    ) {
        let (one, other) = picked;
        prop_assert_eq!(outcome(leaf, &one, late), outcome(leaf, &other, late));
    }

    #[test]
    fn what_is_needed_is_found_among_whatever_else_was_sent(
        extra in prop::sample::subsequence((0..EXTRAS.len()).collect::<Vec<_>>(), 0..7).prop_shuffle(),
        place in any::<prop::sample::Index>(),
    ) {
        let mut picked: Vec<usize> = extra.into_iter().filter(|index| *index != 0).collect();
        picked.insert(place.index(picked.len() + 1), 0);
        prop_assert_eq!(outcome("below-sub", &picked, false), Ok(()));
    }

    /// SEC-03
    #[test]
    fn damaged_certificates_are_refused_without_a_panic(
        leaf in prop::sample::select(LEAVES),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let lab = snapshot(&[tenant("lab", Profile::Open, &["root"])]);
        let mut bytes = chain(&[leaf])[0].to_vec();
        let place = at.index(bytes.len());
        let changed = bytes[place] != byte;
        bytes[place] = byte;
        let judged = lab.judge(&[CertificateDer::from(bytes.clone())], None, 0);
        prop_assert!(!changed || judged.is_err());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(lab.judge(&[CertificateDer::from(bytes)], None, 0).is_err());
    }
}

/// Nine CAs of one name that all sign each other: without a bound the search
/// would walk through 9! paths.
#[test]
fn colliding_names_cost_a_bounded_number_of_signatures() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "twin");
    let twin = |serial: u64| {
        let mut parameters = parameters.clone();
        parameters.serial_number = Some(serial.into());
        parameters.self_signed(&key).unwrap().der().clone()
    };
    let sent: Vec<CertificateDer<'static>> = (1..=10).map(twin).collect();
    let lab = snapshot(&[tenant("lab", Profile::Open, &["root"])]);
    let judged = lab.judge(&sent, None, 0);
    assert_eq!(judged.map(|_| ()).map_err(|failure| failure.reason), Err(Reason::ChainTooComplex));
}
