//! Grants of the operator, and the notices of their end.

use super::*;
use crate::store::{Batch, Op, Row, Table};

#[tokio::test]
async fn a_grant_is_a_certificate_and_an_account_and_a_renewal_keeps_the_account() {
    let house = house();
    let company = |cn| {
        request(&[
            (DnType::OrganizationName, "ACME SA"),
            (DnType::CommonName, cn),
            (DnType::CustomDnType(EMAIL.to_vec()), "ops@acme.example"),
        ])
    };
    assert_eq!(house.authority.hand_in(&company("mc")).await.unwrap_err().field, Some("CN"), "not of Centiloc");
    let first = house.authority.hand_in(&company("cent")).await.unwrap();
    let grant = house.authority.approve(&broker(), &first.id, "$argon2id$one".into()).await.unwrap();
    assert!(grant.is_new && grant.account.name == "cent-um-1" && grant.certificate.common_name == "cent");
    let twice = house.authority.approve(&broker(), &first.id, "$argon2id$two".into()).await.unwrap_err();
    assert_eq!(twice.kind, Kind::WrongState);
    let second = house.authority.hand_in(&company("cent")).await.unwrap();
    let renewed = house.authority.approve(&broker(), &second.id, "$argon2id$two".into()).await.unwrap();
    assert!(!renewed.is_new && renewed.account.hash == "$argon2id$one");
    // What an earlier version has kept has no index of who holds what.
    let rows = house.store.scan(Table::IssuedCertificates, b"g", None, 100).unwrap();
    assert_eq!(rows.len(), 2, "one holder, and the row that says that these are all");
    let gone = |row: Row| Op::Delete { table: Table::IssuedCertificates, key: row.key };
    house.store.append(Batch { ops: rows.into_iter().map(gone).collect() }).unwrap();
    let other = request(&[
        (DnType::OrganizationName, "Other SA"),
        (DnType::CommonName, "cent"),
        (DnType::CustomDnType(EMAIL.to_vec()), "ops@acme.example"),
    ]);
    let other = house.authority.hand_in(&other).await.unwrap();
    let other = house.authority.approve(&broker(), &other.id, "$argon2id$3".into()).await.unwrap();
    assert!(other.is_new, "another company is another holder");
    let again = house.authority.hand_in(&company("cent")).await.unwrap();
    let again = house.authority.approve(&broker(), &again.id, "$argon2id$4".into()).await.unwrap();
    assert!(
        !again.is_new && again.account.name == "cent-um-1" && again.account.grant.len() == 3,
        "{:?}",
        again.account
    );
    house.authority.revoke_certificate(&broker(), "cent", &grant.certificate.id, "superseded").await.unwrap();
    let last = house.authority.hand_in(&company("cent")).await.unwrap();
    let last = house.authority.approve(&broker(), &last.id, "$argon2id$5".into()).await.unwrap();
    assert_eq!(last.account.grant.len(), 3, "one that was taken back is of no more use");
    let third = house.authority.hand_in(&company("cent")).await.unwrap();
    house.authority.reject(&broker(), &third.id, "not you").await.unwrap();
    let notices = house.authority.notices(&broker(), Some("cent")).unwrap();
    assert!(notices.len() >= 2 && notices[0].to == "ops@acme.example", "{notices:?}");
}

#[tokio::test]
async fn notices_of_an_end_come_once_each_and_none_is_made_up_for() {
    let house = house();
    let csr = request(&[
        (DnType::OrganizationName, "ACME SA"),
        (DnType::CommonName, "cent"),
        (DnType::CustomDnType(EMAIL.to_vec()), "ops@acme.example"),
    ]);
    let id = house.authority.hand_in(&csr).await.unwrap().id;
    house.authority.approve(&broker(), &id, "$argon2id$one".into()).await.unwrap();
    let mut told = Vec::new();
    for day in [300, 335, 336, 351, 358, 364, 365, 366] {
        house.authority.clock().shift_to(day * 86_400 + 60);
        let due = house.authority.due_notices().unwrap();
        told.push(due.len());
        for notice in due {
            house.authority.write_notice(notice).await.unwrap();
        }
    }
    assert_eq!(told, [0, 1, 0, 1, 1, 1, 1, 0]);
    house.authority.clock().shift_to(0);
}
