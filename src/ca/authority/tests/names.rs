//! Certificates found by their CN.

use super::*;
use crate::ca::record::{NamedCertificate, Record};
use crate::store::{Batch, Op, Table};

const TABLE: Table = Table::IssuedCertificates;

async fn house_of(names: &[&str]) -> House {
    let house = house();
    let key = crate::ca::keypair::PrivateKey::generate(crate::ca::keypair::KeyType::P256).unwrap();
    for name in names {
        house.authority.issue_certificate(&broker(), "open", name, key.public_key()).await.unwrap();
    }
    house
}

/// The names of all certificates of one CN, asked for one by one.
fn ids(house: &House, name: &str) -> Result<Vec<String>, Fault> {
    let filter = CertificateFilter { common_name: Some(name.into()), ..CertificateFilter::default() };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (rows, next) = house.authority.certificates(&broker(), "open", &filter, after.as_deref(), 1)?;
        assert!(rows.iter().all(|row| row.common_name == name && row.tenant == "open"));
        all.extend(rows.into_iter().map(|row| row.id));
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Only who reads all certificates meets it.
fn damage_one(house: &House, name: &str) {
    let id = ids(house, name).unwrap().remove(0);
    let key = CertificateRow::key_of(&["open", &id]);
    house.store.append(Batch { ops: vec![Op::Put { table: TABLE, key, value: vec![1] }] }).unwrap();
}

/// What an earlier version has kept.
fn forget_index(house: &House) {
    let rows = house.store.scan(TABLE, &[NamedCertificate::KIND], None, 1000).unwrap();
    assert!(!rows.is_empty());
    let ops = rows.into_iter().map(|row| Op::Delete { table: TABLE, key: row.key }).collect();
    house.store.append(Batch { ops }).unwrap();
}

#[tokio::test]
async fn a_question_for_one_name_reads_no_certificate_of_another() {
    let house = house_of(&["a", "b", "a", "ab", "a"]).await;
    assert_eq!(house.authority.index_certificates().unwrap(), 5, "they were there before the index was whole");
    let mine = ids(&house, "a").unwrap();
    assert_eq!(mine.len(), 3);
    assert!(mine.is_sorted(), "the oldest first: {mine:?}");
    damage_one(&house, "b");
    assert_eq!(ids(&house, "a").unwrap(), mine);
    assert!(ids(&house, "b").is_err() && ids(&house, "nobody").unwrap().is_empty());
    house.authority.revoke_certificate(&broker(), "open", &mine[1], "unspecified").await.unwrap();
    assert_eq!(ids(&house, "a").unwrap(), [&mine[0], &mine[2]].map(String::clone));
}

#[tokio::test]
async fn certificates_of_an_earlier_version_are_found_before_and_after_they_are_indexed() {
    let house = house_of(&["a", "b", "a"]).await;
    forget_index(&house);
    let mine = ids(&house, "a").unwrap();
    assert_eq!(mine.len(), 2, "without an index all are looked through");
    // One that is made before the index is whole.
    let key = crate::ca::keypair::PrivateKey::generate(crate::ca::keypair::KeyType::P256).unwrap();
    let (caller, made) = (broker(), RenewedKey::Made(key.public_key()));
    let new = house.authority.renew_certificate(&caller, "open", &mine[0], made, false).await.unwrap();
    // In the order of their names, which within a millisecond is by chance.
    let mut all = [&mine[..], std::slice::from_ref(&new.id)].concat();
    all.sort();
    assert_eq!(ids(&house, "a").unwrap(), all);
    assert_eq!(house.authority.index_certificates().unwrap(), 4);
    assert_eq!(house.authority.index_certificates().unwrap(), 0, "once is enough");
    damage_one(&house, "b");
    assert_eq!(ids(&house, "a").unwrap(), all);
}

#[tokio::test]
async fn an_index_that_cannot_be_completed_is_not_relied_on() {
    let house = house_of(&["a", "b"]).await;
    damage_one(&house, "b");
    assert!(house.authority.index_certificates().is_err(), "a damaged certificate has no name");
    assert!(ids(&house, "a").is_err(), "all are looked through still");
}
