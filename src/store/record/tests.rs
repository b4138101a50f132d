//! What is written is read back; what was changed on the way is noticed.

use std::sync::Arc;

use ::bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::mqtt::{MessageId, Qos, TopicFilter};
use crate::store::intervals::Intervals;
use crate::store::{Batch, Op, QueueEntry, SessionUid, StoredMessage, Table};

fn qos() -> impl Strategy<Value = Qos> {
    prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn message() -> impl Strategy<Value = StoredMessage> {
    let id = (any::<u64>(), any::<u32>(), any::<u64>());
    let bytes = || vec(any::<u8>(), 0..20);
    (id, "[a-z/é]{1,9}", bytes(), bytes(), qos(), any::<Option<u64>>()).prop_map(
        |((publisher, epoch, counter), topic, properties, payload, qos, expires_at)| StoredMessage {
            id: MessageId { publisher, epoch, counter },
            topic: topic.into(),
            properties: properties.into(),
            payload: Bytes::from(payload),
            qos,
            expires_at,
        },
    )
}

fn intervals() -> impl Strategy<Value = Intervals> {
    vec((any::<u64>(), 0..9_u64), 0..6).prop_map(|ranges| {
        let mut all = Intervals::default();
        ranges.into_iter().for_each(|(start, more)| all.insert_range(start..start.saturating_add(more)));
        all
    })
}

fn head() -> impl Strategy<Value = Head> {
    let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, intervals(), intervals(), intervals()).prop_map(
        |((epoch, wanted, unused, lowest_run, entries, weight), finished, released, inbound)| Head {
            epoch,
            wanted,
            unused,
            lowest_run,
            entries,
            weight,
            finished,
            released,
            inbound,
        },
    )
}

fn run() -> impl Strategy<Value = Run> {
    let body = prop_oneof![
        any::<(u64, u64)>().prop_map(|(body, weight)| Body::Apart { body, weight }),
        message().prop_map(|message| Body::Here(Arc::new(message))),
    ];
    let entry = (qos(), any::<bool>(), vec(any::<u32>(), 0..3), group(), body);
    let entry = entry.prop_map(|(qos, retain, ids, group, body)| RunEntry {
        qos,
        retain,
        subscription_ids: ids.into(),
        group,
        body,
    });
    vec(entry, 0..6).prop_map(|entries| Run { entries })
}

fn group() -> impl Strategy<Value = Option<TopicFilter>> {
    prop::option::of(prop::sample::select(vec!["$share/g/t", "$share/other/a/+/#"]))
        .prop_map(|group| group.map(|group| TopicFilter::new(group).unwrap()))
}

fn op() -> impl Strategy<Value = Op> {
    let session = || (0..3_u64).prop_map(SessionUid);
    let table = || prop::sample::select(Table::ALL.to_vec());
    let bytes = || vec(any::<u8>(), 0..9);
    prop_oneof![
        4 => (session(), 0..20_u64, qos(), any::<bool>(), vec(any::<u32>(), 0..3), group(), message()).prop_map(
            |(session, seq, qos, retain, ids, group, message)| {
                let (subscription_ids, message) = (ids.into(), Arc::new(message));
                Op::Enqueue { session, entry: QueueEntry { seq, qos, retain, subscription_ids, group, message } }
            }
        ),
        1 => (session(), 0..9_u64, vec(any::<u64>(), 0..4)).prop_map(|(session, up_to, sparse)| Op::Advance { session, up_to, sparse }),
        1 => (session(), any::<u64>()).prop_map(|(session, seq)| Op::Released { session, seq }),
        1 => (session(), any::<u16>(), any::<bool>())
            .prop_map(|(session, packet_id, held)| Op::SetInbound { session, packet_id, held }),
        1 => session().prop_map(|session| Op::DropSession { session }),
        1 => (table(), bytes(), bytes()).prop_map(|(table, key, value)| Op::Put { table, key, value }),
        1 => (table(), bytes()).prop_map(|(table, key)| Op::Delete { table, key }),
    ]
}

fn read_group(payload: &[u8]) -> Result<Vec<Batch>, Malformed> {
    let (mut reader, mut batches) = (GroupReader::new(payload)?, Vec::new());
    while let Some(batch) = reader.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

/// What a group leaves out: entries that it finishes itself.
fn without_finished(batches: &[Arc<Batch>]) -> Vec<Batch> {
    let all: Vec<&Op> = batches.iter().flat_map(|batch| &batch.ops).collect();
    let ends = |owner: SessionUid, seq: u64| {
        all.iter().any(|op| match op {
            Op::Advance { session, up_to, sparse } => *session == owner && (seq < *up_to || sparse.contains(&seq)),
            Op::DropSession { session } => *session == owner,
            _ => false,
        })
    };
    let stays = |op: &&Op| !matches!(op, Op::Enqueue { session, entry } if ends(*session, entry.seq));
    batches.iter().map(|batch| Batch { ops: batch.ops.iter().filter(stays).cloned().collect() }).collect()
}

proptest! {
    #[test]
    fn a_group_is_read_back_without_what_it_finished(groups in vec(vec(op(), 0..8), 0..6)) {
        let batches: Vec<_> = groups.into_iter().map(|ops| Arc::new(Batch { ops })).collect();
        let mut payload = Vec::new();
        let left_out = write_group(&mut payload, &batches);
        let expected = without_finished(&batches);
        let count = |batches: &[Batch]| batches.iter().map(|batch| batch.ops.len() as u64).sum::<u64>();
        let all: u64 = batches.iter().map(|batch| batch.ops.len() as u64).sum();
        prop_assert_eq!(left_out, all - count(&expected));
        prop_assert_eq!(read_group(&payload), Ok(expected));
    }

    #[test]
    fn heads_and_runs_are_read_back(head in head(), run in run(), key in vec(any::<u8>(), 0..9), epoch in any::<u32>()) {
        prop_assert_eq!(Head::from_bytes(&key, &head.to_bytes(&key)), Ok(head));
        let value = run.to_bytes(&key, epoch);
        prop_assert_eq!(Outline::of(&key, &value), Ok(run.outline()));
        prop_assert_eq!(Run::from_bytes(&key, &value), Ok(run));
    }

    #[test]
    fn any_changed_byte_is_noticed(run in run(), at in any::<prop::sample::Index>(), change in 1..=255_u8, cut in any::<prop::sample::Index>()) {
        let key = b"key";
        let mut value = run.to_bytes(key, 1);
        prop_assert_eq!(Run::from_bytes(b"kez", &value), Err(Malformed::Checksum));
        let short = value.get(..cut.index(value.len())).unwrap();
        prop_assert!(Run::from_bytes(key, short).is_err());
        let at = at.index(value.len());
        *value.get_mut(at).unwrap() ^= change;
        prop_assert_eq!(Run::from_bytes(key, &value), Err(Malformed::Checksum));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(noise in vec(any::<u8>(), 0..120)) {
        let key = b"";
        // With a checksum that fits, so that the readers behind it are reached.
        let value = sealed(key, |into| into.extend(&noise));
        let _ = (Run::from_bytes(key, &value), Head::from_bytes(key, &value), read_group(&noise));
    }

    #[test]
    fn numbers_are_read_back(value in any::<u64>()) {
        let mut written = Vec::new();
        number(&mut written, value);
        let mut from = Decoder::new(&written);
        prop_assert_eq!(from.number(), Ok(value));
        prop_assert_eq!(from.end(), Ok(()));
    }
}

#[test]
fn a_number_of_too_many_bits_is_refused() {
    for bytes in [[0xff; 11].as_slice(), &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]] {
        assert_eq!(Decoder::new(bytes).number(), Err(Malformed::Field("number")));
    }
}

#[test]
fn a_message_of_many_recipients_is_written_once() {
    let payload = Bytes::from(vec![7; 10_000]);
    let id = MessageId { publisher: 1, epoch: 1, counter: 1 };
    let message = StoredMessage {
        id,
        topic: "t".into(),
        properties: Box::default(),
        payload,
        qos: Qos::AtLeastOnce,
        expires_at: None,
    };
    let message = Arc::new(message);
    let entry = |seq| QueueEntry {
        seq,
        qos: Qos::AtLeastOnce,
        retain: false,
        subscription_ids: Box::default(),
        group: None,
        message: Arc::clone(&message),
    };
    let ops = (0..1000).map(|session| Op::Enqueue { session: SessionUid(session), entry: entry(5) }).collect();
    let mut payload = Vec::new();
    assert_eq!(write_group(&mut payload, &[Arc::new(Batch { ops })]), 0);
    assert!(payload.len() < 10_000 + 1000 * 8, "{} bytes", payload.len());
}

#[test]
fn a_newer_record_says_which_version_it_is() {
    let mut value = vec![VERSION + 1, 9];
    let sum = checksum(b"k", &value).to_le_bytes();
    value.extend(sum);
    assert_eq!(Head::from_bytes(b"k", &value), Err(Malformed::Newer(VERSION + 1)));
}
