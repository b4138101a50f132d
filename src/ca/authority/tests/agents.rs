//! Agents of MindConnect.

use super::*;

/// MC-AGT-06
#[tokio::test]
async fn agents_certificates_last_as_long_as_their_tenant_says() {
    let house = house();
    let key = crate::ca::keypair::PrivateKey::generate(crate::ca::keypair::KeyType::P256).unwrap();
    let days = async |tenant: &str, name: &str| {
        let new = NewAgent { name: name.into(), owner: None };
        let row = house.authority.create_agent(&broker(), tenant, new, key.public_key()).await.unwrap();
        (row.not_after - row.created_at + 1000) / 86_400_000
    };
    assert_eq!(days("mc", "usual").await, 365);
    let set = async |value: &str| house.authority.set_option(&broker(), "mc", "mc", "agent_cert_days", value).await;
    for bad in ["0", "3651", "a year", "-1"] {
        assert_eq!(set(bad).await.unwrap_err().field, Some("value"), "{bad}");
    }
    set("30").await.unwrap();
    assert_eq!((days("mc", "short").await, days("mc2", "other").await), (30, 365));
    house.authority.delete_option(&broker(), "mc", "mc", "agent_cert_days").await.unwrap();
    assert_eq!(house.authority.option(&broker(), "mc", "mc", "agent_cert_days").unwrap().value, "365");
    assert_eq!(days("mc", "usual-again").await, 365);
}
