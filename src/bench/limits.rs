//! What the system allows, compared with what a run needs.
//!
//! What lives here: open files of the generator and of the broker, and ports of one source. What does not:
//! bounds of our own. Invariant: what cannot be read is no obstacle.

use std::fs;

use super::args::Args;
use super::error::Error;
use super::process::Process;

/// Open files of the generator itself: standard streams, timers, certificates.
const OWN_FILES: u64 = 32;

/// Compares.
///
/// # Errors
/// The first bound that the run would meet, and how to move it.
pub fn check(args: &Args, own: Process, broker: Option<Process>, is_spread: bool) -> Result<(), Error> {
    let connections = args.connections() as u64;
    let needed = connections.saturating_add(OWN_FILES);
    if let Some(files) = own.open_files().filter(|&files| files < needed) {
        return Err(Error::Usage(format!(
            "{connections} connections at once need {needed} open files, this process may have {files}; raise it with `ulimit -n {needed}`, or ask for fewer"
        )));
    }
    if let Some(broker) = broker
        && let Some(files) = broker.open_files().filter(|&files| files < needed)
    {
        return Err(Error::Usage(format!(
            "{connections} connections at once need {needed} open files, the broker (process {}) may have {files}; start it with `ulimit -n {needed}` or LimitNOFILE={needed}",
            broker.0
        )));
    }
    let ports = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().and_then(|text| ports(&text));
    if let Some(ports) = ports.filter(|&ports| !is_spread && ports < connections) {
        return Err(Error::Usage(format!(
            "{connections} connections at once from one address need as many ports, the system lends {ports}; widen net.ipv4.ip_local_port_range, or ask for fewer"
        )));
    }
    Ok(())
}

/// How many ports a range such as `32768 60999` holds.
fn ports(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn refusal(line: &str, is_spread: bool) -> Option<String> {
        let args = Line::try_parse_from(std::iter::once("bench").chain(line.split(' '))).unwrap().args;
        let own = Process(std::process::id());
        check(&args, own, Some(own), is_spread).err().map(|error| error.to_string())
    }

    #[test]
    fn a_crowd_beyond_the_open_files_is_refused_with_the_remedy() {
        let text = refusal("idle --clients 18446744073709551615", true).unwrap();
        assert!(text.contains("open files") && text.contains("ulimit -n"), "{text}");
        assert_eq!(refusal("connect --clients 100000000", true), None, "a storm holds only so many at once");
        assert_eq!(refusal("pairs", true), None);
    }

    #[test]
    fn a_range_of_ports_is_counted_with_both_ends() {
        assert_eq!((ports("32768\t60999\n"), ports("5 5"), ports("x")), (Some(28232), Some(1), None));
    }
}
