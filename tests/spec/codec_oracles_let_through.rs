//! Malformed packets that the witnesses let through: why the codec is ours.
//!
//! What lives here: a row per breach, marked `m` when mqttbytes 0.6 takes it,
//! `r` when rumqttc 0.25 does, and `c` when the codec of rmqtt 0.3 does. What
//! does not: what they do right. Invariant: we refuse every row; a witness
//! that has learnt fails the test, and its mark goes.

use crate::codec::{from_client, packet};
use crate::codec_oracles::WITNESSES;
use certus::mqtt::Version;

use Version::{V4, V5};

const ROWS: &[(Version, u8, &str, &str)] = &[
    (V4, 0x38, "'a'", "mrc"),
    (V5, 0x38, "'a' 00", "mrc"),
    (V4, 0x30, "'a/+'", "mrc"),
    (V5, 0x30, "'a/#' 00", "mrc"),
    (V4, 0x30, "00 01 00", "mrc"),
    (V5, 0x30, "00 01 00 00", "mrc"),
    (V4, 0x30, "'' 61", "mr"),
    (V5, 0x30, "'' 00", "mrc"),
    (V4, 0x80, "00 01 'a' 00", "mr"),
    (V5, 0x80, "00 01 00 'a' 00", "mr"),
    (V4, 0xA0, "00 01 'a'", "mr"),
    (V5, 0xA0, "00 01 00 'a'", "mr"),
    (V4, 0x60, "00 01", "mr"),
    (V5, 0x60, "00 01", "mr"),
    (V4, 0x4F, "00 01", "mr"),
    (V5, 0x4F, "00 01", "mr"),
    (V4, 0xCF, "", "mr"),
    (V5, 0xCF, "", "mr"),
    (V4, 0x1F, "'MQTT' 04 02 00 3c 'a'", "mr"),
    (V5, 0x1F, "'MQTT' 05 02 00 3c 00 'a'", "mr"),
    (V4, 0xEF, "", "mr"),
    (V4, 0x82, "00 00 'a' 00", "mr"),
    (V5, 0x82, "00 00 00 'a' 00", "mr"),
    (V4, 0xA2, "00 00 'a'", "mr"),
    (V5, 0xA2, "00 00 00 'a'", "mr"),
    (V4, 0x40, "00 00", "mr"),
    (V5, 0x40, "00 00", "mr"),
    (V4, 0x82, "00 01", "m"),
    (V5, 0x82, "00 01 00", "m"),
    (V4, 0xA2, "00 01", "mr"),
    (V5, 0xA2, "00 01 00", "mr"),
    (V4, 0x82, "00 01 'a' 40", "mrc"),
    (V5, 0x82, "00 01 00 'a' 40", "mr"),
    (V4, 0x82, "00 01 'a/#/b' 00", "mrc"),
    (V5, 0x82, "00 01 00 'a/#/b' 00", "mrc"),
    (V4, 0x82, "00 01 '' 00", "mr"),
    (V4, 0x82, "00 01 00 01 00 00", "mrc"),
    (V4, 0x10, "'MQTT' 04 03 00 3c 'a'", "mr"),
    (V5, 0x10, "'MQTT' 05 03 00 3c 00 'a'", "mr"),
    (V4, 0x10, "'MQTT' 04 42 00 3c 'a' 'p'", "mrc"),
    (V4, 0x10, "'MQTT' 04 02 00 3c 'a' 00", "mrc"),
    (V5, 0x10, "'MQTT' 05 02 00 3c 00 'a' 00", "mrc"),
    (V4, 0x10, "'MQTT' 04 02 00 3c 00 01 00", "mrc"),
    (V4, 0x10, "'MQTT' 04 06 00 3c 'a' 'w/#' 'p'", "mrc"),
    (V5, 0x10, "'MQTT' 05 06 00 3c 00 'a' 00 'w/#' 'p'", "mrc"),
    (V4, 0xC0, "00", "mrc"),
    (V5, 0xC0, "00", "mrc"),
    (V4, 0x40, "00 01 00", "mr"),
    (V5, 0x40, "00 01 00 00 00", "mr"),
    (V4, 0xE0, "00", "mrc"),
    (V5, 0x30, "'a' 04 01 00 01 00", "mr"),
    (V5, 0x10, "'MQTT' 05 02 00 3c 03 21 00 00 'a'", "mr"),
    (V5, 0x82, "00 01 02 0b 00 'a' 00", "mr"),
    (V5, 0x30, "'a' 03 23 00 00", "mr"),
    (V5, 0x30, "'a' 02 01 02", "mr"),
    (V5, 0x30, "'a' 02 0b 01", "mrc"),
    (V5, 0x30, "'a' 06 08 'r/+'", "mrc"),
    (V5, 0x82, "00 01 00 '$share/g/a' 04", "mrc"),
    (V5, 0x30, "'a' 80 00", "mrc"),
];

/// [MQTT-2.1.3-1] [MQTT-2.2.1-3] [MQTT-3.1.2-3] [MQTT-3.3.1-2] [MQTT-3.3.2-2]
/// [MQTT-3.3.2-8] [MQTT-3.3.2-14] [MQTT-3.3.4-6] [MQTT-3.8.3-2] [MQTT-3.8.3-4]
/// [MQTT-3.8.3-5] [MQTT-3.10.3-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2]
#[test]
fn what_others_let_through_is_refused() {
    for (version, first, body, marks) in ROWS {
        let input = packet(*first, body);
        let mut taken = String::new();
        for (name, _, witness) in WITNESSES.iter().filter(|witness| witness.1 == *version) {
            if witness(&input).is_ok() {
                taken.push_str(&name[..1]);
            }
        }
        assert_eq!(taken, *marks, "{version} {first:#04x} {body}");
        assert!(from_client(*version, input).is_err(), "{version} {first:#04x} {body}");
    }
}
