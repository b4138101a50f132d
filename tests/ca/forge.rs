//! Certificates of every shape, right and wrong.
//!
//! What lives here: a certificate built from a description of it, which may
//! say anything. What does not: who believes it. Invariant: nothing of the
//! product takes part, so that it is not judged by itself.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use time::OffsetDateTime;

/// basicConstraints
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constraints {
    Absent,
    Leaf,
    Ca(Option<u8>),
}

/// keyUsage
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Absent,
    /// keyCertSign, cRLSign
    Certify,
    /// digitalSignature
    Sign,
    /// keyEncipherment
    Encipher,
}

/// extendedKeyUsage
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Absent,
    Client,
    Server,
    Any,
}

/// A certificate as it should be. Names and keys are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub version: u8,
    pub serial: u32,
    pub subject: u8,
    pub key: usize,
    pub issuer: u8,
    /// The key that signs.
    pub signer: usize,
    pub not_before: i64,
    pub not_after: i64,
    pub constraints: Constraints,
    pub usage: Usage,
    pub purpose: Purpose,
    /// The key whose identifier stands for the issuer's.
    pub authority: Option<usize>,
    /// Whether it says the identifier of its own key.
    pub identifies: bool,
    /// A critical extension that nobody knows.
    pub riddle: bool,
}

/// The keys that certificates are made with.
pub struct Forge(Vec<EcdsaKeyPair>);

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..128 => vec![tag, u8::try_from(length).unwrap()],
        128..256 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 255).unwrap()],
    };
    [head, content.to_vec()].concat()
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// `CN=name 3`
fn name(number: u8) -> Vec<u8> {
    let text = element(0x0C, format!("name {number}").as_bytes());
    sequence(&[element(0x31, &sequence(&[element(6, &[0x55, 4, 3]), text]))])
}

fn date(seconds: i64) -> Vec<u8> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let (month, day) = (u8::from(at.month()), at.day());
    let text = format!("{:02}{month:02}{day:02}{:02}{:02}{:02}Z", at.year() % 100, at.hour(), at.minute(), at.second());
    element(0x17, text.as_bytes())
}

fn extension(oid: &[u8], critical: bool, value: Vec<u8>) -> Vec<u8> {
    let critical = if critical { vec![1, 1, 0xFF] } else { Vec::new() };
    sequence(&[element(6, oid), critical, element(4, &value)])
}

/// ecdsa-with-SHA256
const ALGORITHM: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

impl Forge {
    pub fn new(keys: usize) -> Self {
        Self((0..keys).map(|_| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()).collect())
    }

    /// The certificate, DER.
    pub fn make(&self, shape: &Shape) -> Vec<u8> {
        let unsigned = self.unsigned(shape);
        let signature = self.0[shape.signer].sign(&SystemRandom::new(), &unsigned).unwrap();
        let bits = element(3, &[&[0], signature.as_ref()].concat());
        sequence(&[unsigned, ALGORITHM.to_vec(), bits])
    }

    fn unsigned(&self, shape: &Shape) -> Vec<u8> {
        let public_key = self.0[shape.key].public_key().as_der().unwrap().as_ref().to_vec();
        let mut parts = vec![
            element(2, &[&[0x10], shape.serial.to_be_bytes().as_slice()].concat()),
            ALGORITHM.to_vec(),
            name(shape.issuer),
            sequence(&[date(shape.not_before), date(shape.not_after)]),
            name(shape.subject),
            public_key,
        ];
        if shape.version == 3 {
            parts.insert(0, element(0xA0, &element(2, &[2])));
            let extensions = Self::extensions(shape);
            if !extensions.is_empty() {
                parts.push(element(0xA3, &sequence(&extensions)));
            }
        }
        sequence(&parts)
    }

    fn extensions(shape: &Shape) -> Vec<Vec<u8>> {
        let identifier = |key: usize| vec![u8::try_from(key).unwrap(); 20];
        let mut extensions = Vec::new();
        match shape.constraints {
            Constraints::Absent => {}
            Constraints::Leaf => extensions.push(extension(&[0x55, 29, 19], true, sequence(&[]))),
            Constraints::Ca(limit) => {
                let limit = limit.map(|limit| element(2, &[limit])).unwrap_or_default();
                extensions.push(extension(&[0x55, 29, 19], true, sequence(&[vec![1, 1, 0xFF], limit])));
            }
        }
        let usage: Option<&[u8]> = match shape.usage {
            Usage::Absent => None,
            Usage::Certify => Some(&[1, 0x06]),
            Usage::Sign => Some(&[7, 0x80]),
            Usage::Encipher => Some(&[5, 0x20]),
        };
        extensions.extend(usage.map(|bits| extension(&[0x55, 29, 15], true, element(3, bits))));
        let purpose: Option<&[u8]> = match shape.purpose {
            Purpose::Absent => None,
            Purpose::Server => Some(&[0x2B, 6, 1, 5, 5, 7, 3, 1]),
            Purpose::Client => Some(&[0x2B, 6, 1, 5, 5, 7, 3, 2]),
            Purpose::Any => Some(&[0x55, 29, 37, 0]),
        };
        extensions.extend(purpose.map(|oid| extension(&[0x55, 29, 37], false, sequence(&[element(6, oid)]))));
        if shape.identifies {
            extensions.push(extension(&[0x55, 29, 14], false, element(4, &identifier(shape.key))));
        }
        if let Some(key) = shape.authority {
            extensions.push(extension(&[0x55, 29, 35], false, sequence(&[element(0x80, &identifier(key))])));
        }
        if shape.riddle {
            extensions.push(extension(&[0x2A, 3, 4, 5], true, element(5, &[])));
        }
        extensions
    }
}
