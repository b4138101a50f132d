//! What is retained, seen by a newcomer.

use std::collections::BTreeMap;

use super::ledger::{Track, number};
use super::wire::{Hello, Link, Message, Packet, Trouble, broken};

/// Reads everything that is retained and compares it with what was sent. A
/// topic holds what was acknowledged last, or something that was sent later.
pub fn check<'a>(port: u16, tracks: impl Iterator<Item = &'a Track>) -> Result<(), Trouble> {
    let found = read(port)?;
    for track in tracks.filter(|track| track.retain) {
        let Track { topic, acknowledged, sent, .. } = track;
        let clears = topic.starts_with("c/");
        let good = match found.get(topic) {
            Some(number) => (*acknowledged..=*sent).contains(number) && !(clears && number % 2 == 0),
            // Nothing was there before the first message, and nothing is after one that clears.
            None => *acknowledged == 0 || clears && (*acknowledged..=*sent).any(|number| number % 2 == 0),
        };
        if !good {
            return broken(format!(
                "{topic}: {:?} is retained; {acknowledged} was acknowledged, {sent} was sent last",
                found.get(topic)
            ));
        }
    }
    Ok(())
}

fn read(port: u16) -> Result<BTreeMap<String, u64>, Trouble> {
    let (mut link, _) = Link::open(port, &Hello { id: "newcomer", v5: false, lasting: false, will: None })?;
    link.subscribe(&[("t/+/1-kept", 0), ("t/+/2-kept", 0), ("c/#", 0), ("newcomer", 0)]);
    // It joins the newcomer's queue behind all that is retained.
    let end = Message { topic: "newcomer".into(), payload: b"0".to_vec(), qos: 0, dup: false, retain: false, id: 0 };
    link.publish(&end);
    let mut found = BTreeMap::new();
    loop {
        match link.next()? {
            Packet::Publish(message) if message.topic == end.topic => break,
            Packet::Publish(Message { topic, payload, retain: true, .. }) => {
                let Some(number) = number(&payload) else { return broken(format!("{topic}: {payload:?} is retained")) };
                if found.insert(topic.clone(), number).is_some() {
                    return broken(format!("{topic} has two retained messages"));
                }
            }
            Packet::Suback(_) => {}
            other => return broken(format!("the newcomer got {other:?}")),
        }
    }
    link.disconnect();
    Ok(found)
}
