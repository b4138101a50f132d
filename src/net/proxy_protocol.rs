//! Where a client really is, as a load balancer tells: PROXY protocol 2.
//!
//! What lives here: the header, and the networks that it is read from. What
//! does not: the limits and logs in which the address is used. Invariant: a
//! header is read from listed sources only, where it must be there; not a byte
//! behind it is taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const HEAD: usize = 16;
/// Bytes behind the head at most: addresses take 36, and what else a balancer
/// may tell is not used.
const LONGEST: usize = 4096;

/// A network, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network")]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    /// An address, alone or with the length of its prefix.
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let no = || NoNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| no())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest { Err(no()) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, length) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => (u128::from(ours.to_bits() ^ other.to_bits()), 32),
            (IpAddr::V6(ours), IpAddr::V6(other)) => (ours.to_bits() ^ other.to_bits(), 128),
            _ => return false,
        };
        bits.checked_shr(length - u32::from(self.prefix)).unwrap_or(0) == 0
    }
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The source ended the stream before its first byte, as checks of health
    /// do.
    #[error("the source closed the stream")]
    Closed,
    /// The stream failed, or ended inside the header.
    #[error("the PROXY header is not complete: {0}")]
    Io(#[from] io::Error),
    /// Something else came.
    #[error("a listed source sent no PROXY header of version 2")]
    Missing,
    /// `PROXY TCP4 …`
    #[error("a PROXY header of version 1; version 2 is read")]
    Version1,
    /// Version or command.
    #[error("the PROXY header has version and command {0:#04x}; 0x20 and 0x21 are known")]
    Command(u8),
    /// Family or transport.
    #[error("the PROXY header names family and transport {0:#04x}; only TCP over IPv4 and IPv6 is served")]
    Family(u8),
    /// The length is not good for the family, or too great.
    #[error("the PROXY header says that {0} bytes follow")]
    Length(usize),
}

/// What a head says about the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The balancer speaks for itself, or does not know for whom.
    Nothing,
    V4,
    V6,
}

/// Reads a header from `stream`; `None` when the source speaks for itself.
pub(super) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, HeaderError> {
    let mut head = [0; HEAD];
    let (first, rest) = head.split_at_mut(1);
    if stream.read(first).await? == 0 {
        return Err(HeaderError::Closed);
    }
    match first {
        // What is no header may be shorter than one: it is not waited for.
        [b'\r'] => {}
        [b'P'] => return Err(HeaderError::Version1),
        _ => return Err(HeaderError::Missing),
    }
    stream.read_exact(rest).await?;
    let (told, length) = read_head(head)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    address(told, &body).ok_or(HeaderError::Length(length))
}

fn read_head(head: [u8; HEAD]) -> Result<(Told, usize), HeaderError> {
    let [signature @ .., command, family, high, low] = head;
    if signature != SIGNATURE {
        return Err(HeaderError::Missing);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let told = match (command, family) {
        // LOCAL: whatever the rest says, it is not used.
        (0x20, _) | (0x21, 0) => Told::Nothing,
        (0x21, 0x11) => Told::V4,
        (0x21, 0x21) => Told::V6,
        (0x21, _) => return Err(HeaderError::Family(family)),
        _ => return Err(HeaderError::Command(command)),
    };
    if length > LONGEST { Err(HeaderError::Length(length)) } else { Ok((told, length)) }
}

/// The client's address in `body`; nothing when it is too short for one.
#[allow(clippy::option_option)]
fn address(told: Told, body: &[u8]) -> Option<Option<SocketAddr>> {
    let ports = |ports: &[u8]| match *ports {
        [high, low, _, _] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    };
    let (ip, port) = match told {
        Told::Nothing => return Some(None),
        Told::V4 => {
            let (source, rest) = body.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*source)), ports(rest.get(4..8)?)?)
        }
        Told::V6 => {
            let (source, rest) = body.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*source)).to_canonical(), ports(rest.get(16..20)?)?)
        }
    };
    Some(Some(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn body(source: SocketAddr, tlv: &[u8]) -> (u8, Vec<u8>) {
        let ports = [&source.port().to_be_bytes()[..], &8883_u16.to_be_bytes()].concat();
        match source.ip() {
            IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[10, 0, 0, 1], &ports, tlv].concat()),
            IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[0; 16], &ports, tlv].concat()),
        }
    }

    /// What is made of `bytes`, and how many of them are left.
    fn received(mut bytes: &[u8]) -> (Result<Option<SocketAddr>, String>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(receive(&mut bytes)).map_err(|error| error.to_string());
        (result, bytes.len())
    }

    fn refused(bytes: &[u8]) -> String {
        received(bytes).0.unwrap_err()
    }

    #[test]
    fn the_balancer_may_speak_for_itself() {
        let local = header(0x20, 0x11, &[1; 12]);
        assert_eq!(received(&local), (Ok(None), 0));
        assert_eq!(received(&header(0x20, 0, &[])).0, Ok(None));
        assert_eq!(received(&header(0x21, 0, &[9; 40])).0, Ok(None));
    }

    #[test]
    fn what_is_no_good_header_is_refused_by_name() {
        let good = header(0x21, 0x11, &[1; 12]);
        assert!(refused(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").contains("version 1"));
        assert!(refused(b"\x16\x03\x01").contains("no PROXY header"));
        assert!(refused(b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c").contains("no PROXY header"));
        assert!(refused(&header(0x22, 0x11, &[1; 12])).contains("0x22"));
        assert!(refused(&header(0x21, 0x12, &[1; 12])).contains("0x12"));
        assert!(refused(&header(0x21, 0x31, &[1; 216])).contains("0x31"));
        assert!(refused(&header(0x21, 0x11, &[1; 11])).contains("11 bytes"));
        assert!(refused(&header(0x21, 0x21, &[1; 35])).contains("35 bytes"));
        assert!(refused(&header(0x21, 0x11, &[1; LONGEST + 1])).contains("4097 bytes"));
        assert!(refused(&good[..good.len() - 1]).contains("not complete"));
        assert!(refused(&good[..7]).contains("not complete"));
        assert!(refused(b"").contains("closed"));
    }

    #[test]
    fn an_address_is_in_its_networks_only() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("fd00::1/128", "fd00::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "host", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_address_is_read_whatever_else_is_told_and_nothing_behind_it_is_taken(
            source in any::<SocketAddr>(),
            tlv in prop::collection::vec(any::<u8>(), 0..200),
            behind in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let (family, body) = body(source, &tlv);
            let bytes = [header(0x21, family, &body), behind.clone()].concat();
            let expected = SocketAddr::new(source.ip().to_canonical(), source.port());
            prop_assert_eq!(received(&bytes), (Ok(Some(expected)), behind.len()));
        }

        #[test]
        fn no_bytes_make_the_reading_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            command in any::<u8>(),
            family in prop::sample::select(vec![0, 0x11, 0x21, 0x12, 0x31, 0xff]),
        ) {
            let _ = received(&bytes);
            let _ = received(&header(command, family, &bytes));
            let _ = received(&[&SIGNATURE[..], &bytes].concat());
        }
    }
}
